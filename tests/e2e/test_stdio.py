"""The server as hosts run it: a process on stdio."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.e2e.processes import ENDS_WITHIN_SECONDS, PROGRAM, Process, StdioHost, completed, environment, simulator

pytestmark = pytest.mark.anyio


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
        assert len((await client.list_tools()).tools) == 5

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments, progress_callback=on_progress)
            assert not result.is_error
            return dict(result.structured_content or {})

        task_id = (await call("generate_video", prompt="A kitten"))["task_id"]
        done = await call("wait_for_video", task_id=task_id)
        saved = await call("download_video", task_id=task_id)
        listed = await client.list_resources()

    assert done["status"] == "succeeded"
    assert Path(saved["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert f"sora2://tasks/{task_id}" in [str(resource.uri) for resource in listed.resources]
    assert told[0] == 0.0


@pytest.mark.parametrize("how", ["eof", signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_two_seconds_and_a_wait_that_is_open_gets_its_normal_result(
    tmp_path: Path, how: str | signal.Signals
) -> None:
    with Process(tmp_path, "serve", "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        task_id = host.call("generate_video", prompt="A kitten [sim:seconds=600]")["structuredContent"]["task_id"]
        waiting = host.send("tools/call", {"name": "wait_for_video", "arguments": {"task_id": task_id}})
        host.request("tools/list", {})
        if isinstance(how, signal.Signals):
            process.popen.send_signal(how)
        else:
            assert process.popen.stdin is not None
            process.popen.stdin.close()

        assert process.seconds_to_end() < ENDS_WITHIN_SECONDS
        assert process.popen.returncode == 0
        answer = host.read()
        assert answer["id"] == waiting
        assert answer["result"]["structuredContent"]["status"] == "generating"
        assert "Nothing is lost" in answer["result"]["content"][0]["text"]


def test_requests_piped_in_before_the_end_are_still_answered(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        host = StdioHost(process)
        host.handshake()
        number = host.send("tools/list", {})
        assert process.popen.stdin is not None
        process.popen.stdin.close()
        assert host.read()["id"] == number


def test_stdout_carries_nothing_but_the_protocol(tmp_path: Path) -> None:
    with Process(tmp_path, "serve", "--simulate", SORA2_LOG_LEVEL="DEBUG") as process:
        host = StdioHost(process)
        host.ready()
        host.call("generate_video", prompt="A kitten")
        host.call("get_task_status", task_id="nope")
        process.popen.send_signal(signal.SIGTERM)
        process.seconds_to_end()
        assert process.popen.stdout is not None
        rest = process.popen.stdout.read()

    assert rest == b""
    assert "INFO sora2_mcp" in process.stderr


def test_logs_can_be_json_and_never_hold_prompts_or_keys(tmp_path: Path) -> None:
    with simulator(tmp_path) as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "sk-secret-key", "SORA2_LOG_FORMAT": "json"}
        with Process(tmp_path, SORA2_LOG_LEVEL="DEBUG", **variables) as process:
            host = StdioHost(process)
            host.ready()
            host.call("generate_video", prompt="A very private kitten")
            process.popen.send_signal(signal.SIGTERM)
            process.seconds_to_end()

    records = [json.loads(line) for line in process.stderr.splitlines()]
    assert any(record["logger"] == "sora2_mcp.tasks.sender" for record in records)
    assert "sk-secret-key" not in process.stderr
    assert "private kitten" not in process.stderr


def test_tasks_survive_a_kill_and_are_finished_by_the_next_process(tmp_path: Path) -> None:
    with simulator(tmp_path, "--seconds", "1") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any", "SORA2_IDLE_POLL_SECONDS": "0.2"}
        with Process(tmp_path, **variables) as process:
            host = StdioHost(process)
            host.ready()
            task_id = host.call("generate_video", prompt="A kitten")["structuredContent"]["task_id"]
            process.popen.kill()
            process.popen.wait()
        with Process(tmp_path, **variables) as process:
            host = StdioHost(process)
            host.ready()
            done = host.call("wait_for_video", task_id=task_id, timeout_seconds=20)["structuredContent"]
            listed = host.call("list_tasks")["structuredContent"]["tasks"]

    assert done["status"] == "succeeded"
    assert [task["task_id"] for task in listed] == [task_id]


def test_the_simulated_service_remembers_its_tasks_over_a_restart(tmp_path: Path) -> None:
    with Process(tmp_path, "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        task_id = host.call("generate_video", prompt="A kitten")["structuredContent"]["task_id"]
        process.popen.kill()
        process.popen.wait()
    with Process(tmp_path, "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        assert host.call("wait_for_video", task_id=task_id)["structuredContent"]["status"] == "succeeded"
        assert not host.call("download_video", task_id=task_id)["isError"]


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("SORA2_POLL_SECONDS", "soon", "a number of seconds from 0.05 to 86,400"),
        ("SORA2_API_BASE_URL", "sora2api.ai", "an http:// or https:// address"),
        ("SORA2_LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
        ("SORA2_DAILY_LIMIT", "-1", "a whole number from 0"),
    ],
)
def test_a_wrong_variable_stops_the_start_with_one_line_that_names_it(
    tmp_path: Path, variable: str, value: str, allowed: str
) -> None:
    run = completed(tmp_path, **{variable: value})

    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"sora2-mcp: {variable} ")
    assert allowed in line
    assert value not in line.removeprefix(f"sora2-mcp: {variable}") or len(value) < 3


def test_a_line_that_is_no_json_is_answered_and_the_next_one_works(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        assert process.popen.stdin is not None
        process.popen.stdin.write(b"hello?\n\n")
        host = StdioHost(process)
        process.popen.stdin.flush()
        assert host.read()["error"]["code"] == -32700
        assert host.handshake()["serverInfo"]["name"] == "sora2-mcp"


def test_half_a_character_does_not_leave_a_request_without_an_answer(tmp_path: Path) -> None:
    with Process(tmp_path, "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        ordered = host.call("generate_video", prompt="A kitten \ud83d")

        assert ordered["structuredContent"]["prompt"] == "A kitten ?"
