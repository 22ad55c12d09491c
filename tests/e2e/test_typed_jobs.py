"""What ``generate`` and ``tasks`` say, in this process, on a simulator that needs no socket."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.jobs import perform
from sora2_mcp.errors import ArgumentError
from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.network import simulated
from tests.servers import settings_in
from tests.stores import store_in
from tests.tasks.core import orders

pytestmark = pytest.mark.anyio

DAY = 86_400 * 10**6
INSTANTS = ("created_at", "known_unfinished_at", "finished_at", "url_seen_at", "video_expires_at")

Typed = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def simulator() -> Simulator:
    """Videos are done at once."""
    return Simulator(seconds_per_task=0)


@pytest.fixture
async def typed(tmp_path: Path, simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Typed]:
    """Runs a command; gives the exit code and what it writes."""
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(simulated(settings_in(tmp_path), simulator))
        await runtime.tasks(PATIENCE_SECONDS)

        async def typed(*arguments: str) -> tuple[int, str]:
            code = await perform(parse(arguments), runtime)
            return code, capsys.readouterr().out

        yield typed


async def test_an_order_can_be_left_to_be_waited_for_later(typed: Typed) -> None:
    code, written = await typed("generate", "A kitten", "--no-wait")
    task_id = written.split()[1]
    waited, said = await typed("tasks", "wait", task_id, "--timeout", "20")

    assert (code, written) == (0, f"Ordered: {task_id}\n")
    assert (waited, said.startswith("Done in ")) == (0, True)


async def test_everything_that_is_done_and_not_saved_is_saved_by_one_command(tmp_path: Path, typed: Typed) -> None:
    for number in range(3):
        await typed("generate", f"Kitten {number}", "--no-wait")
    code, written = await typed("tasks", "download", "--all")
    again = await typed("tasks", "download", "--all")

    *saved, last = written.splitlines()
    assert (code, last) == (0, "3 saved")
    assert sorted(saved) == sorted(f"Saved: {file}" for file in (tmp_path / "videos").iterdir())
    assert len(saved) == 3
    assert again == (0, "0 saved\n")


async def test_what_cannot_be_saved_is_named_and_the_rest_is_saved(tmp_path: Path, typed: Typed) -> None:
    for number in range(2):
        _, written = await typed("generate", f"Kitten {number}", "--no-wait")
        await typed("tasks", "show", written.split()[1])
    nowhere = "UPDATE tasks SET video_url = 'http://127.0.0.1:9/x.mp4', task_id = 'x' WHERE prompt = 'Kitten 0'"
    store_in(tmp_path).change(nowhere)
    code, written = await typed("tasks", "download", "--all")

    assert code == 1
    assert "Not saved: The video of task x was not saved: " in written
    assert written.splitlines()[-1] == "1 saved, 1 not saved; repeat the command for those"


async def test_the_command_line_says_what_expires_and_what_has(tmp_path: Path, typed: Typed) -> None:
    _, written = await typed("generate", "Kitten", "--no-wait")
    task_id = written.split()[1]
    await typed("tasks", "show", task_id)
    said = []
    for days in (13, 3):
        earlier = ", ".join(f"{name} = {name} - {days * DAY}" for name in INSTANTS)
        store_in(tmp_path).change(f"UPDATE tasks SET {earlier}")  # noqa: S608 - names of columns and a number
        said += [(await typed("tasks", *verb))[1] for verb in (("show", task_id), ("list",))]

    assert "NOT SAVED, and deleted within two days, on " in said[0]
    warning, way_out = said[1].splitlines()[1:]
    assert re.fullmatch(rf"The video of {task_id} is not saved and deleted within two days, on .+ UTC\.", warning)
    assert way_out == "Save what is done with: sora2-mcp tasks download --all"
    assert said[2].startswith(f"Expired: {task_id} was done")
    assert re.fullmatch(r'sora2_task_.* · "Kitten" · expired \d{4}-\d\d-\d\d, not saved\n', said[3])


async def test_a_failed_video_ends_with_code_1_and_the_reason(typed: Typed) -> None:
    code, written = await typed("generate", "A kitten [sim:generation-failure]")

    assert code == 1
    assert "Failed while generating (code 501)" in written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tasks", "list", "--limit", "0"), "--limit must be a whole number from 1 to 1000"),
        (("tasks", "download", "x", "--all"), "leave out TASK_ID and --filename"),
        (("generate", " "), "prompt is empty"),
    ],
)
async def test_an_argument_that_does_not_fit_is_named(
    typed: Typed, simulator: Simulator, arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ArgumentError, match=re.escape(words)):
        await typed(*arguments)

    assert simulator.received == ()


async def test_no_wait_still_waits_for_the_services_answer(
    tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, faults=["order-slow=4*1"])
    codes = list[Any]()
    async with simulated(settings_in(tmp_path), simulator, clock) as runtime, anyio.create_task_group() as group:

        async def generate() -> None:
            codes.append(await perform(parse(["generate", "A kitten", "--no-wait"]), runtime))

        group.start_soon(generate)
        await eventually(lambda: len(orders(simulator)) == 1)
        await clock.advance(3.9)
        assert codes == []
        await _until_answered(clock, codes)
        await perform(parse(["tasks", "list"]), runtime)

    ordered, listed = capsys.readouterr().out.splitlines()
    assert codes == [0]
    assert ordered.startswith("Ordered: sora2_task_")
    assert "unconfirmed" not in listed


async def _until_answered(clock: FakeClock, codes: list[Any]) -> None:
    async def advanced() -> bool:
        await clock.advance(0.1)
        return bool(codes)

    await eventually(advanced)
