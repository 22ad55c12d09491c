"""Pictures of one's own: which may be sent, and in which form each service gets them."""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sora2_mcp.clock import Clock
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.errors import ArgumentError, ImageNotFetchedError
from sora2_mcp.services.service import Picture, PictureForm
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.pictures import LIMIT_BYTES, PREPARING_SECONDS, PictureAddresses, Pictures, media_type_of
from tests.clocks import FakeClock
from tests.network import NETWORK
from tests.servers import Agent, agent
from tests.tasks.core import until

pytestmark = pytest.mark.anyio

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 40 + b"\xff\xd9"
WEBP = b"RIFF" + (16).to_bytes(4, "little") + b"WEBPVP8 " + b"\x00" * 8
PUBLIC = "https://mcp.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    (images / "cat.png").write_bytes(PNG)
    (images / "notes.png").write_text("no picture at all")
    (images / "half.png").write_bytes(PNG[:40])
    (images / "big.png").write_bytes(PNG[:-12] + b"\x00" * LIMIT_BYTES + PNG[-12:])
    (tmp_path / "secret.png").write_bytes(PNG)
    return images


@asynccontextmanager
async def pictures(
    folder: Path | None,
    form: PictureForm,
    clock: Clock,
    *,
    public_url: str = "",
    uploaded: str = "",
    upload_seconds: float = 0,
) -> AsyncIterator[Pictures]:
    async def upload(picture: Picture) -> str:
        assert picture.content == PNG
        await clock.sleep(upload_seconds)
        return uploaded

    async with httpx2.AsyncClient(transport=NETWORK) as http:
        yield Pictures(
            folder=folder,
            form=form,
            addresses=PictureAddresses(public_url, b"k" * 32, clock),
            http=http,
            upload=upload,
            clock=clock,
        )


def of(*images: str) -> VideoRequest:
    return VideoRequest(prompt="A cat", image_urls=images)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (PNG[:-4], ""), (b"GIF89a;", ""), (b"", "")],
)
def test_a_picture_is_known_by_its_beginning_and_its_end(data: bytes, media_type: str) -> None:
    assert media_type_of(data) == media_type


@pytest.mark.parametrize(
    "spelled",
    [
        "cat.png",
        "{folder}/cat.png",
        "file://{folder}/cat.png",
        "FILE://localhost{folder}/cat.png",
        "./cat.png",
        "link.png",
    ],
)
async def test_a_file_in_the_folder_is_taken_however_it_is_named(spelled: str, folder: Path, clock: FakeClock) -> None:
    (folder / "link.png").symlink_to(folder / "cat.png")
    async with pictures(folder, PictureForm.DATA, clock) as mine:
        admitted = await mine.admitted(of(spelled.format(folder=folder)), is_local=True)
        prepared = await mine.prepared(admitted)

    assert admitted.image_urls[0].startswith((folder / "cat.png").as_uri() + "#")
    assert prepared.request.image_urls == (f"data:image/png;base64,{base64.b64encode(PNG).decode()}",)


@pytest.mark.posix
@pytest.mark.parametrize(
    "named",
    [
        "../secret.png",
        "{folder}/../secret.png",
        "file://{folder}/../secret.png",
        "file://elsewhere{folder}/cat.png",
        "file://{folder}/%2e%2e/secret.png",
        "out.png",
        "aside/secret.png",
        "missing.png",
        "pipe.png",
        ".",
        "/dev/zero",
        "~/secret.png",
        "~nobody-at-all/x.png",
        "x" * 300,
        "a/" * 500 + "b.png",
    ],
)
async def test_what_lies_elsewhere_or_is_no_file_reads_as_if_it_were_not_there(
    named: str, folder: Path, clock: FakeClock
) -> None:
    (folder / "out.png").symlink_to(folder.parent / "secret.png")
    (folder / "aside").symlink_to(folder.parent, target_is_directory=True)
    os.mkfifo(folder / "pipe.png")
    async with pictures(folder, PictureForm.DATA, clock) as mine:
        with pytest.raises(ArgumentError, match="there is no such file in the folder") as refused:
            await mine.admitted(of(named.format(folder=folder)), is_local=True)

    assert refused.value.argument == "image_urls"
    assert "SORA2_IMAGE_DIR" in str(refused.value)


@pytest.mark.parametrize(
    ("named", "problem"),
    [("notes.png", "no whole JPEG"), ("half.png", "no whole JPEG"), ("big.png", "more than 10 MB")],
)
async def test_only_real_pictures_of_a_size_that_services_take_are_sent(
    named: str, problem: str, folder: Path, clock: FakeClock
) -> None:
    async with pictures(folder, PictureForm.DATA, clock) as mine:
        with pytest.raises(ArgumentError, match=problem):
            await mine.admitted(of(named), is_local=True)


async def test_others_and_servers_without_a_folder_send_addresses_only(folder: Path, clock: FakeClock) -> None:
    async with pictures(folder, PictureForm.DATA, clock) as mine, pictures(None, PictureForm.DATA, clock) as none:
        for they, is_local in ((mine, False), (none, True)):
            with pytest.raises(ArgumentError, match="only http:// and https:// addresses can be sent here"):
                await they.admitted(of("cat.png"), is_local=is_local)
        assert await none.admitted(of("https://x.example/1.png"), is_local=True) == of("https://x.example/1.png")


async def test_a_file_that_has_changed_since_it_was_ordered_with_is_not_sent(folder: Path, clock: FakeClock) -> None:
    async with pictures(folder, PictureForm.DATA, clock) as mine:
        admitted = await mine.admitted(of("cat.png"), is_local=True)
        (folder / "cat.png").write_bytes(JPEG)
        with pytest.raises(ImageNotFetchedError, match="has changed"):
            await mine.prepared(admitted)
        again = await mine.admitted(of("cat.png"), is_local=True)

    assert again.image_urls != admitted.image_urls


async def test_a_service_that_takes_uploads_gets_one_and_the_address_it_gives(folder: Path, clock: FakeClock) -> None:
    given = "https://cdn.example/up.png"
    async with pictures(folder, PictureForm.UPLOAD, clock, uploaded=given) as mine:
        admitted = await mine.admitted(of("https://x.example/1.png", "cat.png"), is_local=True)
        prepared = await mine.prepared(admitted)

    assert prepared.request.image_urls == ("https://x.example/1.png", given)


async def test_a_service_that_takes_files_gets_the_bytes_of_addresses_too(folder: Path, clock: FakeClock) -> None:
    async def serve(request: Request) -> Response:
        return Response(PNG if request.url.path == "/1.png" else b"<html>", media_type="image/png")

    async with (
        NETWORK.serving(Starlette(routes=[Route("/{name}", serve)])) as address,
        pictures(folder, PictureForm.FILE, clock) as mine,
    ):
        prepared = await mine.prepared(await mine.admitted(of("cat.png", f"{address}/1.png"), is_local=True))
        with pytest.raises(ImageNotFetchedError, match="no JPEG"):
            await mine.prepared(of(f"{address}/page"))
        with pytest.raises(ImageNotFetchedError, match="cannot be reached"):
            await mine.prepared(of("http://127.0.0.1:9/1.png"))

    assert prepared.request.image_urls == ()
    assert [picture.content for picture in prepared.pictures] == [PNG, PNG]
    assert {picture.media_type for picture in prepared.pictures} == {"image/png"}


async def test_pictures_that_are_never_ready_end_before_the_order_seems_lost(folder: Path, clock: FakeClock) -> None:
    async with pictures(folder, PictureForm.UPLOAD, clock, upload_seconds=10 * PREPARING_SECONDS) as mine:
        admitted = await mine.admitted(of("cat.png"), is_local=True)
        problems: list[str] = []

        async def prepare() -> None:
            try:
                await mine.prepared(admitted)
            except ImageNotFetchedError as error:
                problems.append(str(error))

        async with anyio.create_task_group() as group:
            group.start_soon(prepare)
            await until(clock, lambda: bool(problems), step_seconds=10)

    assert "not ready after 120 s" in problems[0]


async def test_our_own_address_serves_the_picture_for_a_day_and_nobody_can_make_one(
    folder: Path, clock: FakeClock
) -> None:
    async with pictures(folder, PictureForm.ADDRESS, clock, public_url=PUBLIC) as mine:
        admitted = await mine.admitted(of("cat.png"), is_local=True)
        (url,) = (await mine.prepared(admitted)).request.image_urls
        token = url.removeprefix(f"{PUBLIC}/pictures/")
        served = await mine.served(token)
        forged = [await mine.served(text) for text in (token[:-1], "x" + token[1:], "", "ä", token * 2, token + "A")]
        await clock.advance(timedelta(hours=24, seconds=1).total_seconds())
        late = await mine.served(token)

    assert served is not None
    assert served.content == PNG
    assert str(folder).encode() not in base64.urlsafe_b64decode(token + "==")
    assert forged == [None] * 6
    assert late is None


@asynccontextmanager
async def sending(folder: Path, service: str, **values: Any) -> AsyncIterator[Agent]:
    needed = {"openrouter": {"model": "simulated/cinema-2"}, "openai": {"api_base_url": "http://gpu.example/v1"}}
    simulator = Simulator(seconds_per_task=0)
    settings = {"service": service, "image_dir": folder, **needed.get(service, {}), **values}
    async with agent(folder.parent, simulator=simulator, **settings) as me:
        yield me


@pytest.mark.parametrize("service", ["kie", "openai", "openrouter"])
async def test_an_agent_names_a_file_and_the_service_gets_the_picture(service: str, folder: Path) -> None:
    async with sending(folder, service) as me:
        ordered = await me.content("generate_video", prompt="It moves", image_urls=["cat.png"])
        ended = await me.content("wait_for_video", task_id=ordered["task_id"])
        described = (await me.client.list_tools()).tools[0].input_schema["properties"]["image_urls"]["description"]
        sent = str([request.body for request in me.simulator.received if request.method == "POST"][-1])

    assert ended["status"] == "succeeded"
    assert "names of files" in described
    form = {"kie": "/uploads/", "openai": f"'bytes': {len(PNG)}", "openrouter": "data:image/png;base64,"}[service]
    assert form in sent
    assert str(folder) not in sent


async def test_an_agent_that_names_another_path_learns_what_to_do(folder: Path) -> None:
    async with sending(folder, "kie") as me:
        outside = await me.error("generate_video", prompt="x", image_urls=["/etc/passwd"])
    async with agent(folder.parent / "other", service="kie") as me:
        unset = await me.error("generate_video", prompt="x", image_urls=["cat.png"])
        received = me.simulator.received

    assert "there is no such file in the folder" in outside
    assert "SORA2_IMAGE_DIR" in unset
    assert received == ()


async def test_what_else_is_on_the_services_machine_is_out_of_an_agents_reach(folder: Path) -> None:
    asked: list[str] = []

    async def heard(request: Request) -> Response:
        asked.append(request.url.path)
        return Response(PNG, media_type="image/png")

    async with (
        NETWORK.serving(Starlette(routes=[Route("/{path:path}", heard)])) as address,
        sending(folder, "openai") as me,
    ):
        refused = await me.error("generate_video", prompt="x", image_urls=[f"{address}/admin/delete"])
        orders = [request for request in me.simulator.received if request.method == "POST"]

    assert "An image could not be fetched" in refused
    assert (asked, orders) == ([], [])
