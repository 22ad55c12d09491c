"""docs/hosts.md stays true. ``python -m tests.contract.test_hosts_page`` writes its generated part anew."""

import re
from collections.abc import Iterator
from pathlib import Path

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.hosts.entry import Wanted, merged
from sora2_mcp.cli.hosts.file import printed
from sora2_mcp.cli.hosts.machine import PLACES, Launch
from sora2_mcp.cli.hosts.shortcuts import link_of
from sora2_mcp.cli.hosts.table import HOSTS, Host, System
from sora2_mcp.settings import Settings, variable_of

PAGE = Path(__file__).parents[2] / "docs" / "hosts.md"
SYSTEMS: dict[System, str] = {"linux": "Linux", "macos": "macOS", "windows": "Windows"}
PROGRAM = Launch(command="/path/to/sora2-mcp")
UVX = Launch(command="uvx", arguments=("sora2-mcp",))
"""Works on any machine with uv, so public links hold it."""

LIVING = {"SORA2_SERVICE": "kie"}
"""The default is gone, so what a page shows and links to is a service that makes videos."""


def files_of(host: Host) -> Iterator[str]:
    """A line for each system, or one where all are alike."""
    paths = {title: " or ".join(f"`{path}`" for path in _shown(host, system)) for system, title in SYSTEMS.items()}
    alike = paths["Linux"] == paths["macOS"] and len(set(host.files.values())) == 1
    for title, path in ({"Linux, macOS": paths["Linux"], "Windows": paths["Windows"]} if alike else paths).items():
        yield f"- {title}: {path}"


def shown(template: str, system: System) -> str:
    """A path for people, as it is on a machine where no variable says otherwise."""
    place, _, rest = template.partition("/")
    if not place.startswith("%"):
        place = "/".join(part for part in ("~", PLACES[place]) if part)
    path = f"{place}/{rest}"
    return path.replace("~", "%USERPROFILE%", 1).replace("/", "\\") if system == "windows" else path


def _shown(host: Host, system: System) -> list[str]:
    """The usual file first."""
    *others, usual = (shown(template, system) for template in host.files[system])
    return [usual, *others]


def section_of(host: Host) -> str:
    """What there is to know of one host."""
    lines = [
        f"### {host.title}",
        "",
        "```console",
        f"sora2-mcp client-config {host.id} --service kie --write",
        "```",
        "",
    ]
    lines += files_of(host)
    if host.project:
        lines.append(f"- in a project: {' or '.join(f'`{path}`' for path in reversed(host.project))}")
    lines.append(f"- then: {host.then}")
    entry = printed(host, merged(host, Wanted(launch=PROGRAM, given=LIVING), {}))
    return "\n".join([*lines, "", f"```{host.format}", entry.rstrip(), "```"])


def overview() -> str:
    """A row for each host."""
    rows = ["| host | name | how long a tool call may last | one click |", "| --- | --- | --- | --- |"]
    for host in HOSTS:
        link = link_of(host, Wanted(launch=UVX, given=LIVING))
        cell = f"[add]({link.page})" if link else ""
        anchor = host.title.lower().replace(" ", "-")
        rows.append(f"| [{host.title}](#{anchor}) | `{host.id}` | {host.limit} | {cell} |")
    return "\n".join(rows)


def filled_in(text: str) -> str:
    """The page with its generated part as it should be."""
    before, begin, rest = text.partition("<!-- hosts:begin")
    mark, _, rest = rest.partition("\n")
    _, end, after = rest.partition("<!-- hosts:end -->")
    sections = "\n\n".join([overview(), *(section_of(host) for host in HOSTS)])
    return f"{before}{begin}{mark}\n{sections}\n{end}{after}"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert "cursor://" not in text, "GitHub removes links of other kinds"
    assert text.count("### ") == len(HOSTS) == 10
    assert filled_in(text) == text


def test_every_command_line_of_the_page_is_understood() -> None:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split() for block in blocks for line in block.splitlines()]

    assert len(lines) >= 15
    for program, *arguments in lines:
        assert program == "sora2-mcp"
        assert parse(arguments).command == "client-config"
        assert parse(arguments).host in ("", *(host.id for host in HOSTS))


def test_every_variable_and_document_the_page_names_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert set(re.findall(r"SORA2_[A-Z_]+", text)) <= {variable_of(name) for name in Settings.model_fields}
    assert all((PAGE.parent / name).is_file() for name in re.findall(r"\]\(([a-z]+\.md)\)", text))


if __name__ == "__main__":
    PAGE.write_text(filled_in(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
