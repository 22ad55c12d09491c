"""This machine: where a host's file lies, and how a host starts this program.

Hosts do not share the user's ``PATH``, so the program is given by its own path.
"""

import json
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sora2_mcp.cli.hosts.table import Host, System
from sora2_mcp.errors import ConfigurationError

_PACKAGE = "sora2-mcp"
_SYSTEMS: dict[str, System] = {"win32": "windows", "darwin": "macos"}
_UV_CACHE = ("archive-v", "environments-v", "builds-v")
"""How the folders in uv's cache begin from which ``uvx`` runs programs. uv deletes them at times."""

PLACES = {
    "~": "",
    "$XDG_CONFIG_HOME": ".config",
    "%APPDATA%": "AppData/Roaming",
    "%LOCALAPPDATA%": "AppData/Local",
    "$CLAUDE_CONFIG_DIR": "",
    "$CODEX_HOME": ".codex",
    "$GEMINI_CLI_HOME": "",
    "$LM_STUDIO_HOME": ".lmstudio",
}
"""What a path may begin with, and where below the home that is unless a variable of this name says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What decides where files lie. ``project`` is the folder that a project's files are in."""

    system: System
    home: Path
    variables: Mapping[str, str]
    project: Path


def this_machine(variables: Mapping[str, str], *, project: bool = False) -> Machine:
    """The machine this process runs on; with ``project`` the working folder is the project's.

    Raises:
        ConfigurationError: there is no home folder, or no working folder though one is needed.
    """
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise ConfigurationError("HOME", "names no home folder, which is where hosts keep their files; set it.")
    # The working folder may be gone, which matters to --project alone.
    try:
        here = Path.cwd() if project else home
    except FileNotFoundError as error:
        raise ConfigurationError("--project", "means the working folder, which is gone.") from error
    return Machine(system=_SYSTEMS.get(sys.platform, "linux"), home=home, variables=variables, project=here)


def file_of(host: Host, machine: Machine, *, project: bool = False) -> Path:
    """The file to read and write: the first that the host has made, else the one that it would make."""
    if project:
        *others, last = (machine.project / name for name in host.project)
    else:
        *others, last = (_filled_in(template, machine) for template in host.files[machine.system])
    return next((path for path in map(_made, others) if path is not None), last)


def _made(path: Path) -> Path | None:
    """The path if the host has made it; of a path with a ``*`` its folder is enough."""
    folder = str(path.parent)
    if "*" not in folder:
        return path if path.exists() else None
    anchor = Path(path.anchor)
    found = sorted(one / path.name for one in anchor.glob(str(path.parent.relative_to(anchor))) if one.is_dir())
    return max(found, key=Path.exists, default=None)


def _filled_in(template: str, machine: Machine) -> Path:
    place, _, rest = template.partition("/")
    if place == "$LM_STUDIO_HOME":
        return _lm_studio(machine.home) / rest
    value = machine.variables.get(place.strip("$%"), "").strip()
    return (Path(value) if value else machine.home / PLACES[place]) / rest


def _lm_studio(home: Path) -> Path:
    """LM Studio's folder; another file names it if the user has moved it."""
    try:
        named = (home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        named = ""
    earlier = home / ".cache" / "lm-studio"
    return Path(named) if named else earlier if earlier.is_dir() else home / PLACES["$LM_STUDIO_HOME"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A program and the arguments that make it this one."""

    command: str
    arguments: tuple[str, ...] = ()


def launch_of_this_process(variables: Mapping[str, str]) -> Launch:
    """How to start the installation that is running."""
    return launch_of(
        called=Path(sys.argv[0]).absolute(),
        interpreter=Path(sys.executable),
        prefix=Path(sys.prefix),
        scripts=Path(sysconfig.get_path("scripts")),
        search_path=variables.get("PATH", ""),
        suffix=".exe" if sys.platform == "win32" else "",
    )


def launch_of(
    *, called: Path, interpreter: Path, prefix: Path, scripts: Path, search_path: str, suffix: str = ""
) -> Launch:
    """How to start an installation again, by what a process of it shows.

    ``scripts`` is where the installation puts programs, whose names end in ``suffix``.
    """
    if any(part.startswith(_UV_CACHE) for part in prefix.parts):
        return Launch(command=shutil.which("uvx", path=search_path) or "uvx", arguments=_uvx_arguments())
    folders = [scripts, interpreter.parent]
    if called.name.removesuffix(suffix) == _PACKAGE:
        # A link such as pipx makes outlives what it leads to, so the program is named as it was called.
        folders.insert(0, called.parent)
    programs = [folder / f"{_PACKAGE}{suffix}" for folder in folders]
    if program := next((program for program in programs if program.is_file()), None):
        return Launch(command=str(program))
    return Launch(command=str(interpreter), arguments=("-m", "sora2_mcp"))


def _uvx_arguments() -> tuple[str, ...]:
    """The arguments for ``uvx``: where the package came from, unless it was a registry."""
    try:
        origin = json.loads(distribution(_PACKAGE).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    if "url" not in origin:
        return (_PACKAGE,)
    vcs = origin.get("vcs_info", {}).get("vcs", "")
    return ("--from", f"{_PACKAGE} @ {f'{vcs}+' if vcs else ''}{origin['url']}", _PACKAGE)
