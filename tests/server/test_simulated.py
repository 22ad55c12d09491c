"""On the simulator nothing is paid for, and no address is good for anybody else or for long."""

from pathlib import Path

import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.servers import Agent, agent, text_of

pytestmark = pytest.mark.anyio

MONEY = ("paid", "charged", "credits", "cost")


async def said(me: Agent, tool: str, **arguments: object) -> str:
    return text_of(await me.call(tool, **arguments))


async def test_no_text_speaks_of_money_or_hands_the_address_on(tmp_path: Path) -> None:
    async with agent(tmp_path, simulate=True) as me:
        ordered = await said(me, "generate_video", prompt="A kitten")
        task_id = ordered.split()[2].strip(",")
        done = await said(me, "wait_for_video", task_id=task_id)
        saved = await said(me, "download_video", task_id=task_id)

    assert ordered.startswith(f"Ordered: task {task_id}, landscape, standard. The simulator gives a small clip")
    assert "(a clip of the simulator's, on this computer and only while this server runs)" in done
    assert "http" not in saved
    assert "the user this link" not in ordered + done + saved
    assert not [word for word in MONEY if word in ordered + done + saved]


@pytest.mark.parametrize("fault", ["order-drop", "no-url"])
async def test_no_failure_speaks_of_money(tmp_path: Path, clock: FakeClock, fault: str) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, simulate=True, simulator=simulator, clock=clock, idle_poll_seconds=60) as me:
        content = await me.content("generate_video", prompt=f"A kitten [sim:{fault}]")
        for _ in range(12):
            await clock.advance(61)
            text = await said(me, "get_task_status", task_id=content["task_id"])

    assert text.startswith(("Unclear whether", "Failed while generating"))
    assert not [word for word in MONEY if word in text]
