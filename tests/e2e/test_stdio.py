"""The server as hosts run it: a process on stdio."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.e2e.notified import hears_of_its_own_task
from tests.e2e.processes import PROGRAM, Process, StdioHost, completed, environment, once_opened
from tests.ears import Ear
from tests.faults.hosts import Service
from tools.docs.catalogue import tool_names

pytestmark = pytest.mark.anyio

LATER = [
    sys.executable,
    "-c",
    "import os, sys; [os.set_blocking(fd, False) for fd in (0, 1)]; os.execv(sys.argv[1], sys.argv[1:])",
]
"""Hands its pipes on as some wrappers do."""


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_an_unmodified_client_does_the_whole_job(tmp_path: Path, mode: str, version: str) -> None:
    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
        told.append(progress)

    parameters = StdioServerParameters(
        command=PROGRAM[0], args=[*PROGRAM[1:], "serve", "--simulate"], env=environment(tmp_path)
    )
    async with Client(stdio_client(parameters), mode=mode) as client:
        assert client.protocol_version == version
        assert len((await client.list_tools()).tools) == len(tool_names())

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments, progress_callback=on_progress)
            assert not result.is_error
            return dict(result.structured_content or {})

        task_id = (await call("generate_video", prompt="A kitten [sim:seconds=0.5]"))["task_id"]
        done = await call("wait_for_video", task_id=task_id)
        saved = await call("download_video", task_id=task_id)
        listed = await client.list_resources()

    assert done["status"] == "succeeded"
    assert Path(saved["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert f"sora2://tasks/{task_id}" in [str(resource.uri) for resource in listed.resources]
    assert told[0] == 0.0


@pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGINT], ids=["eof", "SIGTERM", "SIGINT"])
def test_it_ends_with_code_0_and_a_wait_that_is_open_gets_its_normal_result(
    tmp_path: Path, how: signal.Signals | None
) -> None:
    with Process(tmp_path, "serve", "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        task_id = host.call("generate_video", prompt="A kitten [sim:seconds=600]")["structuredContent"]["task_id"]
        waiting = host.send("tools/call", {"name": "wait_for_video", "arguments": {"task_id": task_id}})
        host.request("tools/list", {})

        assert process.ended(how) == 0
        assert "INFO sora2_mcp" in process.stderr
        answer = host.read()
        assert answer["id"] == waiting
        assert answer["result"]["structuredContent"]["status"] == "generating"
        assert "Nothing is lost" in answer["result"]["content"][0]["text"]


def test_requests_piped_in_before_the_end_are_still_answered(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        host = StdioHost(process)
        host.handshake()
        number = host.send("tools/list", {})
        process.end()
        assert host.read()["id"] == number


def test_stdout_carries_nothing_but_the_protocol_and_logs_hold_neither_prompts_nor_keys(
    tmp_path: Path, sora: Service
) -> None:
    access = {"SORA2_API_BASE_URL": sora.base_url, "SORA2_API_KEY": "sk-secret-key"}
    with Process(tmp_path, SORA2_LOG_FORMAT="json", SORA2_LOG_LEVEL="DEBUG", **access) as process:
        host = StdioHost(process)
        host.ready()
        host.call("generate_video", prompt="A very private kitten")
        host.call("get_task_status", task_id="nope")
        assert process.ended(signal.SIGTERM) == 0
        assert process.popen.stdout is not None
        rest = process.popen.stdout.read()

    assert rest == b""
    records = [json.loads(line) for line in process.stderr.splitlines()]
    assert any(record["logger"] == "sora2_mcp.tasks.orders" for record in records)
    assert "sk-secret-key" not in process.stderr
    assert "private kitten" not in process.stderr


def test_tasks_survive_a_kill_and_are_finished_by_the_next_process_with_the_simulated_service(tmp_path: Path) -> None:
    with Process(tmp_path, "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        ordered = host.call("generate_video", prompt="A kitten [sim:seconds=1]")
        task_id = ordered["structuredContent"]["task_id"]
        process.popen.kill()
        process.popen.wait()
    with Process(tmp_path, "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        done = host.call("wait_for_video", task_id=task_id)["structuredContent"]
        saved = host.call("download_video", task_id=task_id)
        listed = host.call("list_tasks")["structuredContent"]["tasks"]

    assert done["status"] == "succeeded"
    assert not saved["isError"]
    assert [task["task_id"] for task in listed] == [task_id]


def test_a_wrong_variable_stops_the_start_with_one_line_that_names_it(tmp_path: Path) -> None:
    run = completed(tmp_path, SORA2_POLL_SECONDS="soon")

    assert (run.returncode, run.stdout) == (2, "")
    [line] = run.stderr.splitlines()
    assert line.startswith("sora2-mcp: SORA2_POLL_SECONDS ")


def test_neither_a_line_that_is_no_json_nor_half_a_character_leaves_anything_without_an_answer(tmp_path: Path) -> None:
    with Process(tmp_path, "--simulate") as process:
        assert process.popen.stdin is not None
        process.popen.stdin.write(b"hello?\n\n")
        host = StdioHost(process)
        process.popen.stdin.flush()
        assert host.read()["error"]["code"] == -32700
        assert host.handshake()["serverInfo"]["name"] == "sora2-mcp"
        ordered = once_opened(lambda: host.call("generate_video", prompt="A kitten \ud83d"))

        assert ordered["structuredContent"]["prompt"] == "A kitten ?"


@pytest.mark.posix
def test_pipes_that_say_later_are_waited_for_both_ways(tmp_path: Path) -> None:
    with Process(tmp_path, "--simulate", program=[*LATER, *PROGRAM]) as process:
        host = StdioHost(process)
        host.ready()
        # More than a pipe holds, and nothing of it is read until all is sent.
        asked = [host.send("resources/read", {"uri": "sora2://guide"}) for _ in range(100)]
        answers = [host.read() for _ in asked]

    assert sorted(answer["id"] for answer in answers) == asked


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_change_is_heard_over_stdio(tmp_path: Path, mode: str) -> None:
    ear, variables = Ear(), environment(tmp_path, SORA2_POLL_SECONDS="60")
    parameters = StdioServerParameters(command=PROGRAM[0], args=[*PROGRAM[1:], "--simulate"], env=variables)
    async with Client(stdio_client(parameters), mode=mode, message_handler=ear.on_message) as client:
        await hears_of_its_own_task(client, ear)
