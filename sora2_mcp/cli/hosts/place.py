"""Where a host's file lies on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sora2_mcp.cli.hosts.host import Host, System

_PLACES = {
    "~": "",
    "$XDG_CONFIG_HOME": ".config",
    "%APPDATA%": "AppData/Roaming",
    "%LOCALAPPDATA%": "AppData/Local",
    "$CLAUDE_CONFIG_DIR": "",
    "$CODEX_HOME": ".codex",
    "$GEMINI_CLI_HOME": "",
    "$LM_STUDIO_HOME": ".lmstudio",
}
"""What a path may begin with, and where below the home that is while no variable of this name says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The machine and the user, as far as they decide where files lie."""

    system: System
    home: Path
    variables: Mapping[str, str]
    project: Path
    """The folder a project's files are in."""


def file_of(host: Host, around: Surroundings, *, project: bool = False) -> Path:
    """The one file that is read and written: the first that the host has made, else where it looks for one."""
    if project:
        *others, last = (around.project / name for name in host.project)
    else:
        *others, last = (_filled_in(template, around) for template in host.files[around.system])
    return next((path for path in map(_made, others) if path is not None), last)


def shown(template: str, system: System) -> str:
    """A path for people, as it is on a machine where no variable says otherwise."""
    place, _, rest = template.partition("/")
    if not place.startswith("%"):
        place = "/".join(part for part in ("~", _PLACES[place]) if part)
    path = f"{place}/{rest}"
    return path.replace("~", "%USERPROFILE%", 1).replace("/", "\\") if system == "windows" else path


def _made(path: Path) -> Path | None:
    """The path if the host has made it; where it has a ``*``, its folder is enough."""
    folder = str(path.parent)
    if "*" not in folder:
        return path if path.exists() else None
    anchor = Path(path.anchor)
    found = sorted(one / path.name for one in anchor.glob(str(path.parent.relative_to(anchor))) if one.is_dir())
    return max(found, key=Path.exists, default=None)


def _filled_in(template: str, around: Surroundings) -> Path:
    place, _, rest = template.partition("/")
    if place == "$LM_STUDIO_HOME":
        return _lm_studio(around.home) / rest
    value = around.variables.get(place.strip("$%"), "").strip()
    return (Path(value) if value else around.home / _PLACES[place]) / rest


def _lm_studio(home: Path) -> Path:
    """LM Studio's folder, which another file names if it was moved."""
    try:
        named = (home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        named = ""
    earlier = home / ".cache" / "lm-studio"
    return Path(named) if named else earlier if earlier.is_dir() else home / _PLACES["$LM_STUDIO_HOME"]
