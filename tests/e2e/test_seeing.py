"""How people see their videos without an MCP host: ``tasks open`` and ``gallery``, with a browser's stand-in."""

import signal
import socket
import time
from pathlib import Path

import httpx2
import pytest

from tests.clocks import PATIENCE_SECONDS
from tests.e2e.processes import Process, completed
from tests.faults.hosts import Service
from tests.server.test_access import HELLO, MCP

pytestmark = pytest.mark.posix


@pytest.fixture
def browser(tmp_path: Path) -> dict[str, str]:
    """A setting for a browser that writes down what it is to open."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> "{tmp_path}/opened"\n')
    script.chmod(0o755)
    return {"BROWSER": f"{script} %s"}


def opened(folder: Path) -> list[str]:
    """What the browser was given."""
    file = folder / "opened"
    return file.read_text().splitlines() if file.exists() else []


def ordered(folder: Path, sora: Service, prompt: str, *options: str) -> tuple[dict[str, str], str]:
    """The variables of a command, and the id of a task."""
    variables = {"SORA2_API_BASE_URL": sora.base_url, "SORA2_API_KEY": "any"}
    run = completed(folder, "generate", prompt, *options, **variables)
    return variables, run.stdout.split()[1]


def test_a_saved_video_is_opened_as_a_file_of_this_computer(
    tmp_path: Path, sora: Service, browser: dict[str, str]
) -> None:
    variables, task_id = ordered(tmp_path, sora, "A kitten", "--filename", "my kitten")
    run = completed(tmp_path, "tasks", "open", task_id, **variables, **browser)

    path = tmp_path / "Videos" / "sora2" / "my kitten.mp4"
    assert (run.returncode, run.stdout) == (0, f"Opened:\n{path}\n"), run.stderr
    assert opened(tmp_path) == [path.as_uri()]


def test_a_video_that_is_not_saved_is_opened_at_its_address(
    tmp_path: Path, sora: Service, browser: dict[str, str]
) -> None:
    variables, task_id = ordered(tmp_path, sora, "A kitten [sim:seconds=0]", "--no-wait")
    run = completed(tmp_path, "tasks", "open", task_id, **variables, **browser)

    (address,) = opened(tmp_path)
    assert (run.returncode, run.stdout) == (0, f"Opened:\n{address}\n"), run.stderr
    assert address.endswith(f"/videos/{task_id}.mp4")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A kitten [sim:seconds=600]", "Still generating: "),
        ("A kitten [sim:seconds=0][sim:generation-failure]", "Failed "),
    ],
)
def test_what_has_no_video_is_shown_as_it_stands(
    tmp_path: Path, sora: Service, browser: dict[str, str], prompt: str, words: str
) -> None:
    variables, task_id = ordered(tmp_path, sora, prompt, "--no-wait")
    run = completed(tmp_path, "tasks", "open", task_id, **variables, **browser)

    assert run.returncode == 1
    assert run.stdout.startswith(words)
    assert opened(tmp_path) == []


def test_a_task_there_is_not_is_not_opened(tmp_path: Path, browser: dict[str, str]) -> None:
    run = completed(tmp_path, "tasks", "open", "nope", "--simulate", **browser)

    assert (run.returncode, run.stdout, opened(tmp_path)) == (1, "", [])
    assert "There is no task" in run.stderr


def test_where_nothing_can_open_it_the_place_is_named(tmp_path: Path, sora: Service) -> None:
    variables, task_id = ordered(tmp_path, sora, "A kitten", "--filename", "kitten")
    run = completed(tmp_path, "tasks", "open", task_id, **variables, BROWSER="/nowhere/browser %s")

    assert run.returncode == 1
    assert run.stdout == f"No program to open it was found; it is at:\n{tmp_path}/Videos/sora2/kitten.mp4\n"


OTHERS = {
    "SORA2_AUTH_TOKENS": "ann:ann-0123456789abcdef",
    "SORA2_ALLOWED_HOSTS": "sora.example",
    "SORA2_PUBLIC_URL": "https://sora.example",
    "SORA2_OAUTH_ISSUER": "https://id.example",
    "SORA2_OAUTH_AUDIENCE": "x",
    "SORA2_OAUTH_JWKS_URL": "https://id.example/keys",
}
"""Settings of a server for others."""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_gallery_shows_ones_own_videos_in_the_browser_until_it_is_ended(
    tmp_path: Path, browser: dict[str, str], how: signal.Signals
) -> None:
    with Process(tmp_path, "gallery", "--port", "0", "--simulate", **OTHERS, **browser) as process:
        assert process.popen.stdout is not None
        address = process.popen.stdout.readline().decode().removeprefix("Your videos: ").strip()
        assert process.popen.stdout.readline() == b"End it with Ctrl+C.\n"
        page = httpx2.get(address, trust_env=False)
        rebound = httpx2.get(address, trust_env=False, headers={"host": "sora.example"})
        overview = httpx2.get(f"{address}overview", trust_env=False)
        called = httpx2.post(f"{address}mcp", trust_env=False, headers=MCP, json=HELLO)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not opened(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        code = process.ended(how)

    assert address.startswith("http://127.0.0.1:")
    assert opened(tmp_path) == [address]
    assert page.status_code == 200
    assert "<html" in page.text
    # Without a token, for this machine only, and no overview.
    assert (called.status_code, rebound.status_code, overview.status_code) == (200, 421, 401)
    assert (code, process.stderr) == (0, "")


def test_a_gallery_without_a_browser_opens_none(tmp_path: Path, browser: dict[str, str]) -> None:
    with Process(tmp_path, "gallery", "--port", "0", "--simulate", "--no-browser", **browser) as process:
        assert process.popen.stdout is not None
        assert process.popen.stdout.readline().startswith(b"Your videos: http://127.0.0.1:")
        process.popen.stdout.readline()
        assert process.ended(signal.SIGINT) == 0

    assert opened(tmp_path) == []


def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = completed(tmp_path, "gallery", "--port", port, "--simulate", "--no-browser")

    assert (run.returncode, run.stdout) == (2, "")
    assert f"--port: {port} cannot be listened on" in run.stderr.replace("--port ", "--port: ")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("port", ["x", "-1", "65536", "99999999999999999999"])
def test_a_port_there_is_not_is_a_mistake_at_the_command_line(tmp_path: Path, port: str) -> None:
    run = completed(tmp_path, "gallery", f"--port={port}", "--simulate", "--no-browser")

    assert (run.returncode, run.stdout) == (2, "")
    assert "port" in run.stderr
    assert "Traceback" not in run.stderr
