"""What the command line says to whatever is typed, in this process."""

import re
import signal
from collections.abc import Callable, Iterator

import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.main import run
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.server.web.gate import check_reach
from sora2_mcp.settings import Settings

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs the command line, with these variables set; gives the exit code, and what it writes to stdout and stderr."""

    def typed(*arguments: str, **variables: str) -> tuple[int, str, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        try:
            code = run(parse(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return typed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tasks", "wait", "x", "--timeout", "soon"), "soon is out of range; allowed are 0 to 86400 seconds"),
        (("client-config", "--write"), "--write needs a host"),
        (("client-config", "cursor", "--env", "SORA2_DALY_LIMIT=5"), "did you mean SORA2_DAILY_LIMIT?"),
        (("serve", "--port", "any"), "any is no port; allowed are 0 to 65535"),
        (("simulate", "--fault", "nonsense"), "--fault cannot be read"),
        (("serve", "--port", "99999"), "99999 is no port"),
        (("dance",), "invalid choice"),
        (("genrate", "A kitten"), "; did you mean generate?"),
        (("tasks", "lst"), "; did you mean list?"),
        (("--verion",), "there is no option --verion; did you mean --version?"),
        (("generate", "A", "kitten", "--aspect=portrait"), "there is no option --aspect; did you mean --aspect-ratio?"),
        (("doctor", "--now"), "sora2-mcp doctor: error: there is no option --now\nSee: sora2-mcp doctor --help\n"),
        (("generate", "A kitten", "--fast"), "there is no option --fast"),
        (("tasks", "show", "one", "two"), "unrecognized arguments: two"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(typed: Typed, arguments: tuple[str, ...], words: str) -> None:
    code, written, said = typed(*arguments)

    assert (code, written) == (2, "")
    assert words in said


@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["demo"], ["generate"], ["tasks"], ["tasks", "list"], ["simulate"], ["doctor"], ["client-config"]],
)
def test_help_explains_every_option(typed: Typed, command: list[str]) -> None:
    code, written, _ = typed(*command, "--help")

    assert code == 0
    assert written.startswith("usage: sora2-mcp")
    options = re.findall(r"^  (--[a-z-]+)(.*)$", written, re.MULTILINE)
    assert not [option for option, rest in options if command and not rest.strip()]


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "8080"),
        ("--host=127.0.0.1",),
        ("generate", "A kitten", "--no-wait", "--timeout", "60"),
        ("generate", "A kitten", "--no-wait", "--filename", "kitten"),
        ("client-config", "--project"),
        ("client-config", "--service", "kie"),
        ("client-config", "cursor", "--http", "https://videos.example.com/mcp", "--service", "kie"),
        ("client-config", "cursor", "--token"),
        ("doctor", "--simulate", "--offline"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused_with_the_reason(typed: Typed, arguments: tuple[str, ...]) -> None:
    code, written, said = typed(*arguments)

    option = next(word for word in reversed(arguments) if word.startswith("--")).partition("=")[0]
    assert (code, written) == (2, "")
    assert re.search(rf"argument {option}: has no effect: .+|{option} goes with --http: .+", said)


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--transport", "streamable-http", "--port", "8080"),
        ("generate", "A kitten", "--timeout", "60", "--filename", "kitten"),
        ("generate", "--no-wait", "--", "--timeout"),
        ("client-config", "cursor", "--http", "https://videos.example.com/mcp", "--project"),
    ],
)
def test_an_option_that_does_something_is_taken(arguments: tuple[str, ...]) -> None:
    assert parse(arguments).command == arguments[0]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("A", "kitten", "plays", "--simulate"), '"A kitten plays" --simulate'),
        (("A", "kitten's", "day"), '"A kitten\'s day"'),
        (("A", "cat", "-", "at", "-5", "degrees", "--json"), '"A cat - at -5 degrees" --json'),
        (
            ("--json", "A", '"kitten"', "--filename", "my kitten", "$5"),
            "'A \"kitten\" $5' --json --filename 'my kitten'",
        ),
    ],
)
def test_a_prompt_without_quotes_is_met_with_the_same_command_and_it_quoted(
    typed: Typed, words: tuple[str, ...], shown: str
) -> None:
    code, written, said = typed("generate", *words)

    assert (code, written) == (2, "")
    assert said.splitlines() == [
        "sora2-mcp generate: error: quote the prompt, so that it is one word to the shell:",
        f"  sora2-mcp generate {shown}",
        "See: sora2-mcp generate --help",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_gets_a_script_that_completes_commands_options_and_hosts(typed: Typed, shell: str) -> None:
    code, written, said = typed("completion", shell)

    assert (code, said) == (0, "")
    assert [word for word in ("client-config", "quality", "cursor") if word not in written] == []


def test_the_version_is_the_packages_own(typed: Typed) -> None:
    assert re.fullmatch(r"sora2-mcp \d+\.\d+\.\d+\n", typed("--version")[1])


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
    typed: Typed, variable: str, value: str, allowed: str
) -> None:
    code, written, said = typed(**{variable: value})

    assert (code, written) == (2, "")
    [line] = said.splitlines()
    assert line.startswith(f"sora2-mcp: {variable} ")
    assert allowed in line
    assert value not in line.removeprefix(f"sora2-mcp: {variable}") or len(value) < 3


@pytest.fixture
def own_signals() -> Iterator[None]:
    """The signals' handlers as they were, after a server that was about to start."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize("kind", ["sse", "streamable-http"])
def test_an_address_others_could_reach_is_refused_over_every_transport(typed: Typed, kind: str) -> None:
    code, written, said = typed("serve", "--transport", kind, "--host", "0.0.0.0", "--port", "0")

    assert (code, written) == (2, "")
    assert said.startswith("sora2-mcp: --host 0.0.0.0 lets other machines connect, which needs tokens")


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--transport", "streamable-http", "--host", ""),
        ("serve", "--transport", "sse", "--host", " "),
        ("simulate", "--host", ""),
        ("simulate", "--state", ""),
        ("simulate", "--api-key", ""),
        ("generate", "A kitten", "--idempotency-key", ""),
        ("client-config", "cursor", "--http", ""),
    ],
)
def test_an_option_that_a_script_left_empty_is_refused(typed: Typed, arguments: tuple[str, ...]) -> None:
    code, written, said = typed(*arguments)

    assert (code, written) == (2, "")
    assert f"argument {arguments[-2]}: is empty; give it a value, or leave it out" in said


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_address_is_every_address_there_is(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--host \(empty\) lets other machines connect"):
        check_reach(Settings.load(), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.168.1.5", "example.com"])
def test_an_address_others_could_reach_is_refused_with_what_is_allowed(host: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_reach(Settings.load(), host)

    assert str(refused.value) == (
        f"--host {host} lets other machines connect, which needs tokens: set SORA2_AUTH_TOKENS=name:token "
        "(at least 16 characters), or SORA2_OAUTH_ISSUER and its companions."
    )
