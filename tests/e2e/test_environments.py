"""Odd environments that programs are started in: one of each kind, and what else is true there."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.environments import ODD, PROMPT, end_well
from tests.e2e.processes import PROGRAM, Process, StdioHost, completed
from tools.docs.catalogue import tool_names

_FOR_AN_HOUR = "A kitten [sim:seconds=3600]"


@pytest.mark.parametrize(
    ("odd", "command"),
    [
        ("nobody", "tasks-list"),
        ("home-is-a-file", "tasks-list"),
        ("folder-gone", "generate"),
        ("all-closed", "generate"),
        ("all-closed", "serve"),
        ("stderr-full", "tasks-list"),
        ("gbk", "serve"),
        ("plain-c", "generate"),
        ("umask-077", "serve-http"),
        ("quoted-proxy", "doctor"),
    ],
)
def test_a_command_does_its_work_or_says_in_words_why_not(tmp_path: Path, odd: str, command: str) -> None:
    end_well(tmp_path, command, ODD[odd])


def test_letters_that_the_output_cannot_hold_are_replaced_and_the_order_is_done(tmp_path: Path) -> None:
    run = end_well(tmp_path, "generate", ODD["cp1252"])

    assert run.stdout.splitlines()[-1].startswith(f"{tmp_path}/home/Videos/sora2-simulated/????-sim-")
    assert len(list((tmp_path / "home" / "Videos" / "sora2-simulated").glob("三只狐狸*.mp4"))) == 1


def test_an_order_is_done_though_the_disk_that_its_words_go_to_is_full(tmp_path: Path) -> None:
    run = end_well(tmp_path, "generate", ODD["stdout-full"])

    assert run.stderr == (
        "sora2-mcp: stdout could not be written (No space left on device): what was done is done, but not shown.\n"
    )
    assert len(list((tmp_path / "home" / "Videos" / "sora2-simulated").glob("*.mp4"))) == 1


def test_help_that_cannot_be_written_says_so_in_a_line() -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([*PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert run.returncode == 1
    assert run.stderr.startswith("sora2-mcp: stdout could not be written (")


@pytest.mark.parametrize(("one", "other"), [("a%2Fb", "a/b"), ("q?x", "q"), ("q#x", "q"), ("100%", "100")])
def test_two_homes_never_share_a_store(tmp_path: Path, one: str, other: str) -> None:
    def listed(home: str, *arguments: str) -> str:
        (tmp_path / home).mkdir(parents=True, exist_ok=True)
        run = completed(tmp_path, *arguments, "--simulate", HOME=str(tmp_path / home))
        assert run.returncode == 0, run.stderr
        return run.stdout

    listed(one, "generate", PROMPT, "--no-wait")

    assert listed(other, "tasks", "list") == "No tasks yet with this service and key.\n"
    assert (tmp_path / one / ".local" / "share" / "sora2-mcp" / "simulator" / "tasks.db").is_file()


def test_a_terminal_that_closes_ends_an_order_as_sigterm_does(tmp_path: Path) -> None:
    with Process(tmp_path, "generate", _FOR_AN_HOUR, "--simulate") as process:
        assert process.popen.stdout is not None
        ordered = process.popen.stdout.readline().decode().split()[-1]
        process.popen.send_signal(signal.SIGHUP)
        said = process.popen.stdout.read().decode()
        process.seconds_to_end()

    assert process.popen.returncode == 130
    assert f"Find it with: sora2-mcp tasks wait {ordered} --simulate" in said


@pytest.mark.parametrize("command", [("serve", "--simulate"), ("simulate", "--port", "0")])
def test_a_terminal_that_closes_ends_a_server_as_sigterm_does(tmp_path: Path, command: tuple[str, ...]) -> None:
    with Process(tmp_path, *command) as process:
        assert process.popen.stdout is not None
        if command[0] == "serve":
            StdioHost(process).handshake()
        else:
            process.popen.stdout.readline()
        process.popen.send_signal(signal.SIGHUP)
        process.seconds_to_end()

    assert process.popen.returncode == 0


def test_what_nohup_started_outlives_its_terminal(tmp_path: Path) -> None:
    program = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *PROGRAM]
    with Process(tmp_path, "serve", "--simulate", program=program) as process:
        host = StdioHost(process)
        host.handshake()
        process.popen.send_signal(signal.SIGHUP)
        assert len(host.request("tools/list", {})["tools"]) == len(tool_names())
        assert process.ended() == 0
