"""The server, as hosts start it, makes videos through LiteLLM's proxy, which stands in front of the service."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.processes import completed
from tests.hosts.served import Served
from tests.referees.agent import agent
from tests.referees.media import PNG, is_mp4
from tests.referees.proxy import MODEL, PROXY_KEY, SERVICE_KEY, Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]


@pytest.mark.parametrize("wire", ["multipart", "json"])
async def test_a_video_is_ordered_followed_and_saved(server: Served, wire: str) -> None:
    async with agent(server.having(SORA2_REQUEST_FORMAT=wire)) as connected:
        ordered = await connected.call("generate_video", prompt="A kitten", aspect_ratio="portrait", seconds=8)
        done = await connected.waited(ordered["task_id"])
        saved = await connected.call("download_video", task_id=ordered["task_id"])
        listed = await connected.call("list_tasks")

    assert (done["status"], done["task_id"]) == ("succeeded", ordered["task_id"])
    assert is_mp4(Path(done["file_path"]).read_bytes())
    assert saved["file_path"] == done["file_path"]
    assert [(task["task_id"], task["file_path"]) for task in listed["tasks"]] == [(done["task_id"], done["file_path"])]
    assert server.service.bodies() == [{"prompt": "A kitten", "model": MODEL, "seconds": "8", "size": "720x1280"}]


async def test_a_picture_goes_along_as_a_file(server: Served, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "cat.png").write_bytes(PNG)
    async with agent(server.having(SORA2_IMAGE_DIR=str(pictures))) as connected:
        ordered = await connected.call("generate_video", prompt="It waves", image_urls=["cat.png"])
        done = await connected.waited(ordered["task_id"])

    assert is_mp4(Path(done["file_path"]).read_bytes())
    ((_, sent),) = [(body["prompt"], body["input_reference"]) for body in server.service.bodies()]
    assert (sent["content_type"], sent["bytes"]) == ("image/png", len(PNG))


async def test_the_proxys_long_id_is_shown_as_a_short_one_and_asks_for_the_same_task(server: Served) -> None:
    async with agent(server) as connected:
        ordered = await connected.call("generate_video", prompt="A kitten")
        done = await connected.waited(ordered["task_id"])
        ((its_own, _, _),) = server.rows()
        by_ours = await connected.call("get_task_status", task_id=ordered["task_id"])
        by_its_own = await connected.call("get_task_status", task_id=its_own)

    assert len(its_own) > 200
    assert ordered["task_id"].startswith("local-")
    assert by_ours == by_its_own
    assert by_its_own["file_path"] == done["file_path"]


async def test_a_task_that_was_ordered_elsewhere_is_taken_in_by_the_proxys_id(server: Served, tmp_path: Path) -> None:
    async with agent(server) as connected:
        ordered = await connected.call("generate_video", prompt="A kitten")
        await connected.waited(ordered["task_id"])
    ((its_own, _, _),) = server.rows()
    (tmp_path / "other").mkdir()
    async with agent(replace(server, folder=tmp_path / "other")) as elsewhere:
        done = await elsewhere.waited(its_own)

    assert done["status"] == "succeeded"
    assert done["task_id"].startswith("local-")
    assert Path(done["file_path"]).is_relative_to(tmp_path / "other")
    assert is_mp4(Path(done["file_path"]).read_bytes())
    assert server.service.orders() == ["A kitten"]


async def test_what_the_service_refuses_is_told_in_its_words_and_is_sent_once(server: Served) -> None:
    async with agent(server) as connected:
        told = await connected.refused("generate_video", prompt="A kitten [sim:refused-prompt]")
        ordered = await connected.call("generate_video", prompt="A dog [sim:moderation]")
        failed = await connected.waited(ordered["task_id"])

    assert "refused by the content policy" in told
    assert failed["status"] == "failed"
    assert "refused by the content policy" in failed["failure"]["message"]
    assert server.service.orders() == ["A kitten [sim:refused-prompt]", "A dog [sim:moderation]"]


async def test_an_order_that_the_proxy_lost_is_unconfirmed_and_is_sent_once(server: Served) -> None:
    """It was accepted, but what came of it never reached the proxy."""
    async with agent(server) as connected:
        unclear = await connected.call("generate_video", prompt="A kitten [sim:order-drop]")

    assert unclear["status"] == "unconfirmed"
    assert server.service.orders() == ["A kitten [sim:order-drop]"]


async def test_an_id_that_the_proxy_does_not_know_is_an_error_and_no_task(server: Served) -> None:
    """The proxy answers with 500, not with 404: it takes it for one of api.openai.com, which is out of reach here."""
    async with agent(server) as connected:
        told = await connected.refused("get_task_status", task_id="video_0123456789abcdef")

    assert told.startswith("Could not look: The service failed inside (500)")
    assert server.rows() == []
    assert server.service.looks() == 0


async def test_the_keys_are_in_nothing_that_is_told_written_or_sent_on(server: Served, proxy: Proxy) -> None:
    wrong = "wrong-0123456789abcdef"
    async with agent(server.having(SORA2_LOG_LEVEL="DEBUG")) as connected:
        ordered = await connected.call("generate_video", prompt="A kitten")
        done = await connected.waited(ordered["task_id"])
        await connected.refused("generate_video", prompt="A dog [sim:refused-prompt]")
    async with agent(server.having(SORA2_LOG_LEVEL="DEBUG", SORA2_API_KEY=wrong)) as stranger:
        refused = await stranger.refused("generate_video", prompt="A bird")
    told = [*connected.told, *stranger.told]
    written = [proxy.output, *(path for path in server.folder.rglob("*") if path.is_file())]

    assert is_mp4(Path(done["file_path"]).read_bytes())
    assert refused.startswith("Not ordered: ")
    assert server.service.orders() == ["A kitten", "A dog [sim:refused-prompt]"]
    assert {server.folder / "stderr.txt", server.folder / "tasks.db", Path(done["file_path"])} <= set(written)
    for key in (PROXY_KEY, SERVICE_KEY, wrong):
        assert [text for text in told if key in text] == []
        assert [path for path in written if key.encode() in path.read_bytes()] == []
        assert key not in str(server.service.bodies())


def test_the_doctor_finds_nothing_wrong_with_a_proxy_that_works(server: Served) -> None:
    told = completed(server.folder, "doctor", "--no-round-trip", **server.settings)

    assert told.returncode == 0, told.stdout
    assert "The key is accepted" in told.stdout
