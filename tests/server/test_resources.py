"""Resources, completions and prompts as hosts use them."""

import json
import os
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)

from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS
from tests.servers import Agent, agent
from tests.stores import store_in

pytestmark = pytest.mark.anyio

TASK = ResourceTemplateReference(type="ref/resource", uri="sora2://tasks/{task_id}")
REVIEW = PromptReference(type="ref/prompt", name="review_failed_task")


async def read(me: Agent, uri: str) -> str:
    (content,) = (await me.client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


async def test_recent_tasks_read_like_the_tools_own_list(tmp_path: Path) -> None:
    async with agent(tmp_path, poll_seconds=60) as me:
        for number in range(3):
            await me.content("generate_video", prompt=f"Kitten {number}", quality="hd")
        listed = (await me.content("list_tasks"))["tasks"]
        resource: dict[str, Any] = json.loads(await read(me, "sora2://tasks"))

        assert [task["prompt"] for task in resource["tasks"]] == ["Kitten 2", "Kitten 1", "Kitten 0"]
        assert [task["task_id"] for task in resource["tasks"]] == [task["task_id"] for task in listed]


async def test_reading_a_task_asks_the_service_nothing(tmp_path: Path) -> None:
    async with agent(tmp_path, poll_seconds=60) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]

        assert json.loads(await read(me, f"sora2://tasks/{task_id}"))["status"] == "generating"
        assert [request.method for request in me.simulator.received] == ["POST"]


async def test_usage_counts_orders_and_what_the_limits_leave(tmp_path: Path) -> None:
    async with agent(tmp_path, daily_limit=5, poll_seconds=60) as me:
        await me.content("generate_video", prompt="A kitten")

        assert json.loads(await read(me, "sora2://usage")) == {
            "today": {"orders": 1, "failed": 0},
            "this_month": {"orders": 1, "failed": 0},
            "limits": {"daily": {"used": 1, "limit": 5, "left": 4}},
        }


async def test_the_guide_gives_the_vendors_advice(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        guide = await read(me, "sora2://guide")

        assert all(word in guide for word in ("slow push in", "orbit shot", "standard", "hd", "15 days"))


@pytest.mark.parametrize("uri", ["sora2://tasks/nope", "sora2://tasks/nope/video"])
async def test_an_unknown_task_is_invalid_and_points_to_list_tasks(tmp_path: Path, uri: str) -> None:
    async with agent(tmp_path) as me:
        with pytest.raises(MCPError) as caught:
            await read(me, uri)

        assert caught.value.error.code == INVALID_PARAMS
        assert 'There is no task "nope". Call list_tasks' in caught.value.error.message
        assert me.simulator.received == ()


async def test_a_video_that_is_not_saved_says_which_call_saves_it(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        with pytest.raises(MCPError, match=f'call download_video\\(task_id="{task_id}"\\) first'):
            await read(me, f"sora2://tasks/{task_id}/video")


async def saved_video(me: Agent) -> tuple[str, Path]:
    """A saved task's resource and file."""
    task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
    await me.content("wait_for_video", task_id=task_id)
    return f"sora2://tasks/{task_id}/video", Path((await me.content("download_video", task_id=task_id))["file_path"])


async def test_a_video_too_large_for_a_host_is_named_by_its_file_instead(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        uri, file = await saved_video(me)
        for size, ending in ((25_000_000, ""), (25_000_001, f"25 MB, too much to hand over here; its file is {file}.")):
            with file.open("r+b") as opened:
                opened.truncate(size)
            store_in(tmp_path).change(f"UPDATE tasks SET file_size_bytes = {size}")  # noqa: S608 - a number
            if ending:
                with pytest.raises(MCPError) as caught:
                    await me.client.read_resource(uri)
                assert caught.value.error.message == f"The video has {ending}"
            else:
                (content,) = (await me.client.read_resource(uri)).contents
                assert isinstance(content, BlobResourceContents)
                assert len(b64decode(content.blob)) == size


@pytest.mark.parametrize("size", [0, 60_000_000, None], ids=["emptied", "grown beyond the limit", "deleted"])
async def test_a_file_that_is_no_longer_what_was_saved_is_not_handed_over(tmp_path: Path, size: int | None) -> None:
    async with agent(tmp_path) as me:
        uri, file = await saved_video(me)
        file.unlink()
        if size is not None:
            with file.open("wb") as opened:
                opened.truncate(size)
        with pytest.raises(MCPError) as caught:
            await me.client.read_resource(uri)

    task_id = uri.split("/")[3]
    assert caught.value.error.message == (
        f"The file {file} is gone, or not what was saved any more; call "
        f'download_video(task_id="{task_id}") to save the video again.'
    )


@pytest.mark.parametrize("place", ["fifo", "folder"])
async def test_what_is_no_file_is_not_read_as_one(tmp_path: Path, place: str) -> None:
    async with agent(tmp_path) as me:
        uri, file = await saved_video(me)
        file.unlink()
        os.mkfifo(file) if place == "fifo" else file.mkdir()
        store_in(tmp_path).change(f"UPDATE tasks SET file_size_bytes = {file.stat().st_size}")  # noqa: S608 - a number
        with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(MCPError, match="not what was saved any more"):
            await me.client.read_resource(uri)


async def test_the_newest_twenty_tasks_are_listed_under_plain_names_and_titles_that_say_what_they_are(
    tmp_path: Path,
) -> None:
    async with agent(tmp_path, poll_seconds=60) as me:
        ids = [(await me.content("generate_video", prompt=f"Kitten {n}!"))["task_id"] for n in range(22)]
        listed = (await me.client.list_resources()).resources

        tasks = [resource for resource in listed if resource.name.startswith("task-")]
        assert [resource.title for resource in tasks] == [f"generating: Kitten {n}!" for n in range(21, 1, -1)]
        assert [resource.name for resource in tasks] == [f"task-{id}" for id in ids[:1:-1]]
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", resource.name) for resource in listed)


async def test_task_ids_complete_from_their_beginning(tmp_path: Path) -> None:
    async with agent(tmp_path, poll_seconds=60) as me:
        ids = [(await me.content("generate_video", prompt=f"Kitten {number}"))["task_id"] for number in range(3)]
        one = await me.client.complete(TASK, {"name": "task_id", "value": ids[1]})
        every = await me.client.complete(TASK, {"name": "task_id", "value": "sora2_task_"})
        none = await me.client.complete(TASK, {"name": "task_id", "value": "x"})

        assert one.completion.values == [ids[1]]
        assert every.completion.values == ids[::-1]
        assert none.completion.values == []


async def test_the_review_prompt_completes_with_failed_tasks_only_and_tells_what_is_known(tmp_path: Path) -> None:
    async with agent(tmp_path, simulator=Simulator(seconds_per_task=0)) as me:
        await me.content("generate_video", prompt="Good")
        failed = (await me.content("generate_video", prompt="Bad [sim:generation-failure]"))["task_id"]
        await me.content("wait_for_video", task_id=failed)
        completed = await me.client.complete(REVIEW, {"name": "task_id", "value": ""})
        prompt = await me.client.get_prompt("review_failed_task", {"task_id": failed})
        content = prompt.messages[0].content

        assert completed.completion.values == [failed]
        assert isinstance(content, TextContent)
        assert "Failed while generating (landscape, standard; code 501)" in content.text
        assert 'Its prompt was: "Bad [sim:generation-failure]"' in content.text


async def test_prompts_carry_what_was_filled_in(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        written = await me.client.get_prompt("write_video_prompt", {"idea": "a kitten", "camera": "orbit shot"})
        content = written.messages[0].content

        assert isinstance(content, TextContent)
        assert "about: a kitten. Camera: orbit shot." in content.text
        assert "ask whether to order it" in content.text


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nope", {}, 'There is no prompt "nope"; there are write_video_prompt, storyboard, review_failed_task.'),
        ("storyboard", {}, "idea is missing: The story or message."),
        ("storyboard", {"idea": " "}, "idea is missing: The story or message."),
    ],
)
async def test_a_wrong_prompt_call_is_invalid_parameters_in_words(
    tmp_path: Path, name: str, arguments: dict[str, str], message: str
) -> None:
    async with agent(tmp_path) as me:
        with pytest.raises(MCPError) as caught:
            await me.client.get_prompt(name, arguments)

        assert (caught.value.error.code, caught.value.error.message) == (INVALID_PARAMS, message)


async def test_lists_that_never_change_may_be_cached_by_anybody_and_tasks_by_nobody(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        hints = [
            (result.cache_scope, result.ttl_ms)
            for result in (
                await me.client.list_tools(),
                await me.client.list_prompts(),
                await me.client.list_resource_templates(),
                await me.client.list_resources(),
                await me.client.read_resource("sora2://tasks"),
            )
        ]

        assert hints == [("public", 3_600_000)] * 3 + [("private", 0)] * 2
