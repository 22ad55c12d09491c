"""``sora2-mcp tasks download --all`` as a person sees it: on a terminal, and interrupted."""

import asyncio
import re
import signal
import threading
from pathlib import Path

from tests.clocks import PATIENCE_SECONDS
from tests.e2e.download_all import ALL, ordered, places
from tests.e2e.processes import Process, completed
from tests.e2e.terminals import on_a_terminal, without_colours
from tests.faults.front import Visit, in_front_of_process
from tests.faults.hosts import Service

A_BAR = re.compile(r"^(sora2_task_\w+) ━", re.MULTILINE)
AT_ONCE = 4


def test_on_a_terminal_every_file_has_a_bar_while_it_is_saved_and_then_a_whole_line(
    tmp_path: Path, sora: Service
) -> None:
    ids = ordered(tmp_path, sora.base_url, 12)

    there = places(tmp_path, sora.base_url)
    shown = without_colours(on_a_terminal(tmp_path, *ALL, columns=70, rows=10, code=0, **there))

    frames = [A_BAR.findall(frame.replace("\r\n", "\n")) for frame in re.split(r"(?:\r?\x1b\[\d*[A-Z])+", shown)]
    assert {id for frame in frames for id in frame} == {*ids}
    assert max(map(len, frames)) <= AT_ONCE
    for path in (tmp_path / "videos").iterdir():
        assert f"Saved: {path}\r\n" in shown
    assert shown.rstrip().endswith("12 saved")


def test_interrupted_it_says_what_is_left_and_repeated_it_saves_just_that(tmp_path: Path, sora: Service) -> None:
    fetched, goes_on = list[bytes](), threading.Event()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if visit.is_video:
            fetched.append(visit.request.split()[1])
            if len(fetched) > 1 and not goes_on.is_set():
                await visit.send(answer[: len(answer) // 2])
                await asyncio.to_thread(goes_on.wait, PATIENCE_SECONDS)
                return
        await visit.send(answer)

    with in_front_of_process(sora.base_url, treat) as url:
        ordered(tmp_path, url, 5)
        with Process(tmp_path, *ALL, **places(tmp_path, url)) as process:
            assert process.popen.stdout is not None
            first = process.popen.stdout.readline().decode()
            code = process.ended(signal.SIGINT)
            rest = process.popen.stdout.read().decode()
        goes_on.set()
        half = [*(tmp_path / "videos").iterdir()]
        again = completed(tmp_path, *ALL, **places(tmp_path, url))

    assert (code, process.stderr) == (130, "")
    assert (first, rest) == (f"Saved: {half[0]}\n", "1 saved, 4 left; repeat the command for those\n")
    assert len(half) == 1
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "4 saved")
    assert len({*(tmp_path / "videos").iterdir()}) == 5


def test_a_wait_that_is_interrupted_says_where_the_task_is_found(tmp_path: Path, sora: Service) -> None:
    there = places(tmp_path, sora.base_url)
    with Process(tmp_path, "generate", "A kitten [sim:seconds=600]", **there) as process:
        assert process.popen.stdout is not None
        first = process.popen.stdout.readline().decode()
        code = process.ended(signal.SIGINT)
        rest = process.popen.stdout.read().decode()

    task_id = first.removeprefix("Ordered: ").rstrip()
    found = f"sora2-mcp tasks wait {task_id}"
    assert (code, process.stderr) == (130, "")
    assert rest == f"Interrupted here; what was ordered goes on at the service. Find it with: {found}\n"
