"""Saved videos at signed addresses: who finds them, what they give, and what nobody gets."""

import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.server.links import own_address
from sora2_mcp.server.web.callbacks import hide_paths
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from tests.clocks import FakeClock, eventually
from tests.server.site import ANN, BOB, TOKENS, Site, site
from tests.servers import agent, settings_in, text_of
from tests.stores import store_in
from tests.web import client_of, served

pytestmark = pytest.mark.anyio

CLIP = clip_of("A kitten", "landscape").read_bytes()
SIZE = len(CLIP)
KEYS = "0123456789abcdef0123456789abcdef"
HEADERS = {
    "content-type": "video/mp4",
    "accept-ranges": "bytes",
    "cache-control": "private, max-age=3600",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'",
    "referrer-policy": "no-referrer",
}


@pytest.fixture(scope="module")
async def shared(shared_folder: Path) -> AsyncIterator[tuple[Site, str]]:
    """A server without tokens, and the link to a video on it."""
    async with site(shared_folder) as server:
        async with server.person() as me:
            link = (await me.saved())["download_url"]
        yield server, link


async def asked(server: Site, link: str, method: str = "GET", **headers: str) -> httpx2.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await server.http.request(method, link, headers=given)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_http_the_link_stands_wherever_the_video_is_told_of(tmp_path: Path, mode: str) -> None:
    async with site(tmp_path) as server, server.person(mode=mode) as me:
        saved = await me.saved(idempotency_key="kitten")
        link, path, task_id = saved["download_url"], saved["file_path"], saved["task_id"]
        assert (await server.http.get(link)).content == CLIP
        assert link.startswith(f"{server.base}/videos/")
        assert Path(path).read_bytes() == CLIP

        again = await me.text("download_video", task_id=task_id)
        assert again.startswith(f"Already saved: {link} (")
        assert again.index(link) < again.index(path)
        for tool in ("get_task_status", "wait_for_video"):
            assert link in await me.text(tool, task_id=task_id)
            assert (await me.content(tool, task_id=task_id))["download_url"] == link
        assert link in await me.text("list_tasks")
        assert (await me.content("list_tasks"))["tasks"][0]["download_url"] == link
        assert link in await me.resource(f"sora2://tasks/{task_id}")
        assert link in await me.resource("sora2://tasks")
        repeated = await me.content("generate_video", prompt="A kitten", idempotency_key="kitten")
        assert repeated["download_url"] == link


async def test_over_stdio_the_path_stands_there_and_no_link(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        saved = await me.call("download_video", task_id=task_id)

    content: dict[str, Any] = saved.structured_content or {}
    assert content["file_path"] in text_of(saved)
    assert "download_url" not in content
    assert "/videos/ey" not in text_of(saved)


async def test_who_has_a_token_reads_no_path_of_the_server_anywhere(tmp_path: Path) -> None:
    async with site(tmp_path, auth_tokens=TOKENS) as server, server.person(ANN) as ann:
        saved = await ann.saved()
        task_id = saved["task_id"]
        assert saved["download_url"] in ann.answers[-1]
        assert "file_path" not in saved
        assert (await server.http.get(saved["download_url"])).content == CLIP

        for tool in ("get_task_status", "wait_for_video", "download_video"):
            await ann.call(tool, task_id=task_id)
        await ann.call("preview_video", task_id=task_id)
        await ann.call("list_tasks")
        for uri in (f"sora2://tasks/{task_id}", "sora2://tasks", "sora2://usage", f"sora2://tasks/{task_id}/video"):
            await ann.resource(uri)
        (file,) = (tmp_path / "videos").rglob("*.mp4")
        # From here on everything fails in some way, and says so.
        file.write_bytes(CLIP[:-1] + b"x" * 5)
        for problem in ("read", "video", "preview"):
            if problem == "preview":
                await ann.call("preview_video", task_id=task_id)
            else:
                with pytest.raises(Exception, match=r"download_video|gone"):
                    await ann.resource(f"sora2://tasks/{task_id}/video")
        file.unlink()
        file.parent.rmdir()
        (tmp_path / "videos").rmdir()
        (tmp_path / "videos").write_text("no folder")
        failed = await ann.text("download_video", task_id=task_id)
        gone = await server.http.get(saved["download_url"])

    assert failed.startswith("Not saved: ")
    assert gone.status_code == 503
    for answer in (*ann.answers, failed, gone.text, str(gone.headers)):
        assert str(tmp_path) not in answer
        assert not re.search(r"file_path|videos/ann|ann-[0-9a-f]{8}", answer)


async def test_a_link_needs_no_token_and_opens_one_video(tmp_path: Path) -> None:
    async with site(tmp_path, auth_tokens=TOKENS) as server, server.person(ANN) as ann, server.person(BOB) as bob:
        mine, other = (await ann.saved("A kitten"))["download_url"], (await bob.saved("A puppy"))["download_url"]
        assert (await server.http.get(mine)).content == CLIP
        assert (await server.http.get(other)).content == clip_of("A puppy", "landscape").read_bytes()
        _, _, token, name = mine.removeprefix(server.base).split("/")
        _, _, other_token, other_name = other.removeprefix(server.base).split("/")
        # The name is for people only.
        swapped = await server.http.get(f"/videos/{token}/{other_name}")
        mixed = [
            await server.http.get(f"/videos/{token[:place]}{other_token[place:]}/{name}")
            for place in range(1, len(token))
            if f"{token[:place]}{other_token[place:]}" not in (token, other_token)
        ]

    assert swapped.content == CLIP
    assert {answer.status_code for answer in mixed} == {404}


@pytest.mark.parametrize(
    ("tricked", "status"),
    [
        ("{}", 200),
        ("{}?save", 200),
        ("{}?x=../..", 200),
        ("/videos/{token}A/{name}", 404),
        ("/x", 404),
        ("/videos/x/x.mp4", 404),
        ("/videos/{token}", 404),
        ("/videos/{token}/", 404),
        ("/videos//{name}", 404),
        ("/videos/{token}/../{name}", 404),
        ("/videos/{token}/..%2f..%2fetc%2fpasswd", 404),
        ("/videos/..%2f{token}/{name}", 404),
        ("/videos/%2e%2e/{name}", 404),
        ("/videos/{token}%00/{name}", 404),
        ("/videos/{token}%0a/{name}", 404),
        ("/videos/%00/{name}", 404),
        ("/videos/%f0%9f%8e%ac/{name}", 404),
        ("/videos/%ff%fe/{name}", 404),
        (f"/videos/{'A' * 20_000}/x.mp4", 404),
        ("/videos/{token}/a/b.mp4", 404),
        ("/VIDEOS/{token}/{name}", 404),
        ("//videos/{token}/{name}", 404),
    ],
)
async def test_no_trick_with_the_path_opens_anything_else(shared: tuple[Site, str], tricked: str, status: int) -> None:
    server, link = shared
    path = link.removeprefix(server.base)
    _, _, token, name = path.split("/")
    trick = tricked.replace("{}", path).replace("{token}", token).replace("{name}", name)

    answer = await server.http.get(httpx2.URL(f"{server.base}/").copy_with(raw_path=trick.encode()))

    assert (answer.status_code, answer.content == CLIP) == (status, status == 200)


async def test_a_link_that_is_not_good_says_so_and_nothing_else(shared: tuple[Site, str]) -> None:
    server, _ = shared
    answer = await server.http.get("/videos/x/x.mp4")

    assert answer.text == "This link is not good, or not any more. Ask for a new one with download_video.\n"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_head_says_what_get_would_send(shared: tuple[Site, str]) -> None:
    server, link = shared
    got, head = await asked(server, link), await asked(server, link, "HEAD")

    assert (head.status_code, head.content) == (200, b"")
    named = [*HEADERS, "content-length", "content-disposition", "etag", "last-modified"]
    assert {name: head.headers[name] for name in named} == {name: got.headers[name] for name in named}
    assert {name: got.headers[name] for name in HEADERS} == HEADERS
    assert got.headers["content-length"] == str(SIZE)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_video_can_only_be_read(shared: tuple[Site, str], method: str) -> None:
    server, link = shared
    assert (await asked(server, link, method)).status_code == 405


async def test_who_has_the_file_is_not_sent_it_again(shared: tuple[Site, str]) -> None:
    server, link = shared
    etag = (await asked(server, link)).headers["etag"]

    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = await asked(server, link, if_none_match=known, range="bytes=0-9")
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    for other in ('"x"', "", etag.strip('"')):
        assert (await asked(server, link, if_none_match=other)).content == CLIP


@pytest.mark.parametrize(
    ("asked_for", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-100", SIZE - 100, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes=10-{SIZE * 2}", 10, SIZE),
        ("bytes=10-999999999999999999", 10, SIZE),
        ("BYTES = 5-9", 5, 10),
        ("bytes=0-49,50-99", 0, 100),
        ("bytes=0-60,50-99", 0, 100),
        (f"bytes=0-9,{SIZE}-", 0, 10),
        ("bytes=-0,3-4", 3, 5),
    ],
)
async def test_a_range_gives_just_that_part(shared: tuple[Site, str], asked_for: str, first: int, end: int) -> None:
    server, link = shared
    part = await asked(server, link, range=asked_for)
    head = await asked(server, link, "HEAD", range=asked_for)

    assert (part.status_code, part.content) == (206, CLIP[first:end])
    assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{SIZE}"
    assert part.headers["content-length"] == str(end - first)
    assert part.headers["content-type"] == "video/mp4"
    assert (head.status_code, head.content, head.headers["content-range"]) == (206, b"", part.headers["content-range"])


async def test_several_ranges_come_as_several_parts(shared: tuple[Site, str]) -> None:
    server, link = shared
    answer = await asked(server, link, range="bytes=0-9,100-109,-10")

    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert answer.headers["content-length"] == str(len(answer.content))
    boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
    parts = [part.partition(b"\r\n\r\n") for part in answer.content.split(b"--" + boundary)[1:-1]]
    assert [body.removesuffix(b"\r\n") for _, _, body in parts] == [CLIP[:10], CLIP[100:110], CLIP[-10:]]
    assert b"bytes 100-109/" in parts[1][0]


@pytest.mark.parametrize("asked_for", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", f"bytes={SIZE}-,-0"])
async def test_a_range_beyond_the_end_cannot_be_had(shared: tuple[Site, str], asked_for: str) -> None:
    server, link = shared
    answer = await asked(server, link, range=asked_for)

    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert CLIP[:20] not in answer.content


@pytest.mark.parametrize(
    "asked_for",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=9-5", "bytes=1-2-3", "bytes=--5", "items=0-5", "bytes=0-5;",
     "bytes=+1-5", "bytes=0x1-5", "bytes=١-٥", "bytes=1.0-5", "bytes=0-9,x", "bytes=0-9,,", "seconds=1-2", "=", "0-5",
     f"bytes={'9' * 19}-", f"bytes={'9' * 5000}-", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 400, 2))],
    ids=range(22),
)  # fmt: skip
async def test_what_is_no_range_counts_as_none(shared: tuple[Site, str], asked_for: str) -> None:
    server, link = shared
    answer = await server.http.get(link, headers=[(b"range", asked_for.encode())])

    assert (answer.status_code, answer.content == CLIP) == (200, True)


async def test_a_range_of_a_file_that_is_another_by_now_is_the_whole(shared: tuple[Site, str]) -> None:
    server, link = shared
    known = (await asked(server, link)).headers

    for same in (known["etag"], known["last-modified"]):
        assert (await asked(server, link, range="bytes=0-9", if_range=same)).content == CLIP[:10]
    for other in ('"other"', f"W/{known['etag']}", "Thu, 01 Jan 1970 00:00:00 GMT", "x", ""):
        assert (await asked(server, link, range="bytes=0-9", if_range=other)).content == CLIP


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("my kitten", "filename*=utf-8''my%20kitten.mp4"),
        ('say "cheese"', "filename*=utf-8''say%20_cheese_.mp4"),
        ("kätzchen 🐈", "filename*=utf-8''k%C3%A4tzchen%20%F0%9F%90%88.mp4"),
        ("a\r\nset-cookie: x=1", None),
        ("50% off; x=1", "filename*=utf-8''50%25%20off%3B%20x%3D1.mp4"),
        ("plain", 'filename="plain.mp4"'),
    ],
)
async def test_the_file_is_offered_under_its_own_name(tmp_path: Path, filename: str, header: str | None) -> None:
    async with site(tmp_path) as server, server.person() as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        link = (await me.content("download_video", task_id=task_id, filename=filename))["download_url"]
        shown, kept = await server.http.get(link), await server.http.get(f"{link}?save")
        head = await server.http.head(f"{link}?save=1")

    assert (shown.content, kept.content) == (CLIP, CLIP)
    assert shown.headers["content-disposition"].startswith("inline; ")
    assert kept.headers["content-disposition"].startswith("attachment; ")
    assert head.headers["content-disposition"] == kept.headers["content-disposition"]
    assert "set-cookie" not in kept.headers
    assert re.fullmatch(r"[\x21-\x7e]+", link)
    if header is not None:
        assert kept.headers["content-disposition"] == f"attachment; {header}"


async def test_a_link_ends(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with site(tmp_path, clock=clock, simulator=simulator, link_hours=1) as server, server.person() as me:
        link = (await me.saved())["download_url"]
        await clock.advance(3600 * 22 / 24)
        assert (await server.http.get(link)).status_code == 200
        await clock.advance(3600 * 2 / 24)
        ended = await server.http.get(link)
        again = await me.text("list_tasks")

    assert (ended.status_code, CLIP[:10] in ended.content) == (404, False)
    assert link not in again


async def test_a_token_of_ours_for_no_task_opens_nothing(tmp_path: Path) -> None:
    async with site(tmp_path, state_keys=KEYS) as server:
        for text in ("0" * 32, "", "../../etc/passwd", "x" * 3000, "a\0b"):
            token = server.runtime.video_tokens.token(text)
            assert (await server.http.get(f"/videos/{token}/x.mp4")).status_code == 404


async def test_a_file_that_has_gone_is_fetched_anew(tmp_path: Path) -> None:
    async with site(tmp_path) as server, server.person() as me:
        saved = await me.saved()
        link, path = saved["download_url"], Path(saved["file_path"])
        path.unlink()
        first, now = await server.http.get(link), (await me.content("list_tasks"))["tasks"][0]

    assert (first.status_code, first.content) == (200, CLIP)
    assert Path(now["file_path"]).read_bytes() == CLIP


@pytest.mark.posix
@pytest.mark.parametrize("kind", ["shorter", "link", "folder", "dangling"])
async def test_what_lies_in_the_files_place_is_never_given_out(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 100)
    async with site(tmp_path) as server, server.person() as me:
        saved = await me.saved()
        path = Path(saved["file_path"])
        path.unlink()
        match kind:
            case "shorter":
                path.write_bytes(CLIP[:-1])
            case "link":
                path.symlink_to(secret)
            case "folder":
                path.mkdir()
            case _:
                path.symlink_to(tmp_path / "nothing")
        answer = await server.http.get(saved["download_url"])

    assert (answer.status_code, answer.content) == (200, CLIP)
    assert secret.read_bytes() == b"secret" * 100


async def test_a_video_that_takes_long_to_come_back_is_asked_for_again_later(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    paths, answers, held = list[str](), list[httpx2.Response](), Held()
    simulator.app.add_middleware(Holding, paths=paths, held=held)
    async with site(tmp_path, clock=clock, simulator=simulator) as server, server.person() as me:
        saved = await me.saved()
        Path(saved["file_path"]).unlink()
        held.until = anyio.Event()

        async def ask() -> None:
            answers.append(await server.http.get(saved["download_url"]))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await eventually(lambda: len(paths) == 2)
            await eventually(lambda: clock.awaits(clock.monotonic() + 25))
            await clock.advance(25)
            await eventually(lambda: len(answers) == 1)
            assert answers[0].status_code == 503
            assert answers[0].headers["retry-after"] == "5"
            held.until.set()
            # It went on meanwhile.
            await ask()

    assert (answers[1].status_code, answers[1].content) == (200, CLIP)
    assert len(paths) == 2


class Gone:
    """Put before the simulator's app: what is no longer given out."""

    def __init__(self, app: ASGIApp, paths: list[str]) -> None:
        self._app, self._paths = app, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_gone = scope["type"] == "http" and scope["path"] in self._paths
        await (Response(status_code=404) if is_gone else self._app)(scope, receive, send)


class Held:
    """Until when videos are not given out; at first they are."""

    until: anyio.Event | None = None


class Holding:
    """Put before the simulator's app: the paths of the videos that are asked for, which may be held back."""

    def __init__(self, app: ASGIApp, paths: list[str], held: Held) -> None:
        self._app, self._paths, self._held = app, paths, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/videos/"):
            self._paths.append(scope["path"])
            if self._held.until is not None:
                await self._held.until.wait()
        await self._app(scope, receive, send)


async def test_a_video_that_cannot_be_had_again_is_gone(tmp_path: Path) -> None:
    simulator, gone = Simulator(seconds_per_task=0), list[str]()
    simulator.app.add_middleware(Gone, paths=gone)
    async with site(tmp_path, simulator=simulator) as server, server.person() as me:
        saved = await me.saved()
        Path(saved["file_path"]).unlink()
        gone.append(httpx2.URL(saved["video_url"]).path)
        answer = await server.http.get(saved["download_url"])

    assert answer.status_code == 404
    assert "not any more" in answer.text


async def test_the_public_address_wins(tmp_path: Path) -> None:
    async with site(tmp_path, public_url="https://sora.example/behind/") as server, server.person() as me:
        link = (await me.saved())["download_url"]
        path = link.removeprefix("https://sora.example/behind")
        assert path.startswith("/videos/")
        assert (await server.http.get(path)).content == CLIP


async def test_a_proxy_that_ends_tls_is_believed_that_it_did(tmp_path: Path) -> None:
    async with (
        site(tmp_path, auth_tokens=TOKENS) as server,
        server.person(ANN, headers={"x-forwarded-proto": "https"}) as ann,
    ):
        link = (await ann.saved())["download_url"]

    assert link.startswith(server.base.replace("http:", "https:") + "/videos/")


async def test_in_another_application_the_link_leads_through_it(tmp_path: Path) -> None:
    async with site(tmp_path, mounted_at="/inside/video") as server, server.person() as me:
        link = (await me.saved())["download_url"]
        assert link.startswith(f"{server.base}/videos/")
        assert (await server.http.get(link)).content == CLIP


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_sse_the_link_is_the_same(tmp_path: Path, mode: str) -> None:
    async with served(settings_in(tmp_path)) as base, client_of(base) as http:
        async with Client(sse_client(f"{base}/sse"), mode=mode) as client:
            ordered = (await client.call_tool("generate_video", {"prompt": "A kitten"})).structured_content or {}
            task_id = ordered["task_id"]
            await client.call_tool("wait_for_video", {"task_id": task_id})
            saved = (await client.call_tool("download_video", {"task_id": task_id})).structured_content or {}
        assert saved["download_url"].startswith(f"{base}/videos/")
        assert (await http.get(saved["download_url"])).content == CLIP


async def test_replicas_with_the_same_keys_open_each_others_links_and_fetch_what_they_do_not_have(
    tmp_path: Path,
) -> None:
    simulator = Simulator(seconds_per_task=0)
    shared: dict[str, Any] = {"simulator": simulator, "state_keys": KEYS}
    url = store_in(tmp_path).url
    async with (
        site(tmp_path, **shared) as first,
        site(tmp_path, **shared, database_url=url, video_dir=tmp_path / "elsewhere") as second,
        site(tmp_path, simulator=simulator, database_url=url, state_keys="f" * 32) as stranger,
        first.person() as me,
    ):
        saved = await me.saved()
        path = saved["download_url"].removeprefix(first.base)
        one, shared_disk = await first.http.get(path), await second.http.get(path)
        Path(saved["file_path"]).unlink()
        anew, none = await second.http.get(path), await stranger.http.get(path)

    assert (one.content, shared_disk.content, anew.content, none.status_code) == (CLIP, CLIP, CLIP, 404)
    assert one.headers["etag"] == anew.headers["etag"]
    assert len([*(tmp_path / "elsewhere").rglob("*.mp4")]) == 1


async def test_without_keys_a_restart_ends_links(tmp_path: Path) -> None:
    async with site(tmp_path) as before, before.person() as me:
        path = (await me.saved())["download_url"].removeprefix(before.base)
    async with site(tmp_path) as after:
        answer = await after.http.get(path)

    assert answer.status_code == 404


async def test_no_log_holds_a_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hide_paths(logging.getLogger("uvicorn.access"))
    for name in ("httpx2", "httpcore2"):
        caplog.set_level(logging.CRITICAL, name)
    caplog.set_level(logging.DEBUG)
    async with site(tmp_path) as server, server.person() as me:
        saved = await me.saved()
        token = saved["download_url"].split("/")[-2]
        await server.http.get(saved["download_url"])
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/1.1" %d', "1.2.3.4", "GET", saved["download_url"], 200
        )

    assert token not in json.dumps(me.answers[0])
    assert token not in caplog.text


async def test_the_address_of_a_request_is_forgotten_with_it(tmp_path: Path) -> None:
    async with site(tmp_path) as server:
        assert (await server.http.get(f"{server.base}/healthz")).is_success
        assert own_address.get() == ""
