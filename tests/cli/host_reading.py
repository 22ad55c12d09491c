"""Hosts' files read as each host reads them: written from the hosts' documentation, not from our table."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import json5

FILES = {
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "claude-code": ".claude.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".config/Code/User/mcp.json",
    "windsurf": ".codeium/windsurf/mcp_config.json",
    "zed": ".config/zed/settings.json",
    "codex": ".codex/config.toml",
    "gemini-cli": ".gemini/settings.json",
    "opencode": ".config/opencode/opencode.json",
    "lm-studio": ".lmstudio/mcp.json",
}
PROJECT_FILES = {
    "claude-code": ".mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "zed": ".zed/settings.json",
    "codex": ".codex/config.toml",
    "gemini-cli": ".gemini/settings.json",
    "opencode": "opencode.json",
}
SECTIONS = {"vscode": "servers", "zed": "context_servers", "codex": "mcp_servers", "opencode": "mcp"}
REFERENCES = {
    "claude-code": r"\$\{(\w+)(?::-\w*)?\}",
    "cursor": r"\$\{env:(\w+)\}",
    "gemini-cli": r"\$\{?(\w+)\}?",
    "opencode": r"\{env:(\w+)\}",
    "vscode": r"\$\{input:([\w-]+)\}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a host makes of an entry."""

    program: list[str]
    variables: dict[str, str]


def started_by(host: str, path: Path, own: dict[str, str]) -> Started:
    """The program a host starts for the entry, and what it adds to the environment.

    ``own`` holds the host's own variables, and what its user answers when asked.
    """
    text = path.read_text(encoding="utf-8")
    document: Any = (
        tomllib.loads(text) if host == "codex" else json5.loads(text) if host in SECTIONS else json.loads(text)
    )
    entry = document[SECTIONS.get(host, "mcpServers")]["sora2"]
    if host == "opencode":
        assert entry["type"] == "local"
        program, written = entry["command"], entry.get("environment", {})
    else:
        assert entry.get("type", "stdio") == "stdio"
        program, written = [entry["command"], *entry["args"]], entry.get("env", {})
    asked = {question["id"] for question in document.get("inputs", [])}
    variables = {name: _filled_in(host, value, own, asked) for name, value in written.items()}
    handed_on = own if host == "zed" else {name: own[name] for name in entry.get("env_vars", [])}
    return Started(program=program, variables={**handed_on, **variables})


def _filled_in(host: str, value: str, own: dict[str, str], asked: set[str]) -> str:
    def answer(match: re.Match[str]) -> str:
        assert host != "vscode" or match[1] in asked
        return own.get(match[1], "")

    return re.sub(REFERENCES[host], answer, value) if host in REFERENCES else value
