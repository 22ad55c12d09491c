"""The Python programs that pages show do what the pages say, against real servers on the simulator."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.documents import Document
from tests.e2e.processes import Process, environment
from tools.docs.files import ROOT

TOKEN = "a-long-secret-of-anns"  # made up; it stands on the page


def shown_on(page: str, beginning: str) -> str:
    """The Python program of a page that begins so."""
    [found] = [
        block.text
        for block in Document(ROOT / page).blocks
        if block.language == "python" and block.text.startswith(beginning)
    ]
    return found


def ran(program: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {**environment(folder, **variables), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run(
        [sys.executable, "-c", program], env=given, cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server that has a token."""
    arguments = ("serve", "--simulate", "--transport", "streamable-http", "--port", "0")
    with Process(tmp_path, *arguments, SORA2_AUTH_TOKENS=f"ann:{TOKEN}") as process:
        yield process.logged(r"serving MCP at (http://127\.0\.0\.1:\d+/mcp)").group(1)


def test_the_token_client_orders_waits_and_gets_a_link(tmp_path: Path, address: str) -> None:
    program = shown_on("docs/token-clients.md", "import os\n")

    done = ran(program, tmp_path, VIDEOS_URL=address, VIDEOS_TOKEN=TOKEN)

    assert done.returncode == 0, done.stderr
    beginnings = [line.partition(" ")[0] for line in done.stdout.splitlines() if not line.startswith("Next: ")]
    assert beginnings[0] == "Ordered:"
    assert beginnings[-2:] == ["Done", "Saved:"]
    assert f"Saved: {address.removesuffix('/mcp')}/videos/" in done.stdout


def test_the_token_client_says_that_an_unknown_token_is_refused(tmp_path: Path, address: str) -> None:
    program = shown_on("docs/token-clients.md", "import os\n")

    done = ran(program, tmp_path, VIDEOS_URL=address, VIDEOS_TOKEN="not-a-token-of-anns")

    assert done.returncode == 1
    assert "Server returned an error response" in done.stderr


def test_the_program_of_the_readme_prints_the_videos_address(tmp_path: Path) -> None:
    done = ran(shown_on("README.md", "import sys\n"), tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http://127.0.0.1:")
