"""The service keeps a video for 15 days: whoever has not saved it is warned, and no dead link is handed out."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.faults.front import Visit
from tests.faults.test_videos import agent_of, asked
from tests.servers import Agent, agent, text_of

pytestmark = pytest.mark.anyio

DAY_SECONDS = 86_400.0


async def finished(me: Agent, prompt: str = "A kitten") -> dict[str, Any]:
    """A task with its video, finished when the clock began to run."""
    task_id = (await me.content("generate_video", prompt=prompt))["task_id"]
    return await me.content("get_task_status", task_id=task_id)


async def resource(me: Agent, uri: str) -> dict[str, Any]:
    contents = (await me.client.read_resource(uri)).contents
    content: dict[str, Any] = json.loads(contents[0].text)  # type: ignore[union-attr]
    return content


async def listed_warnings(me: Agent) -> list[str]:
    warnings: list[str] = (await resource(me, "sora2://tasks")).get("warnings", [])
    return warnings


@pytest.mark.parametrize(
    ("days", "when"),
    [(12.1, "in 2 days"), (13.5, "within two days"), (14.5, "within a day")],
)
async def test_a_video_that_is_not_saved_and_about_to_be_deleted_is_warned_of(
    tmp_path: Path, clock: FakeClock, days: float, when: str
) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator) as me:
        task = await finished(me)
        await clock.advance(days * DAY_SECONDS)

        deleted = f"{when}, on 2026-12-07 12:00 UTC"
        for tool in ("get_task_status", "wait_for_video"):
            text = text_of(await me.call(tool, task_id=task["task_id"]))
            assert f"{task['video_url']} (NOT SAVED, and deleted {deleted}: save it now" in text.splitlines()[0]
        warning = (
            f"The video of {task['task_id']} is not saved and deleted {deleted}: "
            f'download_video(task_id="{task["task_id"]}").'
        )
        assert text_of(await me.call("list_tasks")).splitlines()[1] == warning
        assert await listed_warnings(me) == [warning]
        assert (await resource(me, f"sora2://tasks/{task['task_id']}"))["warnings"] == [warning]


async def test_a_saved_or_a_young_video_is_not_warned_of(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator) as me:
        task = await finished(me)
        await clock.advance(11.9 * DAY_SECONDS)
        assert await listed_warnings(me) == []
        assert "kept until 2026-12-07" in text_of(await me.call("get_task_status", task_id=task["task_id"]))

        saved = await me.content("download_video", task_id=task["task_id"])
        for _ in range(2):
            await clock.advance(2 * DAY_SECONDS)
            text = text_of(await me.call("get_task_status", task_id=task["task_id"]))
            assert f"Already saved: {saved['file_path']}" in text
            assert await listed_warnings(me) == []
            assert "warnings" not in await resource(me, f"sora2://tasks/{task['task_id']}")


async def test_an_expired_video_is_said_to_be_gone_and_its_link_is_not_handed_out(
    tmp_path: Path, clock: FakeClock
) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator) as me:
        task = await finished(me)
        await clock.advance(15 * DAY_SECONDS)

        for tool in ("get_task_status", "wait_for_video"):
            result = await me.call(tool, task_id=task["task_id"])
            assert text_of(result) == (
                f"Expired: {task['task_id']} (landscape, standard) was done in 0 s, but its video was not saved, and "
                "the service deleted it on 2026-12-07, 15 days later.\n"
                "Next: tell the user; only a new order with generate_video makes it again, and costs credits."
            )
            assert "video_url" not in (result.structured_content or {})
        [line, *_] = text_of(await me.call("list_tasks")).splitlines()
        assert line.endswith('"A kitten" · expired 2026-12-07, not saved')
        gone = f"The video of {task['task_id']} is gone: it was not saved, and the service deleted it on 2026-12-07."
        shown = await resource(me, f"sora2://tasks/{task['task_id']}")
        assert (shown["warnings"], "video_url" in shown) == ([gone], False)
        assert await listed_warnings(me) == [gone]
        with pytest.raises(MCPError) as caught:
            await me.client.read_resource(f"sora2://tasks/{task['task_id']}/video")
        assert caught.value.error.message == gone


@pytest.mark.parametrize("status", [404, 200, 500])
async def test_an_expired_video_that_its_host_does_not_give_is_said_to_be_deleted(
    tmp_path: Path, clock: FakeClock, status: int
) -> None:
    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        page = f"HTTP/1.1 {status} X\r\ncontent-length: 13\r\n\r\n<html></html>".encode()
        await visit.send(page if visit.is_video else answer)

    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent_of(tmp_path, simulator, treat, clock) as me:
        task = await finished(me)
        await clock.advance(15 * DAY_SECONDS)
        answer = await asked(me, clock, task["task_id"])

    assert answer.is_error
    assert text_of(answer) == (
        f"Not saved: The video of task {task['task_id']} was not saved: the service deleted it on 2026-12-07, 15 days "
        "after it was done. Nothing was spent.\n"
        "Repeating the same call cannot help.\n"
        "Next: Tell the user; only a new order with generate_video makes it again, and costs credits."
    )


async def test_an_expired_video_that_its_host_still_gives_is_saved(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator) as me:
        task = await finished(me)
        await clock.advance(15 * DAY_SECONDS)

        assert Path((await me.content("download_video", task_id=task["task_id"]))["file_path"]).is_file()


async def test_the_dead_link_of_a_saved_video_is_not_handed_out(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator) as me:
        task = await finished(me)
        path = (await me.content("download_video", task_id=task["task_id"]))["file_path"]
        await clock.advance(15 * DAY_SECONDS)

        results = [await me.call(tool, task_id=task["task_id"]) for tool in ("get_task_status", "download_video")]
        assert text_of(results[0]) == (
            f"Done in 0 s, landscape, standard; the service deleted its copy on 2026-12-07.\nAlready saved: {path}\n"
            "Next: tell the user where the file is."
        )
        assert text_of(results[1]) == f"Already saved: {path} (0.05 MB).\nNext: tell the user where the file is."
        contents = [result.structured_content or {} for result in results]
        contents.append(await resource(me, f"sora2://tasks/{task['task_id']}"))
        contents += (await resource(me, "sora2://tasks"))["tasks"]
        contents += (await me.content("list_tasks"))["tasks"]
        assert [(content["file_path"], content.get("video_url")) for content in contents] == [(path, None)] * 5
