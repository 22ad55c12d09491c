"""A server's entry in a host's file, and how it is joined with the one that is there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sora2_mcp.cli.hosts.host import Host
from sora2_mcp.cli.hosts.launch import Launch

API_KEY = "SORA2_API_KEY"
SERVICE = "SORA2_API_BASE_URL"
YOUR_KEY = "your-key"
YOUR_TOKEN = "your-token"  # noqa: S105 - what stands in its place
_URLS = ("url", "httpUrl", "serverUrl")
_OURS = ("type", "command", "args", *_URLS)
"""The keys of an entry that say what runs; the user's own of all others are kept."""

_REFERENCE = re.compile(r"\$|\{env:|%\w+%")
_PLACEHOLDERS = ("", YOUR_KEY, YOUR_TOKEN, "your key")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

Document = dict[str, Any]
"""A host's file, or a part of it, as its parser gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user wants a host to have."""

    launch: Launch
    name: str = "sora2"
    simulate: bool = False
    project: bool = False
    url: str = ""
    """The address of a server run elsewhere, instead of a program."""

    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that are set for this program and whose values go into the entry, among them the key."""

    @property
    def input_id(self) -> str:
        """What a host that asks for secrets calls this one."""
        return f"{self.name}-{'token' if self.url else 'key'}"

    @property
    def needs_token(self) -> bool:
        """Whether the address is another machine's, which serves nobody without one."""
        return bool(self.url) and urlsplit(self.url).hostname not in _THIS_MACHINE

    @property
    def needs_key(self) -> bool:
        """Whether the program asks the real service."""
        return not (self.url or self.simulate)


def entry_of(host: Host, wanted: Wanted) -> Document:
    """The entry, where there is none yet."""
    return _address(host, wanted) if wanted.url else _program(host, wanted)


def merged(host: Host, wanted: Wanted, document: Document) -> Document:
    """The file with the entry in it: what runs is ours; everything else that is there stays.

    Raises:
        ValueError: a part that must hold others holds something else; the text names it.
    """
    section = section_of(host, document)
    servers: Any = document
    for key in section:
        servers = servers.get(key, {})
        if not isinstance(servers, dict):
            raise ValueError(f"{key} is no table of servers")
    entry = _joined(host, wanted, servers.get(wanted.name))
    after = _with(document, (*section, wanted.name), entry)
    return _asking(wanted, after, entry) if host.asks else after


def section_of(host: Host, document: Document) -> tuple[str, ...]:
    """Where in the file the servers are: one level deeper in an opencode file that is written for version 2."""
    section = document.get(host.section)
    servers = section.get("servers") if host.id == "opencode" and isinstance(section, dict) else None
    is_second_version = isinstance(servers, dict) and "type" not in servers
    return (host.section, "servers") if is_second_version else (host.section,)


def _program(host: Host, wanted: Wanted) -> Document:
    shape = host.shape
    arguments = [*wanted.launch.arguments, "serve", *(["--simulate"] if wanted.simulate else [])]
    entry: Document = {"type": shape.stdio} if shape.stdio else {}
    if shape.command_is_list:
        entry["command"] = [wanted.launch.command, *arguments]
    else:
        entry |= {"command": wanted.launch.command, "args": arguments}
    entry |= host.extra
    if host.forwards and wanted.project and wanted.needs_key:
        entry[host.forwards] = [API_KEY]
    variables = _variables(host, wanted)
    return entry | ({shape.env: variables} if variables else {})


def _variables(host: Host, wanted: Wanted) -> dict[str, str]:
    key = host.reference if wanted.project else YOUR_KEY
    if host.asks:
        key = f"${{input:{wanted.input_id}}}"
    named = {API_KEY: key} if wanted.needs_key and key else {}
    return {**named, **_given(host, wanted), **host.env}


def _given(host: Host, wanted: Wanted) -> dict[str, str]:
    """A file that is shared holds no key, and neither does one of a host that keeps keys itself."""
    shared = host.asks or wanted.project
    return {
        name: value for name, value in wanted.given.items() if wanted.needs_key and not (shared and name == API_KEY)
    }


def _address(host: Host, wanted: Wanted) -> Document:
    shape = host.shape
    entry: Document = {"type": shape.http} if shape.http else {}
    entry |= {shape.url: wanted.url, **{key: value for key, value in host.extra.items() if "startup" not in key}}
    if wanted.needs_token:
        token = f"${{input:{wanted.input_id}}}" if host.asks else YOUR_TOKEN
        entry[shape.headers] = {"Authorization": f"Bearer {token}"}
    return entry


def _joined(host: Host, wanted: Wanted, theirs: Any) -> Document:
    ours = entry_of(host, wanted)
    if not isinstance(theirs, dict) or bool(wanted.url) != any(key in theirs for key in _URLS):
        return ours
    joined = {**ours, **theirs, **{key: ours[key] for key in _OURS if key in ours}}
    for table in (host.shape.env, host.shape.headers):
        if table in ours:
            kept = theirs[table] if isinstance(theirs.get(table), dict) else {}
            joined[table] = _joined_values(ours[table], kept, sure=_sure(host, wanted, kept))
    return joined


def _sure(host: Host, wanted: Wanted, theirs: Document) -> dict[str, str]:
    """What takes the place of their own values: nothing, if their key is another service's."""
    given = _given(host, wanted)
    return {} if SERVICE in theirs and SERVICE not in given else given


def _joined_values(ours: Document, theirs: Document, sure: Mapping[str, str]) -> Document:
    joined = {**ours, **theirs}
    for name, value in theirs.items():
        unset = str(value).strip().removeprefix("Bearer ") in _PLACEHOLDERS
        # A user who wrote where the value is to be taken from has decided; a value itself may be out of date.
        if name in ours and (unset or (name in sure and not _REFERENCE.search(str(value)))):
            joined[name] = ours[name]
    return joined


def _asking(wanted: Wanted, document: Document, entry: Document) -> Document:
    """The file with a question for the secret, if the entry refers to one that is not asked yet."""
    asked = document.get("inputs", [])
    if not isinstance(asked, list):
        raise ValueError("inputs is no list")
    known = any(isinstance(one, dict) and one.get("id") == wanted.input_id for one in asked)
    if known or f"${{input:{wanted.input_id}}}" not in str(entry):
        return document
    return {"inputs": [*asked, question(wanted)], **{key: document[key] for key in document if key != "inputs"}}


def question(wanted: Wanted) -> Document:
    """What a host asks the user for. Source: VS Code's documentation, "Input variables for sensitive data"."""
    what = "Token of the sora2-mcp server" if wanted.url else "Sora2API key"
    return {"type": "promptString", "id": wanted.input_id, "description": what, "password": True}


def _with(document: Document, path: tuple[str, ...], value: Any) -> Document:
    if not path:
        return value  # type: ignore[no-any-return]
    return {**document, path[0]: _with(document.get(path[0], {}), path[1:], value)}
