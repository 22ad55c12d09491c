"""Bad input: one sentence with the argument's name and what is allowed, and nothing is sent."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sora2_mcp.simulator.app import Simulator
from tests.servers import Agent, agent

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def anybody(shared_folder: Path) -> AsyncIterator[Agent]:
    """An agent for all calls that must not change anything."""
    async with agent(shared_folder) as me:
        yield me


BAD = [
    ("generate_video", {}, "prompt is missing; allowed is a text of 1 to 5,000 characters."),
    ("generate_video", {"prompt": ""}, "prompt is empty; describe the video in 1 to 5,000 characters."),
    ("generate_video", {"prompt": " \n "}, "prompt is empty; describe the video in 1 to 5,000 characters."),
    ("generate_video", {"prompt": "x" * 5001}, "prompt has 5,001 characters; allowed are 1 to 5,000."),
    ("generate_video", {"prompt": 5}, "prompt must be a text of 1 to 5,000 characters."),
    ("generate_video", {"prompt": "x", "quality": "ultra"}, 'quality must be "standard" or "hd".'),
    ("generate_video", {"prompt": "x", "aspect_ratio": "1:1"}, 'aspect_ratio must be "landscape" or "portrait".'),
    ("generate_video", {"prompt": "x", "duration": 5}, "duration is not an argument of generate_video; allowed are"),
    ("generate_video", {"prompt": "x", "image_urls": ["file:///etc"]}, "image_urls holds something that is not an"),
    ("generate_video", {"prompt": "x", "image_urls": [5]}, "image_urls must be a list of at most 10 texts."),
    (
        "generate_video",
        {"prompt": "x", "image_urls": ["http://a.b"] * 11},
        "image_urls must be a list of at most 10 te",
    ),
    ("generate_video", {"prompt": "x", "image_urls": [*range(290_000)]}, "image_urls must be a list of at most 10"),
    (
        "generate_video",
        {"prompt": "x", "callback_url": "http://" + "\u0301" * 300_000},
        "callback_url holds an address longer than 2,000 characters.",
    ),
    ("generate_video", {"prompt": "x", "callback_url": "ftp://x"}, "callback_url holds something that is not an"),
    (
        "generate_video",
        {"prompt": "x", "watermark": "w" * 201},
        "watermark has 201 characters; allowed are at most 200.",
    ),
    (
        "generate_video",
        {"prompt": "x", "idempotency_key": "k" * 201},
        "idempotency_key has 201 characters; allowed are at",
    ),
    ("get_task_status", {"task_id": ["a"]}, "task_id must be a text."),
    ("get_task_status", {}, "task_id is missing; allowed is a text."),
    ("wait_for_video", {"task_id": "a", "timeout_seconds": "soon"}, "timeout_seconds must be a whole number."),
    ("list_tasks", {"limit": 51}, "limit must be a whole number from 1 to 50."),
    ("list_tasks", {"limit": 0}, "limit must be a whole number from 1 to 50."),
    ("list_tasks", {"status": "done"}, 'status must be "any" or "generating" or'),
    ("list_tasks", {"cursor": "zzz"}, "cursor is not one that list_tasks gave; leave it out for the newest tasks."),
]


@pytest.mark.parametrize(("tool", "arguments", "sentence"), BAD)
async def test_a_bad_argument_is_named_with_what_is_allowed(
    anybody: Agent, tool: str, arguments: dict[str, Any], sentence: str
) -> None:
    before = anybody.simulator.received
    error = await anybody.error(tool, **arguments)

    assert sentence in error
    assert "Nothing was spent." in error
    assert error.splitlines()[-1] == "Next: Correct the argument and call again."
    assert "pydantic" not in error
    assert "Error executing tool" not in error
    assert anybody.simulator.received == before


@pytest.mark.parametrize("task_id", ["nope", "", " ", "a b", "../x", "x" * 300, "local-0", "ü\u202e", "null"])
@pytest.mark.parametrize("tool", ["get_task_status", "wait_for_video", "download_video"])
async def test_every_unknown_id_points_to_list_tasks(anybody: Agent, tool: str, task_id: str) -> None:
    error = await anybody.error(tool, task_id=task_id)

    assert "There is no task" in error
    assert "Next: Call list_tasks" in error
    assert "\u202e" not in error


async def test_null_for_an_optional_argument_counts_as_left_out(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        ordered = await me.content("generate_video", prompt="x", quality=None, image_urls=None, watermark=None)

        assert (ordered["quality"], "watermark" in ordered) == ("standard", False)


async def test_a_lone_image_address_counts_as_a_list_of_one(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        ordered = await me.content("generate_video", prompt="x", image_urls="https://example.com/a.png")

        assert ordered["image_urls"] == ["https://example.com/a.png"]


async def test_empty_optional_parameters_are_left_out_of_the_body(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        await me.content("generate_video", prompt="x", watermark="", callback_url="", image_urls=[])

        assert me.simulator.received[0].body == {"prompt": "x", "aspectRatio": "landscape", "quality": "standard"}


@pytest.fixture(scope="module")
async def waiting(shared_folder: Path) -> AsyncIterator[Agent]:
    """An agent whose only task takes long."""
    folder = shared_folder / "waiting"
    folder.mkdir()
    async with agent(folder, max_wait_seconds=0.05, simulator=Simulator(seconds_per_task=1000)) as me:
        yield me


@pytest.mark.parametrize("timeout_seconds", [-5, 10**12, 0.4])
async def test_a_wait_of_any_length_is_brought_into_range_and_never_refused(
    waiting: Agent, timeout_seconds: float
) -> None:
    task_id = (await waiting.content("generate_video", prompt="x"))["task_id"]
    waited = await waiting.content("wait_for_video", task_id=task_id, timeout_seconds=timeout_seconds)

    assert waited["status"] == "generating"


async def test_an_unknown_tool_is_answered_with_the_ones_there_are(anybody: Agent) -> None:
    error = await anybody.error("make_movie", prompt="x")

    assert "generate_video, get_task_status, wait_for_video, list_tasks, download_video" in error
