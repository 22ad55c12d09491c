"""The commands people type end in time: interrupted, on a store that is locked, and before servers that say nothing."""

import asyncio
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clocks import PATIENCE_SECONDS
from tests.e2e.download_all import ALL, ordered, places
from tests.e2e.processes import ENDS_WITHIN_SECONDS, Process, completed
from tests.faults.front import Visit, in_front_of_process
from tests.faults.hosts import Service
from tests.promises.bare import check_kept, end_of_a_command, run_of_a_program, timed
from tests.stores import file_in

KEY = "no-key-0123456789"
DOCTOR_SECONDS = 30.0


@contextmanager
def silent() -> Iterator[str]:
    """Takes connections and says nothing; gives its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_download_of_all_that_is_interrupted_ends_within_two_seconds(tmp_path: Path, sora: Service) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if visit.is_video:
            await visit.send(answer[: len(answer) // 2])
            begun.set()
            await asyncio.to_thread(goes_on.wait, PATIENCE_SECONDS)
            return
        await visit.send(answer)

    with in_front_of_process(sora.base_url, treat) as url:
        ordered(tmp_path, url, 5)
        with Process(tmp_path, *ALL, **places(tmp_path, url)) as process:
            assert begun.wait(PATIENCE_SECONDS)
            seconds = timed(lambda: process.ended(signal.SIGINT))
        goes_on.set()

    check_kept(seconds, end_of_a_command(tmp_path), promised=ENDS_WITHIN_SECONDS)


def test_a_wait_that_is_interrupted_ends_within_two_seconds(tmp_path: Path, sora: Service) -> None:
    there = places(tmp_path, sora.base_url)
    with Process(tmp_path, "generate", "A kitten [sim:seconds=600]", **there) as process:
        assert process.popen.stdout is not None
        process.popen.stdout.readline()
        seconds = timed(lambda: process.ended(signal.SIGINT))

    check_kept(seconds, end_of_a_command(tmp_path), promised=ENDS_WITHIN_SECONDS)


def test_interrupted_while_the_store_cannot_be_written_it_ends_within_two_seconds(
    tmp_path: Path, sora: Service
) -> None:
    begun, asked, locked = threading.Event(), threading.Event(), threading.Event()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if begun.is_set() and b"/record-info" in visit.request:
            asked.set()
            await asyncio.to_thread(locked.wait, PATIENCE_SECONDS)
        await visit.send(answer)

    with in_front_of_process(sora.base_url, treat) as url:
        ordered(tmp_path, url, 1)
        begun.set()
        with Process(tmp_path, *ALL, **places(tmp_path, url)) as process:
            assert asked.wait(PATIENCE_SECONDS)
            with file_in(tmp_path).locked():
                locked.set()
                seconds = timed(lambda: process.ended(signal.SIGINT))

    assert (process.popen.returncode, process.stderr) == (130, "")
    check_kept(seconds, end_of_a_command(tmp_path), promised=ENDS_WITHIN_SECONDS)


def test_a_list_ends_within_two_seconds_though_the_store_cannot_be_written(tmp_path: Path, sora: Service) -> None:
    ids = ordered(tmp_path, sora.base_url, 1)
    with (
        file_in(tmp_path).locked(),
        Process(tmp_path, "tasks", "list", **places(tmp_path, sora.base_url)) as process,
    ):
        assert process.popen.stdout is not None
        listed = process.popen.stdout.readline().decode()
        seconds = process.seconds_to_end()

    assert process.popen.returncode == 0
    assert listed.startswith(ids[0])
    check_kept(seconds, end_of_a_command(tmp_path), promised=ENDS_WITHIN_SECONDS)


def test_a_service_and_a_database_that_never_answer_hold_no_doctor_up(tmp_path: Path) -> None:
    with silent() as service, silent() as database:
        report = examined_in_time(
            tmp_path,
            SORA2_API_KEY=KEY,
            SORA2_API_BASE_URL=f"http://{service}/api/v1/sora2",
            SORA2_DATABASE_URL=f"postgresql://ann:s3cr3t@{database}/tasks",
        )

    assert {finding["name"]: finding["status"] for finding in report["findings"]} == {
        "program": "ok",
        "configuration": "ok",
        "environment": "ok",
        "store": "problem",
        "video_folder": "ok",
        "network": "ok",
        "service": "problem",
        "key": "skipped",
        "clock": "skipped",
        "round_trip": "skipped",
        "http": "ok",
    }


def test_a_name_server_that_never_answers_holds_up_not_even_the_end(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import socket, time\nsocket.getaddrinfo = lambda *_, **__: time.sleep(600)\n"
    )
    variables = {"SORA2_API_KEY": KEY, "SORA2_API_BASE_URL": "http://service.invalid/v1", "PYTHONPATH": str(tmp_path)}

    report = examined_in_time(tmp_path, **variables)

    assert report["next_steps"] == ["Check the network and SORA2_API_BASE_URL."]
    assert "no connection within 5 s" in json.dumps(report["findings"])


def examined_in_time(folder: Path, **variables: str) -> dict[str, Any]:
    """The doctor's report, which finds a problem within its time."""
    reports = list[dict[str, Any]]()

    def examine() -> None:
        run = completed(folder, "doctor", "--json", "--no-round-trip", **variables)
        assert (run.returncode, run.stderr) == (1, "")
        reports.append(json.loads(run.stdout))

    check_kept(timed(examine), run_of_a_program(folder), promised=DOCTOR_SECONDS)
    return reports[0]
