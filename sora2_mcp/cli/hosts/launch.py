"""How a host starts this program: it must not depend on the user's ``PATH``, which hosts do not share."""

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_PACKAGE = "sora2-mcp"
_UV_CACHE = ("archive-v", "environments-v", "builds-v")
"""How the folders of uv's cache begin in which ``uvx`` keeps what it runs. They are swept away at times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A program and the arguments that make it this one."""

    command: str
    arguments: tuple[str, ...] = ()


UVX = Launch(command="uvx", arguments=(_PACKAGE,))
"""Works on any machine with uv, so it is what links that others click hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The process that asks, as far as it shows how it was installed."""

    called: Path
    """The program as it was called."""

    interpreter: Path
    prefix: Path
    scripts: Path
    """Where the installation puts programs."""

    search_path: str
    suffix: str = ""
    """What names of programs end in."""


def this_process(variables: Mapping[str, str]) -> Running:
    """The process this is."""
    return Running(
        called=Path(sys.argv[0]).absolute(),
        interpreter=Path(sys.executable),
        prefix=Path(sys.prefix),
        scripts=Path(sysconfig.get_path("scripts")),
        search_path=variables.get("PATH", ""),
        suffix=".exe" if sys.platform == "win32" else "",
    )


def launch_of(running: Running) -> Launch:
    """The way back to that installation."""
    if any(part.startswith(_UV_CACHE) for part in running.prefix.parts):
        return Launch(command=shutil.which("uvx", path=running.search_path) or "uvx", arguments=_uvx_arguments())
    for folder in _folders(running):
        program = folder / f"{_PACKAGE}{running.suffix}"
        if program.is_file():
            return Launch(command=str(program))
    return Launch(command=str(running.interpreter), arguments=("-m", "sora2_mcp"))


def _folders(running: Running) -> Iterator[Path]:
    """Where the program may lie, as it was called first: a link such as pipx makes outlives what it leads to."""
    if running.called.name.removesuffix(running.suffix) == _PACKAGE:
        yield running.called.parent
    yield from (running.scripts, running.interpreter.parent)


def _uvx_arguments() -> tuple[str, ...]:
    """What ``uvx`` was told: where the package came from, unless it was a registry."""
    try:
        origin = json.loads(distribution(_PACKAGE).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    if "url" not in origin:
        return (_PACKAGE,)
    vcs = origin.get("vcs_info", {}).get("vcs", "")
    return ("--from", f"{_PACKAGE} @ {f'{vcs}+' if vcs else ''}{origin['url']}", _PACKAGE)
