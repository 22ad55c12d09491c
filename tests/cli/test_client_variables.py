"""``client-config --env``: which variables an entry carries, and what is said of those that it does not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sora2_mcp.cli.hosts.table import HOSTS
from tests.certificates import self_signed
from tests.cli.conftest import Type
from tests.cli.host_reading import FILES, started_by
from tests.servers import KEY

TOKEN = "tok-0123456789abcdef"
LIMIT = (
    "SORA2_DAILY_LIMIT=20 is in the entry: at most 20 orders a day.\n"
    "Another limit: --env SORA2_DAILY_LIMIT=50; none: --env SORA2_DAILY_LIMIT=0.\n"
)


def env(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in ("--env", f"{name}={value}")]


def variables(host: str, home: Path) -> dict[str, str]:
    return started_by(host, home / FILES[host], {}).variables


@pytest.mark.parametrize("host", FILES)
def test_what_is_named_reaches_the_server_of_every_host(home: Path, typed: Type, host: str) -> None:
    named = {
        "SORA2_VIDEO_DIR": "/srv/my films",
        "SORA2_DAILY_LIMIT": "7",
        "SORA2_MODEL_INPUT": '{"resolution": "480p"}',
        "HTTPS_PROXY": "http://ann:word@proxy:3128",
        "NO_PROXY": "localhost,.example.com",
    }
    run = typed(host, "--service", "kie", "--write", *env(named), SORA2_API_KEY=KEY)

    assert (run.code, run.stderr) == (0, "")
    assert variables(host, home).items() >= named.items()
    assert "word" not in run.stdout


def test_what_is_named_wins_over_what_is_there_and_over_what_the_host_usually_gets(home: Path, typed: Type) -> None:
    own = {"sora2_daily_limit": "3", "SORA2_MAX_WAIT_SECONDS": "20", "SORA2_LOG_LEVEL": "${env:LEVEL}", "OTHER": "1"}
    path = home / FILES["cursor"]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"mcpServers": {"sora2": {"command": "x", "env": own}}}))
    named = {"SORA2_DAILY_LIMIT": "7", "SORA2_MAX_WAIT_SECONDS": "100", "SORA2_LOG_LEVEL": "DEBUG"}
    typed("cursor", "--write", *env(named), SORA2_API_KEY=KEY)

    assert variables("cursor", home) == {"OTHER": "1", "SORA2_API_KEY": KEY, **named}


def test_a_name_alone_takes_the_value_that_is_set_here_in_any_spelling(home: Path, typed: Type) -> None:
    options = ("--env", "SORA2_LOG_LEVEL", "--env", "https_proxy", "--env", "SORA2_API_KEY")
    run = typed("zed", "--write", *options, SORA2_LOG_LEVEL="DEBUG", HTTPS_PROXY="http://p:1", SORA2_API_KEY=KEY)
    carried = variables("zed", home)

    assert "The API key is the one given with --env; it is not shown here.\n" in run.stdout
    assert (carried["SORA2_LOG_LEVEL"], carried["HTTPS_PROXY"], carried["SORA2_API_KEY"]) == (
        "DEBUG",
        "http://p:1",
        KEY,
    )
    assert KEY not in run.stdout + run.stderr


def test_a_companys_certificates_can_be_named(home: Path, typed: Type, tmp_path: Path) -> None:
    named = {"SSL_CERT_FILE": str(self_signed(tmp_path))}
    typed("codex", "--write", *env(named), SORA2_API_KEY=KEY)

    assert variables("codex", home) == {"SORA2_API_KEY": KEY, **named}


def test_a_service_and_its_address_can_be_named_too(home: Path, typed: Type) -> None:
    named = {"SORA2_SERVICE": "openai", "SORA2_API_BASE_URL": "http://gpu:8000/v1"}
    for options in ((), ("--service", "openai")):
        run = typed("codex", "--write", *options, *env(named))
        assert (run.code, run.stderr, variables("codex", home)) == (0, "", named)


def test_secrets_are_neither_printed_nor_written_where_others_read(home: Path, typed: Type) -> None:
    secrets = {
        "SORA2_API_KEY": KEY,
        "SORA2_ADMIN_TOKEN": TOKEN,
        "SORA2_DATABASE_URL": "postgresql://ann:word@db/x",
        "HTTPS_PROXY": "ann:word@proxy:3128",
    }
    printed = typed("cursor", *env(secrets))
    shared = [typed("cursor", "--project", "--write", *env({name: value})) for name, value in secrets.items()]
    written = typed("cursor", "--write", *env(secrets))

    carried = json.loads(printed.stdout)["mcpServers"]["sora2"]["env"]
    assert carried == {
        "SORA2_API_KEY": "your-key",
        **dict.fromkeys(("SORA2_ADMIN_TOKEN", "SORA2_DATABASE_URL", "HTTPS_PROXY"), "your-secret"),
        "SORA2_MAX_WAIT_SECONDS": "50",
        "SORA2_DAILY_LIMIT": "20",
    }
    names = "SORA2_ADMIN_TOKEN, SORA2_DATABASE_URL, HTTPS_PROXY"
    assert printed.stderr.splitlines()[-3:] == [
        "sora2-mcp: this entry does not work yet: it holds your-key and your-secret.",
        "Keys are never printed: --write puts yours in the place of your-key.",
        f"Secrets are never printed: --write puts in your {names}.",
    ]
    for name, run in zip(secrets, shared, strict=True):
        assert (run.code, run.stdout) == (2, "")
        assert run.stderr.startswith(f"sora2-mcp: --env {name} holds a secret, and --project writes a file that is")
    assert not list((home.parent / "project").rglob("*.json"))
    assert (printed.code, written.code) == (1, 0)
    assert variables("cursor", home).items() >= secrets.items()
    said = "".join(run.stdout + run.stderr for run in (printed, written, *shared))
    assert not [secret for secret in (KEY, TOKEN, "word") if secret in said]


def test_other_users_who_can_read_a_secret_that_was_named_are_warned_of(home: Path, typed: Type) -> None:
    path = home / FILES["cursor"]
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    path.chmod(0o644)
    run = typed("cursor", "--write", *env({"SORA2_ADMIN_TOKEN": TOKEN}))

    assert run.stderr.startswith(f"Other users of this machine may read the secret there: chmod 600 {path}\n")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["SORA2_DALY_LIMIT=5"], "--env knows no SORA2_DALY_LIMIT; did you mean SORA2_DAILY_LIMIT?"),
        (["DAILY_LIMIT=5"], "--env knows no DAILY_LIMIT; did you mean SORA2_DAILY_LIMIT?"),
        (["HTTP_PROXIES=http://p"], "--env knows no HTTP_PROXIES; did you mean HTTP_PROXY?"),
        (["PATH=/bin"], "--env knows no PATH; it takes SORA2_… settings and HTTPS_PROXY, HTTP_PROXY, ALL_PROXY,"),
        (["sk-0123"], "--env needs NAME=VALUE, or NAME alone for the value that is set here"),
        (["sk_0123"], "--env needs NAME=VALUE, or NAME alone for the value that is set here"),
        (["=sk-0123"], "--env needs NAME=VALUE, or NAME alone for the value that is set here"),
        (["SORA2_CONFIRM"], "--env SORA2_CONFIRM needs a value, since none is set here: --env SORA2_CONFIRM=…"),
        (["SORA2_CONFIRM= "], "--env SORA2_CONFIRM has no value: give it one, or leave the option out."),
        (["SORA2_API_KEY=your-key"], "--env SORA2_API_KEY has no value: give it one, or leave the option out."),
        (["SORA2_CONFIRM=sk-0123"], "SORA2_CONFIRM cannot be used; allowed is never, hd or always."),
        (["SORA2_API_KEY=sk-0123 x"], "SORA2_API_KEY cannot be used; allowed is printable ASCII characters"),
        (["SORA2_VIDEO_DIR=$HOME/x"], "SORA2_VIDEO_DIR cannot be used; allowed is a path of a folder, written out"),
        (["HTTPS_PROXY=socks://sk-0123"], "--env HTTPS_PROXY cannot be used; allowed is an address that begins with"),
        (["SSL_CERT_FILE=/no/file"], '--env is refused: SSL_CERT_FILE names "/no/file", which cannot be used (No such'),
        (["SSL_CERT_FILE=ca.pem"], "--env SSL_CERT_FILE is relative to whatever folder a host starts the server in"),
        (
            ["SSL_CERT_DIR=/"],
            '--env is refused: SSL_CERT_DIR names "/", which cannot be used (it holds no certificates',
        ),
        (["SORA2_SIMULATE=1"], "--env SORA2_SIMULATE is not needed: --simulate makes an entry for the simulator."),
        (["SORA2_API_KEY=sk-0123", "--simulate"], "--env SORA2_API_KEY does not go with --simulate"),
        (["SORA2_SERVICE=kie", "--service", "openai"], "--env SORA2_SERVICE and --service openai name two services"),
        (["SORA2_LOG_LEVEL=INFO", "--http", "http://127.0.0.1/mcp"], "--env does not go with --http"),
    ],
)
def test_what_cannot_be_taken_is_refused_without_its_value(
    home: Path, typed: Type, options: list[str], problem: str
) -> None:
    run = typed("cursor", "--write", "--env", *options)

    assert (run.code, run.stdout) == (2, "")
    assert run.stderr.startswith(f"sora2-mcp: {problem}")
    assert not re.search("sk.0123", run.stderr, re.IGNORECASE)
    assert not list(home.rglob("*.json"))


def test_what_is_set_here_and_not_in_the_entry_is_offered_by_name(typed: Type) -> None:
    key = {"SORA2_SERVICE": "kie", "SORA2_API_KEY": KEY}
    here: dict[str, Any] = {**key, "SORA2_DAILY_LIMIT": "5", "SORA2_ADMIN_TOKEN": TOKEN}
    offered = typed("zed", "--write", **here, HTTPS_PROXY="http://ann:word@p:1")
    taken = typed("zed", "--write", "--env", "SORA2_DAILY_LIMIT", **here)
    differs = typed("zed", "--write", **{**here, "SORA2_DAILY_LIMIT": "6"})
    shared = typed("zed", "--write", "--project", **here)

    assert offered.stderr == (
        "Not in the entry as it is set here: SORA2_DAILY_LIMIT, SORA2_ADMIN_TOKEN, HTTPS_PROXY.\n"
        "To have it there too, add: --env SORA2_DAILY_LIMIT --env SORA2_ADMIN_TOKEN --env HTTPS_PROXY\n"
    )
    assert taken.stderr == (
        "Not in the entry as it is set here: SORA2_ADMIN_TOKEN.\nTo have it there too, add: --env SORA2_ADMIN_TOKEN\n"
    )
    assert differs.stderr.startswith("Not in the entry as it is set here: SORA2_DAILY_LIMIT, SORA2_ADMIN_TOKEN.\n")
    assert shared.stderr.startswith("Not in the entry as it is set here: SORA2_DAILY_LIMIT.\n")
    assert "SORA2" not in typed("zed", "--http", "http://127.0.0.1/mcp", "--write", **here).stderr


def test_for_the_simulator_only_what_it_goes_by_is_offered(typed: Type) -> None:
    here = {"SORA2_MODEL": "a/b", "HTTPS_PROXY": "http://p:1", "SORA2_VIDEO_DIR": "/films"}
    run = typed("zed", "--simulate", "--write", **here)

    assert run.stderr == (
        "Not in the entry as it is set here: SORA2_VIDEO_DIR.\nTo have it there too, add: --env SORA2_VIDEO_DIR\n"
    )


def test_a_host_of_the_desktop_gets_a_daily_limit_and_that_is_said_once(home: Path, typed: Type) -> None:
    limited = set[str]()
    for host in FILES:
        first = typed(host, "--service", "kie", "--write", SORA2_API_KEY=KEY)
        again = typed(host, "--service", "kie", "--write", SORA2_API_KEY=KEY)
        has_limit = "SORA2_DAILY_LIMIT" in (home / FILES[host]).read_text()
        limited |= {host} if has_limit else set()
        assert (first.stderr, again.stderr) == (LIMIT if has_limit else "", "")

    assert limited == {host.id for host in HOSTS if host.is_desktop}
    assert limited == {"claude-desktop", "cursor", "vscode", "windsurf", "zed", "lm-studio"}


def test_a_limit_of_ones_own_is_not_touched(home: Path, typed: Type) -> None:
    for options in (["--env", "SORA2_DAILY_LIMIT=0"], []):
        run = typed("zed", "--service", "kie", "--write", *options, SORA2_API_KEY=KEY)
        assert (run.stderr, variables("zed", home)["SORA2_DAILY_LIMIT"]) == ("", "0")


@pytest.mark.parametrize("options", [["--simulate"], ["--http", "http://127.0.0.1:8000/mcp"], ["--service", "openai"]])
def test_where_videos_cost_nothing_no_limit_is_suggested(home: Path, typed: Type, options: list[str]) -> None:
    address = {"SORA2_API_BASE_URL": "http://gpu:8000/v1"} if "openai" in options else {}
    run = typed("cursor", "--write", *options, **address)

    assert run.code == 0
    assert "SORA2_DAILY_LIMIT" not in (home / FILES["cursor"]).read_text() + run.stderr


def test_an_entry_of_a_server_of_ones_own_gets_no_limit_when_it_is_written_again(home: Path, typed: Type) -> None:
    typed("cursor", "--service", "openai", "--write", SORA2_API_BASE_URL="http://gpu:8000/v1")
    run = typed("cursor", "--write")

    assert "SORA2_DAILY_LIMIT" not in (home / FILES["cursor"]).read_text() + run.stderr
