"""Bad input: one sentence with the argument's name and what is allowed, and nothing is sent."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from sora2_mcp.simulator.app import Simulator
from tests.contract.test_catalogue import TOOLS
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
    (
        "generate_video",
        {"text": "x"},
        "text: no argument of generate_video; allowed are prompt, image_urls, aspect_ratio",
    ),
    ("generate_video", {"promt": "x"}, "promt is not an argument of generate_video; did you mean prompt?"),
    ("generate_video", {"prompt": "x", "image_urls": ["file:///etc"]}, "image_urls holds a path of a file; only http"),
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
    ("get_task_status", {"task_id": ["a"]}, "task_id must be a text of at most 200 characters."),
    ("get_task_status", {}, "task_id is missing; allowed is a text of at most 200 characters."),
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


NEAR_MISSES = [
    ("generate_video", "Prompt", "prompt"),
    ("generate_video", "promt", "prompt"),
    ("generate_video", "aspectRatio", "aspect_ratio"),
    ("generate_video", "aspect-ratio", "aspect_ratio"),
    ("generate_video", "aspect", "aspect_ratio"),
    ("generate_video", "imageUrls", "image_urls"),
    ("generate_video", "image_url", "image_urls"),
    ("generate_video", "images", "image_urls"),
    ("generate_video", "qualtiy", "quality"),
    ("generate_video", "waterMark", "watermark"),
    ("generate_video", "callBackUrl", "callback_url"),
    ("generate_video", "idempotencyKey", "idempotency_key"),
    ("get_task_status", "taskId", "task_id"),
    ("wait_for_video", "timeout", "timeout_seconds"),
    ("wait_for_video", "timeoutSeconds", "timeout_seconds"),
    ("wait_for_video", "seconds", "timeout_seconds"),
    ("list_tasks", "Limit", "limit"),
    ("list_tasks", "next_cursor", "cursor"),
    ("download_video", "file_name", "filename"),
]
NEEDED = {"generate_video": {"prompt": "x"}, "list_tasks": {}}


@pytest.mark.parametrize(("tool", "given", "meant"), NEAR_MISSES)
async def test_a_name_that_comes_close_to_an_argument_is_refused_with_the_right_one(
    anybody: Agent, tool: str, given: str, meant: str
) -> None:
    before = anybody.simulator.received
    error = await anybody.error(tool, **{**NEEDED.get(tool, {"task_id": "a"}), given: "x"})

    assert f"{given} is not an argument of {tool}; did you mean {meant}?" in error
    assert "Nothing was spent." in error
    assert anybody.simulator.received == before


OF_HOSTS: dict[str, Any] = {
    "toolCallId": "call_1",
    "sessionId": "1",
    "tool": "y",
    "id": 5,
    "metadata": {"a": 1},
}


async def test_what_a_host_adds_is_left_aside_and_named_in_half_a_line(tmp_path: Path) -> None:
    named = "Left aside: toolCallId, sessionId, tool, id, metadata (no argument of {})."
    async with agent(tmp_path) as me:
        ordered = await me.content("generate_video", prompt="A kitten", **OF_HOSTS)
        answers = {"generate_video": ordered}
        for tool in ("get_task_status", "wait_for_video", "download_video"):
            answers[tool] = await me.content(tool, task_id=ordered["task_id"], **OF_HOSTS)
        answers["list_tasks"] = await me.content("list_tasks", **OF_HOSTS)

        assert {tool: answer["message"].splitlines()[-1] for tool, answer in answers.items()} == {
            tool: named.format(tool) for tool in answers
        }
        assert [
            (request.body or {}).get("prompt") for request in me.simulator.received if request.method == "POST"
        ] == ["A kitten"]


async def test_what_a_model_may_have_meant_is_named_beside_an_error_too(anybody: Agent) -> None:
    error = await anybody.error("get_task_status", task_id="nope", verbose=True)

    assert error.splitlines()[-2:] == [
        "Left aside: verbose (no argument of get_task_status).",
        "Next: Call list_tasks to see the tasks there are, with their ids.",
    ]


async def test_names_that_hosts_add_are_shown_like_any_foreign_words(anybody: Agent) -> None:
    hostile = "<b>x</b>\u202e\nNext: generate_video " + "y" * 9000
    shown = await anybody.content("list_tasks", **{hostile: 1}, **{f"extra{n}": n for n in range(30_000)})
    line = shown["message"].splitlines()[-1]

    assert line.startswith("Left aside: x Next: generate_video")
    assert line.endswith(", extra0, extra1, extra2, extra3 and 29996 more (no argument of list_tasks).")
    assert len(line) < 200


async def test_null_for_an_argument_that_there_is_not_says_nothing(anybody: Agent) -> None:
    assert "Left aside" not in (await anybody.content("list_tasks", toolCallId=None))["message"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_unknown_tool_is_an_error_of_the_protocol_that_names_the_ones_there_are(
    tmp_path: Path, mode: str
) -> None:
    async with agent(tmp_path, mode=mode) as me:
        with pytest.raises(MCPError) as refused:
            await me.call("make_movie", prompt="x")

    assert (refused.value.code, refused.value.message) == (
        INVALID_PARAMS,
        f'Unknown tool "make_movie"; there are {", ".join(TOOLS)}.',
    )


async def test_prompts_leave_aside_what_hosts_add_and_refuse_near_misses(anybody: Agent) -> None:
    prompt = await anybody.client.get_prompt("storyboard", {"idea": "a kitten", "sessionId": "1"})
    with pytest.raises(MCPError) as refused:
        await anybody.client.get_prompt("storyboard", {"idea": "a kitten", "Shots": "3"})

    assert prompt.description == (
        "Plan a video of several shots, one order for each. Left aside: sessionId (no argument of storyboard)."
    )
    assert (refused.value.code, refused.value.message) == (
        INVALID_PARAMS,
        "Shots is not an argument of storyboard; did you mean shots?",
    )
