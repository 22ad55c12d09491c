"""``sora2-mcp doctor`` as a process: what it prints, what it gives back, and what it leaves alone."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import completed
from tests.faults.hosts import service

KEY = "sk-live-0123456789"
WITHIN_SECONDS = 30.0


def examined(folder: Path, *options: str, **variables: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the report for machines, which is all that is printed."""
    run = completed(folder, "doctor", "--json", *options, **variables)
    assert run.stderr == ""
    report: dict[str, Any] = json.loads(run.stdout)
    return run.returncode, report


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {finding["name"]: finding["status"] for finding in report["findings"]}


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@contextmanager
def silent() -> Iterator[str]:
    """Takes connections and says nothing; gives its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_on_the_simulator_everything_is_in_order_and_nothing_is_left_behind(tmp_path: Path) -> None:
    run = completed(tmp_path, "doctor", "--simulate", SORA2_POLL_SECONDS="")

    lines = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert lines[0] == "sora2-mcp doctor: looks only, orders and changes nothing"
    assert [line.split(": ")[:2] for line in lines if line.startswith(("ok: ", "skipped: "))] == [
        ["ok", "program"],
        ["ok", "configuration"],
        ["ok", "store"],
        ["ok", "video_folder"],
        ["ok", "service"],
        ["skipped", "key"],
        ["skipped", "clock"],
        ["ok", "round_trip"],
        ["ok", "http"],
    ]
    assert lines[-1] == "Put it into your host: sora2-mcp client-config HOST"
    assert left_in(tmp_path) == ["home"]


def test_a_service_that_takes_the_key_is_looked_at_and_nothing_is_ordered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with service(tmp_path, "--api-key", KEY) as sora:
        code, report = examined(home, SORA2_API_BASE_URL=sora.base_url, SORA2_API_KEY=KEY)
        posts, looks = sora.posts(), sora.looks()

    assert (code, report["status"], report["next_steps"]) == (0, "ok", [])
    assert (posts, len(looks)) == ([], 2)
    assert statuses(report)["round_trip"] == "ok"
    assert left_in(home) == []


@pytest.mark.parametrize(
    ("key", "path", "check", "words"),
    [
        ("", "", "key", "SORA2_API_KEY is empty, which counts as not set"),
        ("${user_config.api_key}", "", "key", "holds a placeholder that the host did not fill in"),
        ("sk-wrong-0123456789", "", "key", "The service does not accept the key (401"),
        (KEY, "/wrong", "service", "answers, but not at this path (404"),
    ],
)
def test_what_stands_in_the_way_ends_with_code_1_and_what_to_do(
    tmp_path: Path, key: str, path: str, check: str, words: str
) -> None:
    with service(tmp_path, "--api-key", KEY) as sora:
        variables = {"SORA2_API_BASE_URL": sora.base_url + path, "SORA2_API_KEY": key}
        code, report = examined(tmp_path, "--no-round-trip", **variables)
        posts = sora.posts()

    (finding,) = [finding for finding in report["findings"] if finding["name"] == check]
    assert (code, report["status"], finding["status"]) == (1, "problem", "problem")
    assert words in finding["what"]
    assert report["next_steps"] == [finding["hint"]]
    assert posts == []


def test_a_setting_that_stops_the_server_does_not_stop_the_doctor(tmp_path: Path) -> None:
    run = completed(tmp_path, "doctor", "--offline", "--no-round-trip", SORA2_API_KEY=KEY, SORA2_POLL_SECONDS="never")

    assert (run.returncode, run.stderr) == (1, "")
    assert "problem: configuration: SORA2_POLL_SECONDS cannot be used, so the server does not start" in run.stdout
    assert "ok: store: " in run.stdout
    assert run.stdout.splitlines()[-1] == (
        "1. Set SORA2_POLL_SECONDS to a number of seconds from 0.05 to 86,400, or take it out."
    )


@pytest.mark.parametrize(("form", "terminal"), [([], "1"), (["--json"], "")])
def test_no_secret_is_shown_anywhere(tmp_path: Path, form: list[str], terminal: str) -> None:
    secrets = {
        name: f"s3cr3t-{name}-0123456789" for name in ("key", "ann", "bob", "db", "user", "id", "unknown", "bad")
    }
    with silent() as nobody, service(tmp_path, "--api-key", KEY) as sora:
        run = completed(
            tmp_path,
            "doctor",
            "--no-round-trip",
            *form,
            FORCE_COLOR=terminal,
            HTTPS_PROXY=f"http://ann:{secrets['user']}@proxy.example",
            SORA2_API_BASE_URL=sora.base_url,
            SORA2_API_KEY=secrets["key"],
            SORA2_API_KEYS=secrets["unknown"],
            SORA2_AUTH_TOKENS=f"ann:{secrets['ann']},bob:{secrets['bob']}",
            SORA2_DATABASE_URL=f"postgresql://{secrets['user']}:{secrets['db']}@{nobody}/tasks?password={secrets['db']}",
            SORA2_OAUTH_ISSUER=f"https://{secrets['user']}:{secrets['id']}@id.example/?token={secrets['id']}",
            SORA2_LOG_FORMAT=secrets["bad"],
        )

    assert run.returncode == 1
    assert "s3cr3t" not in run.stdout + run.stderr
    assert "/tasks?" in run.stdout


def test_a_service_and_a_database_that_never_answer_hold_nothing_up(tmp_path: Path) -> None:
    with silent() as service, silent() as database:
        began = time.monotonic()
        code, report = examined(
            tmp_path,
            "--no-round-trip",
            SORA2_API_KEY=KEY,
            SORA2_API_BASE_URL=f"http://{service}/api/v1/sora2",
            SORA2_DATABASE_URL=f"postgresql://ann:s3cr3t@{database}/tasks",
        )
        took = time.monotonic() - began

    assert code == 1
    assert took < WITHIN_SECONDS
    assert statuses(report) == {
        "program": "ok",
        "configuration": "ok",
        "store": "problem",
        "video_folder": "ok",
        "service": "problem",
        "key": "skipped",
        "clock": "skipped",
        "round_trip": "skipped",
        "http": "ok",
    }


def test_warnings_end_with_code_0_and_what_to_do(tmp_path: Path) -> None:
    code, report = examined(tmp_path, "--offline", "--no-round-trip", SORA2_API_KEY=KEY, SORA2_API_KEYS="x")

    assert (code, report["status"]) == (0, "warning")
    assert report["next_steps"] == ["Did you mean SORA2_API_KEY? Rename SORA2_API_KEYS, or take it out."]


def test_a_name_server_that_never_answers_holds_up_not_even_the_end(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import socket, time\nsocket.getaddrinfo = lambda *_, **__: time.sleep(600)\n"
    )
    variables = {"SORA2_API_KEY": KEY, "SORA2_API_BASE_URL": "http://service.invalid/v1", "PYTHONPATH": str(tmp_path)}
    began = time.monotonic()

    code, report = examined(tmp_path, "--no-round-trip", **variables)

    assert time.monotonic() - began < WITHIN_SECONDS
    assert (code, report["next_steps"]) == (1, ["Check the network and SORA2_API_BASE_URL."])
    assert "a connection did not come about within 5 s" in json.dumps(report["findings"])


def test_a_broken_package_is_a_finding_too(tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text("raise ImportError('this is not the mcp you need')\n")

    code, report = examined(tmp_path, "--offline", SORA2_API_KEY=KEY, PYTHONPATH=str(tmp_path))

    assert code == 1
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


def test_an_option_there_is_not_ends_with_code_2(tmp_path: Path) -> None:
    run = completed(tmp_path, "doctor", "--heal")

    assert (run.returncode, run.stdout) == (2, "")
    assert "unrecognized arguments: --heal" in run.stderr
