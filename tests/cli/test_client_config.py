"""``sora2-mcp client-config``: what people and their hosts get to see."""

import io
import json
import re
import shlex
import tomllib
from functools import partial
from pathlib import Path

import json5
import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.hosts.table import HOSTS, Host
from sora2_mcp.cli.main import run
from tests.cli.conftest import Type
from tests.cli.host_reading import FILES, PROJECT_FILES, started_by
from tests.servers import KEY


@pytest.mark.parametrize("host", PROJECT_FILES)
def test_a_projects_file_takes_the_key_from_the_hosts_own_environment(home: Path, typed: Type, host: str) -> None:
    run = typed(host, "--write", "--project", SORA2_API_KEY=KEY)
    path = home.parent / "project" / PROJECT_FILES[host]
    own = {"SORA2_API_KEY": KEY, "sora2-key": KEY}

    assert run.code == 0
    assert KEY not in path.read_text()
    assert started_by(host, path, own).variables["SORA2_API_KEY"] == KEY
    if host not in ("vscode", "codex"):
        assert started_by(host, path, {}).variables.get("SORA2_API_KEY", "") == ""


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.id)
def test_stdout_holds_the_file_alone_and_the_key_is_shown_nowhere(home: Path, typed: Type, host: Host) -> None:
    printed = typed(host.id, SORA2_API_KEY=KEY)
    written = typed(host.id, "--write", SORA2_API_KEY=KEY)
    again = typed(host.id, "--write", SORA2_API_KEY=KEY)

    document = tomllib.loads(printed.stdout) if host.format == "toml" else json.loads(printed.stdout)
    path = home / FILES[host.id]
    assert set(document) - {"inputs"} == {host.section}
    assert f"This goes into {path}\n" in printed.stderr
    assert str(path) in written.stdout
    assert again.stdout.startswith(f"sora2 is in {path} as it should be; nothing was changed.\n")
    assert [run.code for run in (printed, written, again)] == [int("your-key" in printed.stdout), 0, 0]
    assert ("your-key" in printed.stdout) == (host.id != "vscode")
    assert not [run for run in (printed, written, again) if KEY in run.stdout + run.stderr]
    assert (KEY in path.read_text()) == (host.id != "vscode")
    assert not [one for one in path.parent.iterdir() if ".bak" in one.name]


def test_where_the_key_goes_is_said(home: Path, typed: Type) -> None:
    def advice(*arguments: str, **variables: str) -> str:
        run = typed("cursor", *arguments, **variables)
        return run.stdout + run.stderr

    kie = partial(advice, "--service", "kie")
    assert "in the place of your-key; or set SORA2_API_KEY and run this command with --write.\n" in kie()
    assert "Keys are never printed: --write puts yours in the place of your-key." in advice(SORA2_API_KEY=KEY)
    assert "in the place of your-key; or set SORA2_API_KEY and run this command again.\n" in kie("--write")
    # The entry is still for Kie.
    assert "Put your Kie key (https://kie.ai/api-key) in the place of your-key;" in advice("--write")
    assert "The API key is the one in SORA2_API_KEY; it is not shown here.\n" in kie("--write", SORA2_API_KEY=KEY)
    assert "The API key that the file had is kept; it is not shown here.\n" in advice("--write")
    (home / ".cursor" / "mcp.json").chmod(0o644)
    assert f"chmod 600 {home / '.cursor' / 'mcp.json'}\n" in advice("--write")
    (home / ".cursor" / "mcp.json").chmod(0o600)
    assert "The file holds no key, so it can be shared: set SORA2_API_KEY where Cursor" in advice("--project")
    assert "It runs on the simulator: no account, no key, no cost.\n" in advice("--simulate")
    assert "Put your token of that server in the place of your-token.\n" in advice("--http", "https://a.example/mcp")
    assert "your-token" not in advice("--http", "http://127.0.0.1:8000/mcp")
    assert "If that server has tokens, add --token" in advice("--http", "http://127.0.0.1:8000/mcp")
    assert "in the place of your-token.\n" in advice("--http", "http://127.0.0.1:8000/mcp", "--token")


@pytest.mark.usefixtures("typed")
def test_before_a_key_is_written_where_others_can_read_it_that_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = home / ".cursor" / "mcp.json", list[bool]()
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(0o644)

    class Reader(io.StringIO):
        def write(self, text: str) -> int:
            seen.append(KEY in path.read_text())
            return super().write(text)

    stderr = Reader()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setenv("SORA2_API_KEY", KEY)

    assert run(parse(["client-config", "cursor", "--service", "kie", "--write"])) == 0
    assert stderr.getvalue() == (
        f"Other users of this machine may read the secret there: chmod 600 {path}\n"
        "SORA2_DAILY_LIMIT=20 is in the entry: at most 20 orders a day.\n"
        "Another limit: --env SORA2_DAILY_LIMIT=50; none: --env SORA2_DAILY_LIMIT=0.\n"
    )
    assert seen == [False, True]
    assert KEY in path.read_text()


def test_the_files_owner_reads_what_became_of_it(home: Path, typed: Type) -> None:
    path = home / ".config" / "zed" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text('// mine\n{ "theme": "x" }\n')
    run = typed("zed", "--write", "--name", "films")

    assert run.stdout.splitlines()[:2] == [
        f"films was added: {path}",
        f"What was there before is kept in {path}.bak",
    ]
    assert path.read_text().startswith("// mine\n")
    assert json5.loads(path.read_text())["context_servers"]["films"]["command"]


def test_the_hosts_own_command_can_be_pasted(typed: Type) -> None:
    run = typed("claude-code")
    (line,) = (line for line in run.stderr.splitlines() if line.startswith("  claude "))
    entry = json.loads(run.stdout)["mcpServers"]["sora2"]

    assert shlex.split(line) == [
        *("claude", "mcp", "add", "--scope", "user", "sora2", "--env", "SORA2_API_KEY=your-key", "--"),
        *(entry["command"], "serve"),
    ]


def test_without_a_host_or_with_one_that_is_unknown_the_hosts_are_listed(home: Path, typed: Type) -> None:
    listed = typed()
    unknown = typed("emacs")

    assert (listed.code, listed.stderr) == (0, "")
    assert re.findall(r"^  ([a-z-]+)  +(/.+)$", listed.stdout, re.MULTILINE) == [
        (host, str(home / file)) for host, file in FILES.items()
    ]
    assert (unknown.code, unknown.stdout) == (2, "")
    assert unknown.stderr == f"sora2-mcp: 'emacs' is no host that is known.\n{listed.stdout}"


@pytest.mark.parametrize(
    ("typed_name", "meant"),
    [
        ("curser", "cursor"),
        ("vs-code", "vscode"),
        ("Claude Desktop", "claude-desktop"),
        ("claude", "claude-code or claude-desktop"),
        ("gemini", "gemini-cli"),
    ],
)
def test_a_host_that_was_probably_meant_is_named(typed: Type, typed_name: str, meant: str) -> None:
    run = typed(typed_name)

    assert (run.code, run.stdout) == (2, "")
    assert run.stderr.startswith(f"sora2-mcp: {typed_name!r} is no host that is known. Did you mean {meant}")


@pytest.mark.parametrize(
    ("service", "variables"),
    [
        ("kie", {"SORA2_API_KEY": KEY}),
        ("openai", {"SORA2_API_BASE_URL": "http://gpu:8000/v1", "SORA2_REQUEST_FORMAT": "json"}),
        ("openrouter", {"SORA2_API_KEY": KEY, "SORA2_MODEL": "google/veo-3.1", "SORA2_VIDEO_SECONDS": "8"}),
    ],
)
@pytest.mark.parametrize("host", ["claude-desktop", "cursor", "codex"])
def test_one_command_configures_a_service(
    home: Path, typed: Type, host: str, service: str, variables: dict[str, str]
) -> None:
    run = typed(host, "--service", service, "--write", **variables)
    started = started_by(host, home / FILES[host], {})

    assert run.code == 0
    assert KEY not in run.stdout + run.stderr
    wait = {"SORA2_MAX_WAIT_SECONDS": "50"} if host == "cursor" else {}
    limit = {"SORA2_DAILY_LIMIT": "20"} if host != "codex" and service != "openai" else {}
    assert started.variables == {"SORA2_SERVICE": service, **variables, **wait, **limit}


def test_another_service_takes_the_place_of_the_first_with_all_that_was_said_of_it(home: Path, typed: Type) -> None:
    old = {"SORA2_API_KEY": KEY, "SORA2_API_BASE_URL": "https://old.example/v1", "SORA2_DAILY_LIMIT": "5"}
    typed("cursor", "--write", "--env", "SORA2_DAILY_LIMIT", **old)
    typed("cursor", "--service", "kie", "--write")
    started = started_by("cursor", home / FILES["cursor"], {})

    assert started.variables["SORA2_SERVICE"] == "kie"
    assert started.variables["SORA2_API_KEY"] == "your-key"
    assert started.variables["SORA2_DAILY_LIMIT"] == "5"
    assert "SORA2_API_BASE_URL" not in started.variables


@pytest.mark.parametrize(
    ("first", "then", "address"),
    [
        ("http://a.example/v1", "http://b.example/v1", "http://b.example/v1"),
        ("", "https://gateway.example/v1", "https://gateway.example/v1"),
        ("https://gateway.example/v1", "", None),
    ],
)
def test_a_key_is_not_handed_on_to_another_address(
    home: Path, typed: Type, first: str, then: str, address: str | None
) -> None:
    typed("cursor", "--service", "kie", "--write", SORA2_API_KEY=KEY, SORA2_API_BASE_URL=first)
    typed("cursor", "--service", "kie", "--write", SORA2_API_BASE_URL=then)
    started = started_by("cursor", home / FILES["cursor"], {})

    assert started.variables["SORA2_API_KEY"] == "your-key"
    assert started.variables.get("SORA2_API_BASE_URL") == address


def test_a_new_key_takes_the_place_of_the_old_one_beside_a_model(home: Path, typed: Type) -> None:
    typed("cursor", "--service", "kie", "--write", SORA2_API_KEY=KEY, SORA2_MODEL="wan/2-7-text-to-video")
    typed("cursor", "--service", "kie", "--write", SORA2_API_KEY=f"{KEY}-new")
    started = started_by("cursor", home / FILES["cursor"], {})

    assert started.variables["SORA2_API_KEY"] == f"{KEY}-new"
    assert started.variables["SORA2_MODEL"] == "wan/2-7-text-to-video"


def test_a_host_that_keeps_keys_keeps_one_for_each_service(home: Path, typed: Type) -> None:
    def asked() -> str:
        document = json5.loads((home / FILES["vscode"]).read_text())
        return str(document["servers"]["sora2"]["env"]["SORA2_API_KEY"])

    typed("vscode", "--write")
    keys = [asked()]
    for service, variables in (("kie", {}), ("kie", {"SORA2_API_BASE_URL": "https://gateway.example/v1"})):
        typed("vscode", "--service", service, "--write", **variables)
        keys.append(asked())
    typed("vscode", "--service", "openrouter", "--write", SORA2_MODEL="a/b")
    keys.append(asked())

    assert keys[0] == "${input:sora2-key}"
    assert keys[1] == "${input:sora2-kie-key}"
    assert len({*keys}) == 4


def test_an_entry_of_a_service_stays_that_services_when_it_is_written_again(home: Path, typed: Type) -> None:
    typed("cursor", "--service", "kie", "--write", SORA2_API_KEY=KEY)
    before = (home / FILES["cursor"]).read_text()
    typed("cursor", "--write")

    assert (home / FILES["cursor"]).read_text() == before


@pytest.mark.parametrize(
    ("service", "variables", "missing"),
    [
        ("openai", {}, "SORA2_API_BASE_URL"),
        ("openrouter", {}, "SORA2_MODEL"),
        ("openrouter", {"SORA2_API_KEY": KEY}, "SORA2_MODEL"),
    ],
)
def test_what_a_service_needs_beside_a_key_must_be_there_first(
    home: Path, typed: Type, service: str, variables: dict[str, str], missing: str
) -> None:
    run = typed("cursor", "--service", service, "--write", **variables)

    assert run.code == 2
    assert f"{missing} is not set, and {service} needs it" in run.stderr
    assert not (home / FILES["cursor"]).exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("cursor", "--name", "a b"), "--name may have 1 to 40 letters, digits and hyphens"),
        (("windsurf", "--project"), "--project does not go with windsurf, which has one file for all projects"),
        (("cursor", "--http", "videos.example.com"), "--http needs an http:// or https:// address, such as"),
        (("cursor", "--http", "https://a.example/mcp", "--simulate"), "--simulate does not go with --http"),
        (("cursor", "--token"), "--token goes with --http"),
        (("claude-desktop", "--http", "https://a.example/mcp"), "--http cannot be written for claude-desktop"),
    ],
)
def test_options_that_do_not_fit_change_nothing(
    home: Path, typed: Type, arguments: tuple[str, ...], problem: str
) -> None:
    run = typed(*arguments, "--write")

    assert (run.code, run.stdout) == (2, "")
    assert run.stderr.startswith(f"sora2-mcp: {problem}")
    assert not list(home.rglob("*.json"))


def test_a_file_that_cannot_be_read_ends_with_the_way_out(home: Path, typed: Type) -> None:
    path = home / ".claude.json"
    path.write_text('{"projects": {}')
    problem = "Expecting ',' delimiter: line 1 column 16 (char 15)"
    run = typed("claude-code", "--write", SORA2_API_KEY=KEY)

    assert (run.code, run.stdout, path.read_text()) == (1, "", '{"projects": {}')
    assert run.stderr.splitlines() == [
        f"sora2-mcp: {path} cannot be understood as JSON ({problem}); it was left as it is",
        "Mend it, or put the entry there yourself: sora2-mcp client-config claude-code prints it.",
    ]


def test_what_still_holds_a_placeholder_ends_with_that_and_another_code(typed: Type) -> None:
    printed = typed("zed", "--service", "kie")
    written = typed("zed", "--service", "kie", "--write")
    literal = typed("zed", "--service", "kie", "--write", SORA2_API_KEY="your-key")
    token = typed("cursor", "--http", "https://a.example/mcp", "--write")

    assert [run.code for run in (printed, written, literal, token)] == [1, 1, 1, 1]
    problem = "sora2-mcp: this entry does not work yet: it holds your-key."
    assert printed.stderr.splitlines()[-2] == problem
    assert written.stderr.splitlines()[-2:] == literal.stderr.splitlines()[-2:]
    remedy = "Put your Kie key (https://kie.ai/api-key) in the place of your-key; or set SORA2_API_KEY and"
    assert written.stderr.splitlines()[-2:] == [problem, f"{remedy} run this command again."]
    assert token.stderr.splitlines()[0] == "sora2-mcp: this entry does not work yet: it holds your-token."


def test_a_shared_entry_without_a_token_says_where_it_comes_from(typed: Type) -> None:
    new = typed("claude-code", "--http", "https://a.example/mcp", "--project", "--write")
    known = typed("claude-code", "--http", "https://a.example/mcp", "--project", "--write")

    place = "The file holds no token, so it can be shared: set VIDEOS_TOKEN where Claude Code is started."
    assert (new.code, known.code) == (0, 0)
    assert place in new.stdout + new.stderr
    assert "your-token" not in new.stdout + new.stderr + known.stdout + known.stderr


def test_an_entry_for_the_service_that_has_ended_says_so_and_names_others(typed: Type) -> None:
    without_key, with_key = typed("cursor"), typed("cursor", "--write", SORA2_API_KEY=KEY)
    chosen = typed("zed", "--service", "sora2api", SORA2_API_KEY=KEY)
    elsewhere = typed("zed", SORA2_API_KEY=KEY, SORA2_API_BASE_URL="https://gateway.example/v1")

    ended = "OpenAI ended Sora 2 on 2026-09-24"
    assert [run.stderr.count(ended) for run in (without_key, with_key, chosen, elsewhere)] == [1, 1, 1, 0]
    assert "SORA2_SERVICE chooses others: kie, openrouter, openai. Give one with --service.\n" in with_key.stderr


def test_a_placeholder_in_the_shell_takes_the_place_of_no_key(home: Path, typed: Type) -> None:
    typed("zed", "--service", "kie", "--write", SORA2_API_KEY=KEY)
    run = typed("zed", "--write", SORA2_API_KEY="your-key")

    assert (run.code, run.stderr) == (0, "")
    assert started_by("zed", home / FILES["zed"], {}).variables["SORA2_API_KEY"] == KEY


def test_of_the_simulator_in_the_place_of_real_videos_that_is_said(home: Path, typed: Type) -> None:
    new = typed("claude-code", "--simulate", "--write")
    typed("claude-code", "--service", "kie", "--write", SORA2_API_KEY=KEY)
    over_a_key = typed("claude-code", "--simulate", "--write")
    with_a_key = typed("claude-code", "--simulate", SORA2_API_KEY=KEY)
    other_service = typed("claude-code", "--simulate", "--service", "openrouter", "--write")

    no_videos = "This entry makes no real videos: it runs on the simulator.\n"
    assert new.stderr == ""
    assert over_a_key.stderr == (
        f"{no_videos}The key that it had stays in it, unused, until it is written without --simulate.\n"
    )
    assert with_a_key.stderr.endswith(f"{no_videos}The key in SORA2_API_KEY was not used and not written.\n")
    assert other_service.stderr == (
        f"{no_videos}"
        "The key that it had was for another service and is no longer in it, only in the copy of the file.\n"
    )
    assert KEY not in (home / FILES["claude-code"]).read_text()
    assert [run.code for run in (new, over_a_key, with_a_key, other_service)] == [0, 0, 0, 0]


def test_a_shell_on_the_simulator_is_told_that_the_entry_is_not(typed: Type) -> None:
    run = typed("claude-code", "--service", "kie", "--write", SORA2_API_KEY=KEY, SORA2_SIMULATE="1")

    assert run.stderr == (
        "SORA2_SIMULATE is set here, but this entry makes real videos; --simulate gives one for the simulator.\n"
    )
