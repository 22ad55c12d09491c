"""The hosts, from ``cli/hosts/table.py``: their files, and the entry that is written into them."""

from collections.abc import Iterator

from sora2_mcp.cli.client_config.variables import suggested_limit
from sora2_mcp.cli.hosts.entry import Wanted, merged
from sora2_mcp.cli.hosts.file import printed
from sora2_mcp.cli.hosts.machine import PLACES, Launch
from sora2_mcp.cli.hosts.shortcuts import link_of
from sora2_mcp.cli.hosts.table import HOSTS, Host, System
from tools.docs.markdown import block, table

_SYSTEMS: dict[System, str] = {"linux": "Linux", "macos": "macOS", "windows": "Windows"}
_PROGRAM = Launch(command="/path/to/sora2-mcp")
_UVX = Launch(command="uvx", arguments=("sora2-mcp",))
"""Works on any machine with uv, so public links hold it."""

_LIVING = {"SORA2_SERVICE": "kie"}
"""The default is gone, so what a page shows and links to is a service that makes videos."""

_LIMIT = suggested_limit()


def host_sections() -> str:
    """A table of all hosts, and a section for each."""
    return "\n\n".join([_overview(), *map(_section, HOSTS)])


def _overview() -> str:
    return table(["host", "name", "how long a tool call may last", "one click"], map(_cells, HOSTS))


def _cells(host: Host) -> tuple[str, str, str, str]:
    link = link_of(host, Wanted(launch=_UVX, given=_LIVING, daily_limit=_LIMIT))
    anchor = host.title.lower().replace(" ", "-")
    return (f"[{host.title}](#{anchor})", f"`{host.id}`", host.limit, f"[add]({link.page})" if link else "")


def _section(host: Host) -> str:
    places = [*_files(host)]
    if host.project:
        places.append(f"- in a project: {' or '.join(f'`{path}`' for path in reversed(host.project))}")
    places.append(f"- then: {host.then}")
    command = block(f"sora2-mcp client-config {host.id} --service kie --write", "console")
    entry = printed(host, merged(host, Wanted(launch=_PROGRAM, given=_LIVING, daily_limit=_LIMIT), {}))
    return "\n\n".join([f"### {host.title}", command, "\n".join(places), block(entry.rstrip(), host.format)])


def _files(host: Host) -> Iterator[str]:
    """A line for each system, or one where all are alike."""
    paths = {title: " or ".join(f"`{path}`" for path in _paths(host, system)) for system, title in _SYSTEMS.items()}
    alike = paths["Linux"] == paths["macOS"] and len(set(host.files.values())) == 1
    for title, path in ({"Linux, macOS": paths["Linux"], "Windows": paths["Windows"]} if alike else paths).items():
        yield f"- {title}: {path}"


def _paths(host: Host, system: System) -> list[str]:
    """The usual file first."""
    *others, usual = (_path(template, system) for template in host.files[system])
    return [usual, *others]


def _path(template: str, system: System) -> str:
    """A path for people, as it is on a machine where no variable says otherwise."""
    place, _, rest = template.partition("/")
    if not place.startswith("%"):
        place = "/".join(part for part in ("~", PLACES[place]) if part)
    path = f"{place}/{rest}"
    return path.replace("~", "%USERPROFILE%", 1).replace("/", "\\") if system == "windows" else path
