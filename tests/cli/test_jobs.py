"""The commands over a core in this process, where a test moves time."""

from pathlib import Path

import anyio
import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.jobs import perform
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.runtime import Runtime
from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.network import NETWORK
from tests.tasks.core import LONG_SECONDS, opened, settings_for, until

pytestmark = pytest.mark.anyio

DOWNLOAD_ALL = parse(["tasks", "download", "--all"])
COUNT = 12


async def performed(runtime: Runtime) -> int:
    async with runtime:
        return await perform(DOWNLOAD_ALL, runtime)


async def test_every_finished_video_is_found_and_saved_however_long_the_looks_take(
    tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    async with NETWORK.simulating(Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)) as url:
        settings = settings_for(tmp_path, url, idle_poll_seconds=LONG_SECONDS)
        async with opened(settings, clock) as service:
            for number in range(COUNT):
                await service.submit(VideoRequest(prompt=f"Kitten {number}"), "local")
        # Time runs so fast here that few looks get their turn within the time that one is given elsewhere.
        slow = settings.model_copy(update={"max_requests_per_second": 10.0})

        async with Runtime(slow, clock=clock, transport=NETWORK) as runtime, anyio.create_task_group() as group:
            # Opening the store is not to be hurried by a clock that runs so fast.
            await runtime.tasks()

            async def download_all() -> None:
                codes.append(await perform(DOWNLOAD_ALL, runtime))

            group.start_soon(download_all)
            await until(clock, lambda: bool(codes), step_seconds=0.5)

    assert (codes, capsys.readouterr().out.splitlines()[-1]) == ([0], f"{COUNT} saved")
    assert len([*(tmp_path / "videos").glob("*.mp4")]) == COUNT


async def test_what_is_not_finished_yet_is_counted_and_not_passed_over_in_silence(
    tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with NETWORK.simulating(Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)) as url:
        settings = settings_for(tmp_path, url)
        async with opened(settings, clock) as service:
            for prompt in ("A kitten", "A puppy [sim:seconds=600]", "A foal [sim:seconds=600]"):
                await service.submit(VideoRequest(prompt=prompt), "local")

        code = await performed(Runtime(settings, clock=clock, transport=NETWORK))

    assert (code, capsys.readouterr().out.splitlines()[-1]) == (0, "1 saved, 2 still generating")


async def test_what_could_not_be_looked_at_is_told_with_the_reason_and_the_rest_is_saved(
    tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with NETWORK.simulating(simulator) as url:
        settings = settings_for(tmp_path, url)
        async with opened(settings, clock) as service:
            for prompt in ("A kitten", "A puppy [sim:look-401]", "A foal [sim:look-401]"):
                await service.submit(VideoRequest(prompt=prompt), "local")

        code = await performed(Runtime(settings, clock=clock, transport=NETWORK))

    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("2 could not be looked at: The service does not accept the API key (401)")
    assert (code, last) == (1, "1 saved, 2 not looked at; repeat the command for those")
