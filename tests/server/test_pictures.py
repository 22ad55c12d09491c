"""The address at which the service fetches a picture of one's own."""

from pathlib import Path

import pytest
from starlette.applications import Starlette

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.errors import ArgumentError
from sora2_mcp.server.web.callbacks import picture_routes
from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.network import NETWORK, simulated
from tests.server.reached import Later
from tests.servers import settings_in
from tests.tasks.test_pictures import JPEG, PNG
from tests.web import client_on_network

pytestmark = pytest.mark.anyio

MOVING = VideoRequest(prompt="It moves", image_urls=("cat.png",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    (images / "cat.png").write_bytes(PNG)
    return images


async def test_the_reference_service_gets_an_address_of_ours_and_finds_the_picture_there(
    tmp_path: Path, folder: Path, clock: FakeClock
) -> None:
    later, simulator = Later(), Simulator(now=clock.now, sleep=clock.sleep, transport=NETWORK)
    async with NETWORK.serving(later) as public_url:
        settings = settings_in(tmp_path, public_url=public_url, image_dir=folder)
        async with simulated(settings, simulator, clock) as runtime, client_on_network(public_url) as http:
            later.app = Starlette(routes=picture_routes(runtime))
            task = (await (await runtime.tasks()).submit(MOVING, "local")).task
            (sent,) = [request.body or {} for request in simulator.received if request.method == "POST"]
            (url,) = sent["imageUrls"]
            found = await http.get(url)
            forged = [
                (await http.get(f"{public_url}/pictures/{token}")).status_code for token in ("x", "x" * 90, "%00")
            ]
            posted = await http.post(url)
            (folder / "cat.png").write_bytes(JPEG)
            changed = await http.get(url)
            (folder / "cat.png").write_bytes(PNG)
            await clock.advance(24 * 3600 + 1)
            late = await http.get(url)

    assert url.startswith(f"{public_url}/pictures/")
    assert (found.status_code, found.content, found.headers["content-type"]) == (200, PNG, "image/png")
    assert forged == [404] * 3
    assert posted.status_code == 405
    assert (changed.status_code, late.status_code) == (404, 404)
    assert task.request.image_urls[0].startswith((folder / "cat.png").as_uri())


async def test_without_a_public_address_the_reference_service_cannot_have_a_file(tmp_path: Path, folder: Path) -> None:
    simulator = Simulator()
    async with simulated(settings_in(tmp_path, image_dir=folder), simulator) as runtime:
        service = await runtime.tasks()
        with pytest.raises(ArgumentError, match="takes addresses only") as refused:
            await service.submit(MOVING, "local")
        with pytest.raises(ArgumentError, match="only http:// and https:// addresses"):
            await service.submit(MOVING, "token:ann")

    assert "SORA2_PUBLIC_URL" in str(refused.value)
    assert simulator.received == ()
