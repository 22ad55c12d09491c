"""An agent's whole job, in both protocol eras."""

import json
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import BlobResourceContents, TextResourceContents

from sora2_mcp import __version__
from sora2_mcp.server.web import create_app
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from tests.servers import agent, settings_in, text_of
from tests.web import listening
from tools.docs.catalogue import tool_names

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_an_agent_orders_waits_saves_and_finds_its_video_again(tmp_path: Path, mode: str) -> None:
    async with agent(tmp_path, mode=mode) as me:
        ordered = await me.content("generate_video", prompt="A kitten", aspect_ratio="portrait", quality="hd")
        task_id = ordered["task_id"]
        done = await me.content("wait_for_video", task_id=task_id)
        saved = await me.content("download_video", task_id=task_id, filename="kitten")
        listed = await me.content("list_tasks")

        assert ordered["status"] == "generating"
        assert done["status"] == "succeeded"
        assert done["video_url"].endswith(f"/videos/{task_id}.mp4")
        assert (done["aspect_ratio"], done["quality"], done["prompt"]) == ("portrait", "hd", "A kitten")
        assert Path(saved["file_path"]) == tmp_path / "videos" / "kitten.mp4"
        assert Path(saved["file_path"]).stat().st_size == saved["size_bytes"]
        of_the_file = ("size_bytes", "sha256", "message", "next")
        assert listed["tasks"][0] == {key: saved[key] for key in saved if key not in of_the_file}
        assert [request.method for request in me.simulator.received][:1] == ["POST"]


async def test_the_application_orders_from_the_simulator_where_that_is_set(tmp_path: Path) -> None:
    real = Simulator(seconds_per_task=0)
    async with (
        running(real) as url,
        listening(create_app(settings_in(tmp_path, simulate=True, api_base_url=url))) as base,
        Client(streamable_http_client(f"{base}/mcp")) as client,
    ):
        ordered = await client.call_tool("generate_video", {"prompt": "A kitten"})

    assert (ordered.structured_content or {})["status"] == "generating"
    assert not real.received


async def test_the_task_is_a_resource_a_person_can_attach(tmp_path: Path, mode: str) -> None:
    async with agent(tmp_path, mode=mode) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        await me.content("download_video", task_id=task_id)
        listed = {str(resource.uri): resource.title for resource in (await me.client.list_resources()).resources}
        one = (await me.client.read_resource(f"sora2://tasks/{task_id}")).contents[0]
        video = (await me.client.read_resource(f"sora2://tasks/{task_id}/video")).contents[0]

        assert listed[f"sora2://tasks/{task_id}"] == "succeeded: A kitten"
        assert list(listed)[:3] == ["sora2://tasks", "sora2://guide", "sora2://usage"]
        assert isinstance(one, TextResourceContents)
        assert json.loads(one.text)["task_id"] == task_id
        assert isinstance(video, BlobResourceContents)
        assert video.mime_type == "video/mp4"


async def test_the_server_names_itself_and_its_own_version(tmp_path: Path, mode: str) -> None:
    async with agent(tmp_path, mode=mode) as me:
        info = me.client.server_info
        assert info is not None
        assert (info.name, info.version) == ("sora2-mcp", __version__)
        assert len(me.client.instructions or "") < 1000
        assert all(word in (me.client.instructions or "").split("\n")[0] for word in ("video", "Sora", "text-to-video"))


async def test_a_wait_that_runs_out_is_a_normal_result_that_says_how_to_go_on(tmp_path: Path, mode: str) -> None:
    async with agent(tmp_path, mode=mode, simulator=Simulator(seconds_per_task=1000)) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        result = await me.call("wait_for_video", task_id=task_id, timeout_seconds=0)

        assert not result.is_error
        assert text_of(result).startswith(f"Still generating: {task_id}")
        assert f'wait_for_video(task_id="{task_id}") again' in text_of(result)
        assert (result.structured_content or {})["poll_after_seconds"] == 1
        assert [request.path for request in me.simulator.received] == ["/api/v1/sora2/generate"]


async def test_a_server_without_a_key_lists_everything_and_the_first_order_names_the_variable(
    tmp_path: Path, mode: str
) -> None:
    async with agent(tmp_path, mode=mode, api_key="") as me:
        assert len((await me.client.list_tools()).tools) == len(tool_names())
        assert len((await me.client.list_resources()).resources) == 5
        assert len((await me.client.list_prompts()).prompts) == 3
        error = await me.error("generate_video", prompt="A kitten")

        assert "SORA2_API_KEY is not set" in error
        assert "Nothing was spent." in error
        assert "--simulate" in error
        assert me.simulator.received == ()
