"""A doctor to be asked and a command to be typed, in an environment of the test's own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.client_config.variables import NETWORK
from sora2_mcp.cli.doctor.command import examine
from sora2_mcp.cli.doctor.report import Report
from sora2_mcp.cli.doctor.setup import load_setup
from sora2_mcp.cli.main import run
from sora2_mcp.clock import Clock
from sora2_mcp.tasks.ssrf import Resolve, resolved
from tests.servers import KEY

Examined = Callable[..., Awaitable[Report]]


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    """The report on these variables, with a key, a store and a folder unless others are given; without a round trip."""

    async def report(
        *,
        simulate: bool = False,
        offline: bool = False,
        round_trip: bool = False,
        clock: Clock | None = None,
        resolve: Resolve = resolved,
        **variables: str,
    ) -> Report:
        usual = {
            "SORA2_API_KEY": KEY,
            "SORA2_DATABASE_URL": f"sqlite:///{tmp_path / 'tasks.db'}",
            "SORA2_VIDEO_DIR": str(tmp_path / "videos"),
        }
        for name, text in {**usual, **variables}.items():
            monkeypatch.setenv(name, text)
        return await examine(
            load_setup(simulate=simulate, offline=offline, round_trip=round_trip, clock=clock, resolve=resolve)
        )

    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    code: int
    stdout: str
    stderr: str


Type = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder; the command is typed in a project elsewhere."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    # Those of the machine would be offered for each entry.
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", *NETWORK):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def typed(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:  # noqa: ARG001
    """Runs the command with these arguments, and these variables set."""

    def typed(*arguments: str, **variables: str) -> Ran:
        with monkeypatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            code = run(parse(["client-config", *arguments]))
        shown = capsys.readouterr()
        return Ran(code=code, stdout=shown.out, stderr=shown.err)

    return typed
