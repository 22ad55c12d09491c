"""``sora2-mcp doctor``: what it prints, what it gives back, and what it leaves alone."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.doctor.command import doctor
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from tests.e2e.processes import completed
from tests.faults.hosts import service

pytestmark = pytest.mark.anyio

KEY = "no-key-0123456789"
Examined = Callable[..., Awaitable[tuple[int, str]]]


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {finding["name"]: finding["status"] for finding in report["findings"]}


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_on_the_simulator_everything_is_in_order_and_nothing_is_left_behind(tmp_path: Path) -> None:
    run = completed(tmp_path, "doctor", "--simulate", SORA2_POLL_SECONDS="")

    lines = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert lines[0] == "Everything is in order."
    assert lines[1].endswith(" s; nothing was ordered or changed.")
    assert lines[2] == "This was about the simulator: without --simulate the real service is asked."
    assert lines[3] == "Put it into your host: sora2-mcp client-config HOST"
    assert [line.split(": ")[:2] for line in lines if line.startswith(("ok: ", "skipped: "))] == [
        ["ok", "program"],
        ["ok", "configuration"],
        ["ok", "environment"],
        ["ok", "store"],
        ["ok", "video_folder"],
        ["ok", "network"],
        ["ok", "service"],
        ["skipped", "key"],
        ["skipped", "clock"],
        ["ok", "round_trip"],
        ["ok", "http"],
    ]
    ignored = "SORA2_POLL_SECONDS is empty, which counts as not set"
    page = "https://github.com/sora2-mcp/sora2-mcp/blob/main/docs/configuration.md"
    assert lines[-2:] == [
        "SORA2_SIMULATE: 1 [option]",
        f"The other 37 are at their defaults ({ignored}): {page}",
    ]
    assert left_in(tmp_path) == ["home"]


def test_a_service_that_takes_the_key_is_looked_at_and_nothing_is_ordered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with service(tmp_path, "--api-key", KEY) as sora:
        run = completed(home, "doctor", "--json", SORA2_API_BASE_URL=sora.base_url, SORA2_API_KEY=KEY)
        posts, looks = sora.posts(), sora.looks()

    report = json.loads(run.stdout)
    assert (run.returncode, run.stderr, report["status"], report["next_steps"]) == (0, "", "ok", [])
    assert (posts, len(looks)) == ([], 2)
    assert statuses(report)["round_trip"] == "ok"
    assert left_in(home) == []


def test_a_broken_package_is_a_finding_too(tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text("raise ImportError('this is not the mcp you need')\n")

    run = completed(tmp_path, "doctor", "--json", "--offline", SORA2_API_KEY=KEY, PYTHONPATH=str(tmp_path))

    report = json.loads(run.stdout)
    assert (run.returncode, run.stderr) == (1, "")
    assert {name for name, status in statuses(report).items() if status == "problem"} == {"round_trip", "http"}
    assert "this is not the mcp you need" in json.dumps(report["findings"])


def test_what_a_pipe_cannot_take_does_not_stop_it(tmp_path: Path) -> None:
    run = completed(
        tmp_path,
        "doctor",
        "--offline",
        "--no-round-trip",
        PYTHONIOENCODING="ascii",
        SORA2_API_KEY=KEY,
        SORA2_OAUTH_ISSUER="https://ann:pw@id.example",
    )

    assert (run.returncode, run.stderr) == (1, "")
    assert "SORA2_OAUTH_ISSUER: https://?@id.example [environment]" in run.stdout


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Examined:
    """Runs the doctor in this process; gives its exit code and all it prints, of which nothing goes to stderr."""

    async def examined(*options: str, **variables: str) -> tuple[int, str]:
        places = {"SORA2_DATABASE_URL": f"sqlite:///{tmp_path / 'tasks.db'}", "SORA2_VIDEO_DIR": str(tmp_path / "v")}
        for name, value in {**places, **variables}.items():
            monkeypatch.setenv(name, value)
        code = await doctor(parse(["doctor", "--no-round-trip", *options]))
        shown = capsys.readouterr()
        assert shown.err == ""
        return code, shown.out

    return examined


@pytest.mark.parametrize(
    ("key", "path", "check", "words"),
    [
        ("", "", "key", "SORA2_API_KEY is empty, which counts as not set"),
        ("${user_config.api_key}", "", "key", "holds a placeholder that the host did not fill in"),
        ("wrong-key-0123456789", "", "key", "The service does not accept the key (401"),
        (KEY, "/wrong", "service", "answers, but not at this path (404"),
    ],
)
async def test_what_stands_in_the_way_ends_with_code_1_and_what_to_do(
    examined: Examined, key: str, path: str, check: str, words: str
) -> None:
    simulator = Simulator(api_key=KEY)
    async with running(simulator) as base_url:
        code, text = await examined("--json", SORA2_API_BASE_URL=base_url + path, SORA2_API_KEY=key)

    report = json.loads(text)
    (finding,) = [finding for finding in report["findings"] if finding["name"] == check]
    assert (code, report["status"], finding["status"]) == (1, "problem", "problem")
    assert words in finding["what"]
    assert report["next_steps"] == [finding["hint"]]
    assert [request for request in simulator.received if request.method == "POST"] == []


async def test_a_setting_that_stops_the_server_does_not_stop_the_doctor(examined: Examined) -> None:
    code, text = await examined("--offline", SORA2_API_KEY=KEY, SORA2_POLL_SECONDS="never")

    assert code == 1
    assert "problem: configuration: SORA2_POLL_SECONDS cannot be used, so the server does not start" in text
    assert "ok: store: " in text
    lines = text.splitlines()
    assert lines[0] == "It does not work: 1 problem."
    assert lines[lines.index("What to do") + 1] == (
        "1. Set SORA2_POLL_SECONDS to a number of seconds from 0.05 to 86,400, or take it out."
    )


async def test_warnings_end_with_code_0_and_what_to_do(examined: Examined) -> None:
    code, text = await examined("--json", "--offline", SORA2_API_KEY=KEY, SORA2_API_KEYS="x")

    report = json.loads(text)
    assert (code, report["status"]) == (0, "warning")
    assert report["next_steps"] == ["Did you mean SORA2_API_KEY? Rename SORA2_API_KEYS, or take it out."]
