"""The commands people type, as processes; test_typed.py has what they say to everything else."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.clocks import PATIENCE_SECONDS
from tests.e2e.processes import PROGRAM, Process, completed, environment
from tests.faults.hosts import Service

DEMO = ("demo", "--prompt", "A kitten [sim:seconds=0.5]")


def test_the_demo_leaves_a_video_and_its_path_is_the_last_line(tmp_path: Path) -> None:
    run = completed(tmp_path, *DEMO)

    path = Path(run.stdout.splitlines()[-1])
    assert run.returncode == 0, run.stderr
    assert path.is_absolute()
    assert path.read_bytes()[4:8] == b"ftyp"
    assert all(f"call: {tool}(" in run.stdout for tool in ("generate_video", "wait_for_video", "download_video"))
    assert run.stderr == ""


def test_generate_orders_waits_and_saves(tmp_path: Path, sora: Service) -> None:
    variables = {"SORA2_API_BASE_URL": sora.base_url, "SORA2_API_KEY": "any"}
    run = completed(tmp_path, "generate", "A kitten", "--aspect-ratio", "portrait", "--filename", "kitten", **variables)
    listed = completed(tmp_path, "tasks", "list", **variables)
    task_id = run.stdout.split()[1]
    shown = completed(tmp_path, "tasks", "show", task_id, **variables)
    again = completed(tmp_path, "tasks", "download", task_id, **variables)

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str(tmp_path / "Videos" / "sora2" / "kitten.mp4")
    assert listed.stdout.startswith(f"{task_id} · succeeded · ")
    assert shown.stdout.startswith("Done in ")
    assert again.stdout.splitlines()[-1] == run.stdout.splitlines()[-1]


def test_what_a_simulated_run_keeps_lies_beside_its_store_and_nowhere_else(tmp_path: Path) -> None:
    place = {"SORA2_DATABASE_URL": f"sqlite:///{tmp_path}/own/tasks.db", "SORA2_VIDEO_DIR": f"{tmp_path}/own/videos"}
    run = completed(tmp_path, "generate", "A kitten [sim:seconds=0]", "--simulate", **place)

    assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["service", "tasks.db", "videos"]
    assert not (tmp_path / ".local").exists()


def test_without_a_key_both_ways_out_are_named(tmp_path: Path) -> None:
    run = completed(tmp_path, "generate", "A kitten")

    assert (run.returncode, run.stdout) == (2, "")
    assert "or try everything without an account: add --simulate." in run.stderr
    assert "Traceback" not in run.stderr


def test_of_a_task_there_is_not_it_is_said_where_tasks_are_found(tmp_path: Path) -> None:
    run = completed(tmp_path, "tasks", "show", "nope", "--simulate")

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines()[-1] == "See them with: sora2-mcp tasks list --simulate"
    assert "Traceback" not in run.stderr


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """A server that answers every look so; gives its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


TO_PERSONS = {
    "NotReachedError": "Check the network and SORA2_API_BASE_URL, then try again.",
    "ProxyError": "Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or take them out. sora2-mcp doctor says more.",
    "CertificateError": (
        "Set SSL_CERT_FILE to the file of your company's certificate authority, or take it out. sora2-mcp doctor says "
        "more."
    ),
    "GatewayError": (
        "Check the network and SORA2_API_BASE_URL: something in front of the service refused in its place."
    ),
    "LostAnswerError": "Try again in a minute.",
    "UnauthorizedError": "Correct SORA2_API_KEY, and SORA2_API_BASE_URL if the key is of another gateway.",
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, "<p>Blocked</p>", "GatewayError"),
        (200, "", "LostAnswerError"),
        (200, '{"code": 401, "msg": "no", "data": null}', "UnauthorizedError"),
    ],
)
def test_an_answer_that_helps_nobody_is_told_a_person_in_words_for_persons(
    tmp_path: Path, status: int, body: str, kind: str
) -> None:
    with answering(status, body) as base_url:
        run = completed(tmp_path, "tasks", "show", "t-0123456789", SORA2_API_BASE_URL=base_url, SORA2_API_KEY="any")

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines()[-1] == TO_PERSONS[kind]


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"SORA2_API_BASE_URL": "http://127.0.0.1:1/v1"}, "NotReachedError"),
        ({"HTTPS_PROXY": '"http://me:topsecret@127.0.0.1:9"'}, "ProxyError"),
        ({"SSL_CERT_FILE": "/gone.pem"}, "CertificateError"),
    ],
)
def test_a_way_that_is_closed_is_told_a_person_in_words_for_persons(
    tmp_path: Path, variables: dict[str, str], kind: str
) -> None:
    usual = {"SORA2_API_BASE_URL": "https://192.0.2.1/v1", "SORA2_API_KEY": "any"}

    run = completed(tmp_path, "generate", "A kitten", **{**usual, **variables})

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines()[-1] == TO_PERSONS[kind]
    assert "topsecret" not in run.stderr


def test_a_simulators_folder_that_cannot_be_made_is_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = completed(
        tmp_path, "tasks", "list", "--simulate", SORA2_DATABASE_URL=f"sqlite:///{tmp_path}/file/below/tasks.db"
    )

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("sora2-mcp: The task store (SORA2_DATABASE_URL) needs the folder ")
    assert "Traceback" not in run.stderr


def test_a_mistake_at_the_command_line_ends_with_code_2(tmp_path: Path) -> None:
    run = completed(tmp_path, "dance")

    assert (run.returncode, run.stdout) == (2, "")
    assert "invalid choice" in run.stderr


@pytest.mark.posix
@pytest.mark.parametrize("arguments", [(), ("serve", "--simulate")])
def test_a_server_started_in_a_terminal_says_what_it_waits_for_and_what_one_may_want(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=environment(tmp_path),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(theirs)
        # Ctrl+D: the host has gone.
        keyboard.write(b"\x04")
        written, said = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, written) == (0, "")
    first, second, *rest = said.splitlines()
    assert (first, rest) == ("sora2-mcp serves MCP here and waits for a host to speak; Ctrl+C ends it.", [])
    assert [word for word in ("demo", "generate", "client-config", "--help") if word not in second] == []
    assert max(len(first), len(second)) < 80


def test_a_server_that_a_host_starts_says_nothing(tmp_path: Path) -> None:
    run = completed(tmp_path)

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_errors_of_a_command_for_programs_are_words_on_stderr(tmp_path: Path) -> None:
    run = completed(tmp_path, "tasks", "show", "nope", "--simulate", "--json")

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith('sora2-mcp: There is no task "nope"\n')


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    with Process(tmp_path, *DEMO) as process:
        assert process.popen.stdout is not None
        process.popen.stdout.readline()
        process.popen.stdout.close()
        process.seconds_to_end()

    assert process.popen.returncode == 0
    assert process.stderr == ""
