"""preview_video and the poster: an agent sees what a video shows, from the file or from a little of its address."""

import sys
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import BlobResourceContents, CallToolResult, ImageContent, TextContent
from starlette.datastructures import Headers
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.simulator.app import Simulator
from tests.clips import COLOURS, clip, is_colour, picture_of
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.server.site import ANN, BOB, TOKENS, site
from tests.servers import Agent, agent
from tests.stores import store_in

pytestmark = pytest.mark.anyio

PLACES = [(168, 98), (496, 98), (168, 312), (496, 312)]
"""The middles of four frames of 320 x 180."""

HINT = "Next: Give the user the video's link or path instead: a player may still show it."


class Host:
    """Put before the simulator's app: every video is this file, given out in one of many ways; notes what is asked."""

    def __init__(self, app: ASGIApp, seen: "Seen") -> None:
        self._app, self._seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/videos/"):
            await self._app(scope, receive, send)
            return

        async def counted(message: dict[str, object]) -> None:
            body = message.get("body", b"")
            assert isinstance(body, bytes)
            self._seen.sent_bytes += len(body)
            await send(message)

        self._seen.asked.append(Headers(scope=scope).get("range", ""))
        await self._seen.answer(scope, receive, counted)  # type: ignore[arg-type]


class Seen:
    """What a host gives, and what it was asked for."""

    def __init__(self, answer: ASGIApp) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.sent_bytes = 0


def hosting(answer: ASGIApp) -> tuple[Simulator, Seen]:
    simulator, seen = Simulator(seconds_per_task=0), Seen(answer)
    simulator.app.add_middleware(Host, seen=seen)
    return simulator, seen


async def finished(me: Agent, prompt: str = "A cat") -> str:
    task_id = str((await me.content("generate_video", prompt=prompt))["task_id"])
    assert (await me.content("get_task_status", task_id=task_id))["status"] == "succeeded"
    return task_id


async def previewed(me: Agent, task_id: str, **arguments: object) -> CallToolResult:
    with anyio.fail_after(PATIENCE_SECONDS):
        return await me.client.call_tool("preview_video", {"task_id": task_id, **arguments})


def picture_in(result: CallToolResult) -> bytes:
    image, text = result.content
    assert isinstance(image, ImageContent)
    assert isinstance(text, TextContent)
    assert image.mime_type == "image/jpeg"
    return b64decode(image.data)


def assert_colours(jpeg: bytes) -> None:
    for colour, place in zip(COLOURS, PLACES, strict=True):
        assert is_colour(picture_of(jpeg), colour, at=place)


@pytest.mark.parametrize("is_saved", [True, False])
async def test_the_agent_gets_one_picture_the_words_and_the_data(tmp_path: Path, is_saved: bool) -> None:  # noqa: FBT001
    simulator, seen = hosting(FileResponse(clip(tmp_path / "a.mp4", sound=True)))
    async with agent(tmp_path, simulator=simulator) as me:
        task_id = await finished(me)
        if is_saved:
            await me.content("download_video", task_id=task_id)
        asked = len(seen.asked)
        result = await previewed(me, task_id)

    assert_colours(jpeg := picture_in(result))
    assert len(jpeg) <= 200_000
    assert result.structured_content is None
    assert isinstance(result.content[1], TextContent)
    assert result.content[1].text == (
        f"Preview of {task_id}: the picture shows 4 frames, at 0.5, 1.5, 2.5 and 3.5 s.\n"
        "The video: 4 s, 320 x 180, 10 frames a second, h264, with sound (aac).\n"
        "Next: compare the picture with what the user asked for, and tell them how it fits."
    )
    assert (result.meta or {})["sora2-mcp/preview"] == {
        "task_id": task_id,
        "seconds": 4.0,
        "width": 320,
        "height": 180,
        "frame_rate": 10.0,
        "codec": "h264",
        "sound": "aac",
        "moments": [0.5, 1.5, 2.5, 3.5],
    }
    assert (len(seen.asked) == asked) == is_saved


@pytest.mark.parametrize("frames", [1, 9])
async def test_as_many_frames_come_as_were_asked_for(tmp_path: Path, frames: int) -> None:
    simulator, _ = hosting(FileResponse(clip(tmp_path / "a.mp4")))
    async with agent(tmp_path, simulator=simulator) as me:
        result = await previewed(me, await finished(me), frames=frames)

    assert len((result.meta or {})["sora2-mcp/preview"]["moments"]) == frames
    assert len(result.content) == 2


@pytest.mark.parametrize("frames", [0, 10, -1, 1_000_000])
async def test_no_other_number_of_frames_is_taken(tmp_path: Path, frames: int) -> None:
    async with agent(tmp_path) as me:
        assert (await previewed(me, await finished(me), frames=frames)).is_error


async def test_the_poster_is_one_frame(tmp_path: Path) -> None:
    simulator, _ = hosting(FileResponse(clip(tmp_path / "a.mp4")))
    async with agent(tmp_path, simulator=simulator) as me:
        task_id = await finished(me)
        (content,) = (await me.client.read_resource(f"sora2://tasks/{task_id}/poster")).contents

    assert isinstance(content, BlobResourceContents)
    assert content.mime_type == "image/jpeg"
    picture = picture_of(b64decode(content.blob))
    assert picture.size == (320, 180)
    assert is_colour(picture, COLOURS[2])


def large(path: Path, *, index_first: bool) -> Path:
    """The same video in a file of 200 MB; most of it is not there at all (a sparse file)."""
    content = path.read_bytes()
    gap = 200_000_000 - len(content)
    # Where the index is last, the gap goes between the pictures and it: they stay where it says.
    place = len(content) if index_first else content.index(b"moov") - 4
    with path.open("wb") as file:
        file.write(content[:place] + gap.to_bytes(4, "big") + b"free")
        file.seek(gap - 8, 1)
        file.write(content[place:])
        file.truncate(200_000_000)
    return path


@pytest.mark.parametrize("index_first", [True, False])
async def test_of_200_mb_only_what_is_needed_is_fetched(tmp_path: Path, index_first: bool) -> None:  # noqa: FBT001
    path = large(clip(tmp_path / "a.mp4", movflags="faststart" if index_first else ""), index_first=index_first)
    simulator, seen = hosting(FileResponse(path))
    async with agent(tmp_path, simulator=simulator) as me:
        result = await previewed(me, await finished(me))

    assert_colours(picture_in(result))
    assert path.stat().st_size == 200_000_000
    assert 0 < seen.sent_bytes < 3_000_000
    assert "" not in seen.asked


def ranged(content_range: str, encoding: str = "identity") -> Response:
    headers = {"content-range": content_range, "content-encoding": encoding}
    return Response(b"x" * 1000, status_code=206, headers=headers)


WHOLE = "its host gives out whole files only; save it with download_video first."
PART = "its host did not send the part of it that it was asked for."


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Response(b"x" * 1000), WHOLE),
        (Response(status_code=500), WHOLE),
        (Response(b"", status_code=206), WHOLE),
        (ranged("bytes 0-999/*"), WHOLE),
        (ranged("bytes x"), WHOLE),
        (ranged("bytes 0-999/1000", "gzip"), WHOLE),
        (ranged("bytes 5-1004/2000"), PART),
        (ranged("bytes 0-999/0"), PART),
        (ranged("bytes 0-999/5000"), PART),
        (ranged("bytes 0-999/1000"), "it cannot be read as a video."),
        (RedirectResponse("http://127.0.0.2:1/x"), "its address leads to 127.0.0.2, which is not public."),
        (RedirectResponse("http://169.254.169.254/x"), "its address leads to 169.254.169.254, which is not public."),
        (RedirectResponse("file:///etc/passwd"), 'its address leads to "file", which is not http or https.'),
        (Response(status_code=404), "its host no longer gives it out."),
        (Response(status_code=403), "its host no longer gives it out."),
    ],
)
async def test_a_host_that_does_not_give_parts_is_told_of(tmp_path: Path, answer: ASGIApp, problem: str) -> None:
    simulator, seen = hosting(answer)
    async with agent(tmp_path, simulator=simulator) as me:
        task_id = await finished(me)
        text = await me.error("preview_video", task_id=task_id)

    first, *_, last = text.splitlines()
    assert first == f"Not seen: The video of task {task_id} cannot be looked at: {problem} Nothing was spent."
    assert last == (f'Next: Call download_video(task_id="{task_id}") first.' if "no longer" in problem else HINT)
    assert seen.sent_bytes < 600_000


async def test_an_address_that_has_changed_is_looked_up_anew(tmp_path: Path) -> None:
    good, paths = FileResponse(clip(tmp_path / "a.mp4")), list[str]()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await (Response(status_code=403) if "expired" in scope["path"] else good)(scope, receive, send)

    simulator, _ = hosting(answer)
    async with agent(tmp_path, simulator=simulator) as me:
        task_id = await finished(me)
        stale = f"video_url = replace(video_url, '{task_id}', 'expired')"
        store_in(tmp_path).change(f"UPDATE tasks SET {stale}, url_seen_at = 0")  # noqa: S608 - an id of the simulator's
        result = await previewed(me, task_id)

    assert_colours(picture_in(result))
    assert paths[:2] == ["/videos/expired.mp4", f"/videos/{task_id}.mp4"]


async def test_a_host_that_never_ends_is_given_up_in_time(tmp_path: Path, clock: FakeClock) -> None:
    asked, results = anyio.Event(), list[CallToolResult]()

    async def answer(_scope: Scope, _receive: Receive, _send: Send) -> None:
        asked.set()
        await anyio.sleep_forever()

    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    simulator.app.add_middleware(Host, seen=Seen(answer))
    async with agent(tmp_path, simulator=simulator, clock=clock) as me:
        task_id = await finished(me)

        async def look() -> None:
            results.append(await previewed(me, task_id))

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await asked.wait()
            await clock.advance(25)
            await eventually(lambda: bool(results))

    assert isinstance(text := results[0].content[0], TextContent)
    assert "cannot be looked at: it takes too long to read." in text.text


async def test_a_call_that_is_cancelled_leaves_room_for_others(tmp_path: Path) -> None:
    path, held, asked = clip(tmp_path / "a.mp4"), True, list[str]()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append("")
        if held:
            await anyio.sleep_forever()
        await FileResponse(path)(scope, receive, send)

    simulator, _ = hosting(answer)
    async with agent(tmp_path, simulator=simulator) as me:
        task_id = await finished(me)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(previewed, me, task_id)
            await eventually(lambda: len(asked) == 2)
            group.cancel_scope.cancel()
        held = False
        results = list[CallToolResult]()

        async def look() -> None:
            results.append(await previewed(me, task_id))

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(look)

    assert len(asked) > 2
    for result in results:
        assert_colours(picture_in(result))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A cat [sim:seconds=600]", "there is none, the task is generating. Nothing was spent."),
        ("A cat [sim:generation-failure]", "there is none, the task is failed. Nothing was spent."),
    ],
)
async def test_a_task_without_a_video_says_so(tmp_path: Path, prompt: str, words: str) -> None:
    async with agent(tmp_path) as me:
        task_id = (await me.content("generate_video", prompt=prompt))["task_id"]
        await me.content("get_task_status", task_id=task_id)
        text = await me.error("preview_video", task_id=task_id)
        with pytest.raises(MCPError, match="there is none"):
            await me.client.read_resource(f"sora2://tasks/{task_id}/poster")

    assert words in text
    assert ("wait_for_video" in text) == ("generating" in words)


async def test_a_video_that_only_the_services_key_opens_is_seen_once_it_is_saved(tmp_path: Path) -> None:
    async with agent(tmp_path, service="openai", api_base_url="http://127.0.0.1:1/v1") as me:
        task_id = (await me.content("generate_video", prompt="A cat"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        result = await previewed(me, task_id)

    assert len((result.meta or {})["sora2-mcp/preview"]["moments"]) == 4


async def test_another_callers_video_reads_like_one_there_is_not(tmp_path: Path) -> None:
    async with (
        site(tmp_path, auth_tokens=TOKENS) as server,
        server.person(ANN) as ann,
        server.person(BOB) as bob,
    ):
        task_id = (await ann.saved())["task_id"]
        theirs = await bob.text("preview_video", task_id=task_id)
        nobodys = await bob.text("preview_video", task_id="sora2_task_x")
        for id in (task_id, "sora2_task_x"):
            with pytest.raises(MCPError, match=f'There is no task "{id}"'):
                await bob.resource(f"sora2://tasks/{id}/poster")

    assert theirs == nobodys.replace("sora2_task_x", task_id)
    assert theirs.startswith("Not seen: ")


@pytest.mark.parametrize("missing", [("av",), ("PIL",), ()])
async def test_it_is_offered_only_where_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: Sequence[str]
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
        for loaded in [loaded for loaded in sys.modules if loaded.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, loaded)
    async with agent(tmp_path) as me:
        tools = [tool.name for tool in (await me.client.list_tools()).tools]
        templates = [each.uri_template for each in (await me.client.list_resource_templates()).resource_templates]
        task_id = (await me.content("generate_video", prompt="A cat"))["task_id"]
        offer = (await me.content("wait_for_video", task_id=task_id))["next"]

    assert ("preview_video" in tools) == (not missing)
    assert ("sora2://tasks/{task_id}/poster" in templates) == (not missing)
    assert ("preview_video" in offer) == (not missing)
