"""A doctor to be asked, in an environment of the test's own."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sora2_mcp.cli.doctor.command import examine
from sora2_mcp.cli.doctor.report import Report
from sora2_mcp.cli.doctor.setup import load_setup
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
