"""The facts about each host, with the page they are from.

A path begins with a place such as ``~`` or ``%APPDATA%``, which ``machine.py`` fills in. A ``*`` in it stands for one
folder that the host has made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

System = Literal["linux", "macos", "windows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host, as its maker documents it. The user types its ``id``."""

    id: str
    title: str
    files: Mapping[System, tuple[str, ...]]
    """The user's file: the first that exists, else the last."""

    project: tuple[str, ...] = ()
    """The same below a project's folder; empty where there is none."""

    format: Literal["json", "toml"] = "json"
    comments: bool = True
    """Whether the host itself reads JSON with comments and trailing commas."""

    section: str
    """The key of the file that holds the servers by name."""

    # How an entry spells what all hosts have. An empty text: there is no such key, or no such kind of entry.
    stdio_type: str = ""
    http_type: str = ""
    url_key: str = "url"
    headers_key: str = "headers"
    env_key: str = "env"
    command_is_list: bool = False
    """The program and its arguments are one list, ``command``."""

    # What is worth setting beside that, unless the user has set it: keys, keys of programs only, and variables.
    extra: Mapping[str, Any] = field(default_factory=dict)
    start_extra: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    reference: str = ""
    """What stands for the value of a ``VARIABLE`` in a file that is shared: the host fills it in from its own
    environment."""

    forwards: str = ""
    """The key of an entry that lists variables handed on from the host's environment, instead of ``reference``."""

    is_desktop: bool = False
    """Whether it is started from a desktop, where no shell sets a limit for its server."""

    asks: bool = False
    """Whether the host asks for secrets and keeps them itself (VS Code's ``inputs``)."""

    add: str = ""
    """The host's own command that adds a program; ``shortcuts.py`` fills in the words in capitals."""

    add_url: str = ""
    """The same for an address."""

    links: tuple[str, str] = ("", "")
    """One-click links without their query: one opens the host, the other is a page of its maker that leads there."""

    limit: str
    """How long the host lets a tool call last, and what follows for a wait of up to 200 s."""

    then: str
    """What the user has to do until the host knows the server."""

    def reference_to(self, variable: str) -> str:
        """What stands for that variable's value; empty where the host fills in nothing."""
        return self.reference.replace("VARIABLE", variable)


_SHORT_WAITS = {"SORA2_MAX_WAIT_SECONDS": "50"}
"""For hosts that may cut a call after 60 s and have no setting for it: a wait then normally ends in time."""


def _everywhere(*files: str) -> dict[System, tuple[str, ...]]:
    return {"linux": files, "macos": files, "windows": files}


def _desktop(path: str, *earlier: str) -> dict[System, tuple[str, ...]]:
    """Where Electron and others keep an application's data."""
    return {
        "linux": (f"$XDG_CONFIG_HOME/{path}",),
        "macos": (f"~/Library/Application Support/{path}",),
        "windows": (*earlier, f"%APPDATA%/{path}"),
    }


CLAUDE_DESKTOP = Host(
    id="claude-desktop",
    title="Claude Desktop",
    is_desktop=True,
    files=_desktop(
        "Claude/claude_desktop_config.json",
        "%LOCALAPPDATA%/Claude-Data/*claude_*/claude_desktop_config.json",
        "%LOCALAPPDATA%/Claude-Data/claude_desktop_config.json",
        "%LOCALAPPDATA%/Packages/*Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
    ),
    comments=False,
    section="mcpServers",
    url_key="",
    limit="About 240 s, and it cannot be set; a wait of 200 s fits.",
    then="Quit Claude Desktop completely and start it again.",
)
"""Source: modelcontextprotocol.io, "Connect to local MCP servers" (paths, format). As the package that it is on Windows
since 2026, the program reads another copy of that path, and newer ones read ``Claude-Data``: anthropics/claude-code
issues 25579 and 26073, and what its users found in version 2.31226.1. Time limit: issue 65643 there.
"""

CLAUDE_CODE = Host(
    id="claude-code",
    title="Claude Code",
    files=_everywhere("$CLAUDE_CONFIG_DIR/.claude.json"),
    project=(".mcp.json",),
    comments=False,
    section="mcpServers",
    stdio_type="stdio",
    http_type="http",
    reference="${VARIABLE:-}",
    add="claude mcp add SCOPE NAME ENV -- PROGRAM",
    add_url="claude mcp add --transport http SCOPE NAME URL HEADERS",
    limit="Hours; any wait fits.",
    then="Restart Claude Code; `/mcp` shows the server.",
)
"""Source: Claude Code's documentation, "Connect Claude Code to tools via MCP" (scopes, ``${VAR:-default}``: without a
default an unset variable spoils the whole file); tried with version 2.1.197, whose default limit is 28 hours.
"""

CURSOR = Host(
    id="cursor",
    title="Cursor",
    is_desktop=True,
    files=_everywhere("~/.cursor/mcp.json"),
    project=(".cursor/mcp.json",),
    section="mcpServers",
    stdio_type="stdio",
    env=_SHORT_WAITS,
    reference="${env:VARIABLE}",
    links=("cursor://anysphere.cursor-deeplink/mcp/install", "https://cursor.com/en/install-mcp"),
    limit="Not documented, so 60 s are assumed: waits are kept to 50 s with `SORA2_MAX_WAIT_SECONDS`.",
    then="Cursor's settings show the server under MCP; switch it on there if it is off.",
)
"""Source: Cursor's documentation, "Model Context Protocol" (files, fields, ``${env:NAME}``)."""

VSCODE = Host(
    id="vscode",
    title="VS Code",
    is_desktop=True,
    files=_desktop("Code/User/mcp.json"),
    project=(".vscode/mcp.json",),
    section="servers",
    stdio_type="stdio",
    http_type="http",
    asks=True,
    add="code --add-mcp SERVER",
    add_url="code --add-mcp SERVER",
    links=("vscode:mcp/install", "https://insiders.vscode.dev/redirect/mcp/install"),
    limit="About 5 minutes, and it cannot be set; a wait of 200 s fits.",
    then="Run *MCP: List Servers* in the command palette and start it.",
)
"""Source: VS Code's documentation, "MCP configuration reference" (file, ``servers``, ``type``, ``inputs``); the user
profile's file: the command *MCP: Open User Configuration*. Time limit: microsoft/vscode issue 261734.
"""

WINDSURF = Host(
    id="windsurf",
    title="Windsurf",
    is_desktop=True,
    files=_everywhere("~/.codeium/windsurf/mcp_config.json"),
    section="mcpServers",
    url_key="serverUrl",
    env=_SHORT_WAITS,
    limit="Not documented, so 60 s are assumed: waits are kept to 50 s with `SORA2_MAX_WAIT_SECONDS`.",
    then="Press the refresh button of Cascade's MCP servers.",
)
"""Source: Windsurf's documentation (now Devin Desktop's), "Cascade MCP Integration" (file, ``serverUrl``)."""

ZED = Host(
    id="zed",
    title="Zed",
    is_desktop=True,
    files={
        "linux": ("$XDG_CONFIG_HOME/zed/settings.json",),
        "macos": ("~/.config/zed/settings.json",),
        "windows": ("%APPDATA%/Zed/settings.json",),
    },
    project=(".zed/settings.json",),
    section="context_servers",
    extra={"timeout": 300},
    limit="60 s; the entry sets `timeout` to 300 s, so a wait of 200 s fits.",
    then="Zed starts it by itself; its settings show it under AI, MCP Servers.",
)
"""Source: Zed's documentation, "Configuring Zed" (files) and "Model Context Protocol" (``context_servers``); its
source, ``settings_content/src/project.rs`` (``timeout`` in seconds; a program inherits Zed's environment).
"""

CODEX = Host(
    id="codex",
    title="Codex",
    files=_everywhere("$CODEX_HOME/config.toml"),
    project=(".codex/config.toml",),
    format="toml",
    section="mcp_servers",
    headers_key="http_headers",
    extra={"tool_timeout_sec": 300},
    start_extra={"required": True, "startup_timeout_sec": 30},
    forwards="env_vars",
    add="codex mcp add NAME ENV -- PROGRAM",
    add_url="codex mcp add NAME --url URL",
    limit="300 s (60 s in older ones); the entry sets `tool_timeout_sec` to 300, so a wait of 200 s fits.",
    then="Restart Codex; `/mcp` shows the server. It reads a project's file in trusted projects only.",
)
"""Source: Codex's documentation, "Configuration Reference" and "Model Context Protocol" (programs get a few variables
of Codex's environment, so what they need must be named); tried with version 0.169.0. ``required``: version 0.171 begins
a turn of ``codex exec`` after about a second, with the tools of those servers only that it waits for.
"""

GEMINI_CLI = Host(
    id="gemini-cli",
    title="Gemini CLI",
    files=_everywhere("$GEMINI_CLI_HOME/.gemini/settings.json"),
    project=(".gemini/settings.json",),
    section="mcpServers",
    url_key="httpUrl",
    reference="$VARIABLE",
    add="gemini mcp add SCOPE ENV NAME COMMAND ARGUMENTS",
    add_url="gemini mcp add SCOPE --transport http HEADERS NAME URL",
    limit="600 s; any wait fits.",
    then="Restart Gemini CLI; `/mcp` shows the server, in trusted folders only.",
)
"""Source: Gemini CLI's documentation, "MCP servers with Gemini CLI" (files, ``httpUrl``, ``timeout``; variables named
``*KEY*`` are kept from programs unless the entry names them); tried with version 0.61.0.
"""

OPENCODE = Host(
    id="opencode",
    title="opencode",
    files=_everywhere("$XDG_CONFIG_HOME/opencode/opencode.jsonc", "$XDG_CONFIG_HOME/opencode/opencode.json"),
    project=("opencode.jsonc", "opencode.json"),
    section="mcp",
    stdio_type="local",
    http_type="remote",
    env_key="environment",
    command_is_list=True,
    reference="{env:VARIABLE}",
    add="opencode mcp add NAME ENV -- PROGRAM",
    add_url="opencode mcp add NAME --url URL HEADERS=",
    limit="60 s without a sign of life; this server gives one every 5 s, so any wait fits.",
    then="Restart opencode; `opencode mcp list` shows the server.",
)
"""Source: opencode's documentation, "MCP servers" (of both versions: version 2 also reads the form of version 1, but
has no ``enabled`` and another ``timeout``, so the entry has neither) and "Config"; its source, ``mcp/catalog.ts``
(progress extends the limit); tried with version 1.18.33.
"""

LM_STUDIO = Host(
    id="lm-studio",
    title="LM Studio",
    is_desktop=True,
    files=_everywhere("$LM_STUDIO_HOME/mcp.json"),
    section="mcpServers",
    extra={"timeout": 300_000},
    links=("lmstudio://add_mcp", "https://lmstudio.ai/install-mcp"),
    limit="60 s; the entry sets `timeout` to 300,000 ms, so a wait of 200 s fits.",
    then="LM Studio reads it at once; switch the server on among a chat's integrations.",
)
"""Source: LM Studio's documentation, "Use MCP Servers" (Cursor's notation); its folder: the function that finds it in
lmstudio-js. ``timeout`` in ms came with issue 727 of its bug tracker.
"""

HOSTS = (CLAUDE_DESKTOP, CLAUDE_CODE, CURSOR, VSCODE, WINDSURF, ZED, CODEX, GEMINI_CLI, OPENCODE, LM_STUDIO)
