"""The commands hosts have of their own to add a server."""

import json
from collections.abc import Callable

from sora2_mcp.cli.hosts.entry import Document, Wanted, entry_of
from sora2_mcp.cli.hosts.host import Host
from sora2_mcp.cli.hosts.links import vs_code_server


def command_of(host: Host, wanted: Wanted) -> list[str]:
    """The words of the command; none where the host has none for this. It never holds a key."""
    build = _COMMANDS.get(host.id)
    return build(host, wanted, entry_of(host, wanted)) if build else []


def _claude_code(host: Host, wanted: Wanted, entry: Document) -> list[str]:
    scope = ["--scope", "project" if wanted.project else "user"]
    if wanted.url:
        headers = [f"{name}: {value}" for name, value in entry.get("headers", {}).items()]
        return [
            "claude",
            "mcp",
            "add",
            "--transport",
            "http",
            *scope,
            wanted.name,
            wanted.url,
            *_each("--header", headers),
        ]
    program = [entry["command"], *entry["args"]]
    return ["claude", "mcp", "add", *scope, wanted.name, *_each("--env", _pairs(host, entry)), "--", *program]


def _vs_code(_host: Host, wanted: Wanted, entry: Document) -> list[str]:
    if wanted.project:
        return []
    return ["code", "--add-mcp", json.dumps(vs_code_server(wanted, entry), ensure_ascii=False)]


def _codex(host: Host, wanted: Wanted, entry: Document) -> list[str]:
    # It writes the user's file only, and knows a token by the name of a variable alone.
    if wanted.project or wanted.needs_token:
        return []
    if wanted.url:
        return ["codex", "mcp", "add", wanted.name, "--url", wanted.url]
    program = [entry["command"], *entry["args"]]
    return ["codex", "mcp", "add", wanted.name, *_each("--env", _pairs(host, entry)), "--", *program]


def _gemini_cli(host: Host, wanted: Wanted, entry: Document) -> list[str]:
    start = ["gemini", "mcp", "add", "--scope", "project" if wanted.project else "user"]
    if wanted.url:
        headers = [f"{name}: {value}" for name, value in entry.get("headers", {}).items()]
        return [*start, "--transport", "http", *_each("--header", headers), wanted.name, wanted.url]
    words = entry["args"]
    plain = [word for word in words if not word.startswith("-")]
    options = ["--", *words] if len(plain) < len(words) else words
    return [*start, *_each("--env", _pairs(host, entry)), wanted.name, entry["command"], *options]


def _opencode(host: Host, wanted: Wanted, entry: Document) -> list[str]:
    if wanted.project:
        return []
    if wanted.url:
        headers = [f"{name}={value}" for name, value in entry.get("headers", {}).items()]
        return ["opencode", "mcp", "add", wanted.name, "--url", wanted.url, *_each("--header", headers)]
    return ["opencode", "mcp", "add", wanted.name, *_each("--env", _pairs(host, entry)), "--", *entry["command"]]


_COMMANDS: dict[str, Callable[[Host, Wanted, Document], list[str]]] = {
    "claude-code": _claude_code,
    "vscode": _vs_code,
    "codex": _codex,
    "gemini-cli": _gemini_cli,
    "opencode": _opencode,
}


def _pairs(host: Host, entry: Document) -> list[str]:
    return [f"{name}={value}" for name, value in entry.get(host.shape.env, {}).items()]


def _each(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
