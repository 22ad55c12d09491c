"""Links that put a server into a host with one click."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sora2_mcp.cli.hosts.entry import Wanted, entry_of, question
from sora2_mcp.cli.hosts.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The same twice."""

    app: str
    """Opens the host itself; many pages, GitHub's among them, remove such links."""

    page: str
    """A page of the host's maker that leads on to it, for a README."""


def link_of(host: Host, wanted: Wanted) -> Link | None:
    """The link, if the host has one; it never holds a key.

    Source: Cursor's documentation, "MCP Install Links"; VS Code's, "MCP developer guide" (URL handler, redirect page);
    LM Studio's, "Add to LM Studio Button". Windsurf's and Zed's links open entries of their own galleries only.
    """
    entry = entry_of(host, wanted)
    encoded = urlencode({"name": wanted.name, "config": base64.b64encode(_compact(entry).encode()).decode()})
    if host.id == "cursor":
        return Link(
            app=f"cursor://anysphere.cursor-deeplink/mcp/install?{encoded}",
            page=f"https://cursor.com/en/install-mcp?{encoded}",
        )
    if host.id == "lm-studio":
        return Link(app=f"lmstudio://add_mcp?{encoded}", page=f"https://lmstudio.ai/install-mcp?{encoded}")
    return _vs_code(wanted, entry) if host.id == "vscode" else None


def vs_code_server(wanted: Wanted, entry: dict[str, Any]) -> dict[str, Any]:
    """The form that VS Code's links and its ``--add-mcp`` take."""
    asked = [question(wanted)] if f"${{input:{wanted.input_id}}}" in str(entry) else []
    return {"name": wanted.name, **entry, **({"inputs": asked} if asked else {})}


def _vs_code(wanted: Wanted, entry: dict[str, Any]) -> Link:
    server = vs_code_server(wanted, entry)
    parts = {"name": wanted.name}
    if "inputs" in server:
        parts["inputs"] = _compact(server["inputs"])
    parts["config"] = _compact(entry)
    return Link(
        app=f"vscode:mcp/install?{quote(_compact(server), safe='')}",
        page=f"https://insiders.vscode.dev/redirect/mcp/install?{urlencode(parts, quote_via=quote)}",
    )


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
