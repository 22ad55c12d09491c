"""Ways to add the server without its file: the host's own command, and one-click links. Neither ever holds a key."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sora2_mcp.cli.hosts.entry import Wanted, entry_of, question
from sora2_mcp.cli.hosts.table import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """``app`` opens the host itself; many pages, GitHub's among them, remove such links. ``page`` is for them."""

    app: str
    page: str


def command_of(host: Host, wanted: Wanted) -> list[str]:
    """The words of the host's own command; empty if it has none for this."""
    entry = entry_of(host, wanted)
    headers = entry.get(host.headers_key, {}).items()
    program = entry.get("command", "")
    # A command without this word writes the user's file only, and one without a place for headers takes no token.
    template = (host.add_url if wanted.url else host.add).split()
    if (wanted.project and "SCOPE" not in template) or (
        headers and not {"HEADERS", "HEADERS=", "SERVER"} & {*template}
    ):
        return []
    arguments = entry.get("args", [])
    words: dict[str, list[str]] = {
        "SCOPE": ["--scope", "project" if wanted.project else "user"],
        "NAME": [wanted.name],
        "URL": [wanted.url],
        "ENV": _each("--env", [f"{name}={value}" for name, value in entry.get(host.env_key, {}).items()]),
        "HEADERS": _each("--header", [f"{name}: {value}" for name, value in headers]),
        "HEADERS=": _each("--header", [f"{name}={value}" for name, value in headers]),
        "PROGRAM": program if host.command_is_list else [program, *arguments],
        "COMMAND": [program],
        # Gemini CLI would take the options for its own.
        "ARGUMENTS": [*(["--"] if any(word.startswith("-") for word in arguments) else []), *arguments],
        "SERVER": [json.dumps(_vs_code_server(wanted, entry), ensure_ascii=False)],
    }
    return [part for word in template for part in words.get(word, [word])]


def link_of(host: Host, wanted: Wanted) -> Link | None:
    """The one-click link, if the host has one.

    Source: Cursor's documentation, "MCP Install Links"; VS Code's, "MCP developer guide" (URL handler, redirect page);
    LM Studio's, "Add to LM Studio Button". Windsurf's and Zed's links open entries of their own galleries only.
    """
    app, page = host.links
    entry = entry_of(host, wanted)
    if host.asks:
        server = _vs_code_server(wanted, entry)
        inputs = {"inputs": _compact(server["inputs"])} if "inputs" in server else {}
        parts = {"name": wanted.name, **inputs, "config": _compact(entry)}
        return Link(app=f"{app}?{quote(_compact(server), safe='')}", page=f"{page}?{urlencode(parts, quote_via=quote)}")
    query = urlencode({"name": wanted.name, "config": base64.b64encode(_compact(entry).encode()).decode()})
    return Link(app=f"{app}?{query}", page=f"{page}?{query}") if app else None


def _vs_code_server(wanted: Wanted, entry: dict[str, Any]) -> dict[str, Any]:
    """The form that VS Code's links and its ``--add-mcp`` take."""
    asked = f"${{input:{wanted.input_id}}}" in str(entry)
    return {"name": wanted.name, **entry, **({"inputs": [question(wanted)]} if asked else {})}


def _each(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
