"""A server's entry in a host's file, and how it is joined with the one that is there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from sora2_mcp.cli.hosts.host import Host
from sora2_mcp.cli.hosts.launch import Launch
from sora2_mcp.domain.configured import DEFAULT_SERVICE, SERVICES, KnownService

API_KEY = "SORA2_API_KEY"
SERVICE = "SORA2_SERVICE"
BASE_URL = "SORA2_API_BASE_URL"
OF_SERVICE = (
    SERVICE,
    BASE_URL,
    "SORA2_MODEL",
    "SORA2_MODEL_HD",
    "SORA2_MODEL_INPUT",
    "SORA2_REQUEST_FORMAT",
    "SORA2_VIDEO_SECONDS",
)
"""What says which service a key is of, and how that one is asked."""

YOUR_KEY = "your-key"
YOUR_TOKEN = "your-token"  # noqa: S105 - what stands in its place
_URLS = ("url", "httpUrl", "serverUrl")
_OURS = ("type", "command", "args", *_URLS)
"""The keys of an entry that say what runs; the user's own of all others are kept."""

_LOGINS = ("bearer_token_env_var", "env_http_headers", "oauth")
"""Other ways of theirs to show a token, beside which no header of ours is wanted."""

_ENVIRONMENTS = ("env", "environment")
"""What hosts call the variables of a program."""

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

    has_tokens: bool = False
    """That server lets nobody in without one, even on this machine."""

    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that are set for this program and whose values go into the entry, among them the key."""

    @property
    def input_id(self) -> str:
        """What a host that asks for secrets calls this one."""
        # Hosts keep a secret by this name: a key must never be handed to another service than it was asked for.
        kind, address = place_of(self.given)
        where = "" if kind == DEFAULT_SERVICE else f"-{kind}"
        if address != SERVICES[kind].base_url:
            where += f"-{blake2b(address.encode(), digest_size=3).hexdigest()}"
        return f"{self.name}-token" if self.url else f"{self.name}{where}-key"

    @property
    def needs_token(self) -> bool:
        """Whether the server at the address has tokens; another machine's serves nobody without one."""
        return bool(self.url) and (self.has_tokens or urlsplit(self.url).hostname not in _THIS_MACHINE)

    @property
    def is_real(self) -> bool:
        """Whether the program asks a real service."""
        return not (self.url or self.simulate)

    @property
    def service(self) -> KnownService:
        """The service it asks."""
        return SERVICES[self.given.get(SERVICE, DEFAULT_SERVICE)]

    @property
    def needs_key(self) -> bool:
        """Whether there is a key to be put in: of the service, unless that one wants none and none is given."""
        return self.is_real and ("api_key" in self.service.needs or API_KEY in self.given)


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
    entry |= {**host.start, **host.extra}
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
        name: value
        for name, value in wanted.given.items()
        if (wanted.is_real and not (shared and name == API_KEY)) or (wanted.simulate and name == SERVICE)
    }


def _address(host: Host, wanted: Wanted) -> Document:
    shape = host.shape
    entry: Document = {"type": shape.http} if shape.http else {}
    entry |= {shape.url: wanted.url, **host.extra}
    if wanted.needs_token:
        token = f"${{input:{wanted.input_id}}}" if host.asks else YOUR_TOKEN
        entry[shape.headers] = {"Authorization": f"Bearer {token}"}
    return entry


def _joined(host: Host, wanted: Wanted, theirs: Any) -> Document:
    ours, theirs = entry_of(host, wanted), _in_todays_form(host, theirs)
    if not isinstance(theirs, dict) or bool(wanted.url) != any(key in theirs for key in _URLS):
        return ours
    if any(key in theirs for key in _LOGINS):
        ours.pop(host.shape.headers, None)
    joined = {**ours, **theirs, **{key: ours[key] for key in _OURS if key in ours}}
    for table in (host.shape.env, host.shape.headers):
        if table in ours:
            kept = theirs[table] if isinstance(theirs.get(table), dict) else {}
            named = wanted.given if SERVICE in wanted.given or BASE_URL in wanted.given else kept
            if table == host.shape.env and place_of(named) != place_of(kept):
                # Another service is wanted: what was said of the one before is not true of it, its key least of all.
                kept = {name: value for name, value in kept.items() if name not in (API_KEY, *OF_SERVICE)}
            joined[table] = _joined_values(ours[table], kept, sure=_sure(host, wanted, kept))
    return joined


def _in_todays_form(host: Host, theirs: Any) -> Any:
    """Their entry with its variables where the host keeps them today.

    Source: Zed's releases before 0.202, where ``command`` was a table of ``path``, ``args`` and ``env``. The names
    under which other hosts keep variables count too: entries are copied from host to host.
    """
    if not isinstance(theirs, dict):
        return theirs
    command = theirs.get("command")
    elsewhere = [theirs.get(name) for name in _ENVIRONMENTS if name != host.shape.env]
    older = [one for one in (command.get("env") if isinstance(command, dict) else None, *elsewhere) if one]
    if not older:
        return theirs
    tables = [one for one in (*older, theirs.get(host.shape.env)) if isinstance(one, dict)]
    variables = {name: value for table in tables for name, value in table.items()}
    return {**{key: theirs[key] for key in theirs if key not in _ENVIRONMENTS}, host.shape.env: variables}


def _sure(host: Host, wanted: Wanted, theirs: Document) -> dict[str, str]:
    """What takes the place of their own values: nothing, if their key is another service's."""
    given = _given(host, wanted)
    return given if all(name in given for name in (SERVICE, BASE_URL) if name in theirs) else {}


def place_of(variables: Mapping[str, str]) -> tuple[str, str]:
    """The service that a key belongs to: its kind, and where it is."""
    kind = str(variables.get(SERVICE, DEFAULT_SERVICE))
    usual = SERVICES[kind].base_url if kind in SERVICES else ""
    return kind, str(variables.get(BASE_URL, usual)).rstrip("/")


def _joined_values(ours: Document, theirs: Document, sure: Mapping[str, str]) -> Document:
    # Names of headers, and of our variables, are read in any case.
    spelled = {name.lower() for name in theirs} - {name.lower() for name in ours if name in theirs}
    joined = {**{name: value for name, value in ours.items() if name.lower() not in spelled}, **theirs}
    for name, value in theirs.items():
        unset = _is_unset(value)
        # A user who wrote where the value is to be taken from has decided; a value itself may be out of date.
        if name in ours and (unset or (name in sure and not _REFERENCE.search(str(value)))):
            joined[name] = ours[name]
    return joined


def _is_unset(value: object) -> bool:
    return str(value).strip().removeprefix("Bearer ") in _PLACEHOLDERS


def holds_secret(host: Host, entry: Document) -> bool:
    """Whether a key or token stands in an entry itself, neither a reference to one nor what keeps its place."""
    found = (entry.get(host.shape.env, {}).get(API_KEY, ""), entry.get(host.shape.headers, {}).get("Authorization", ""))
    return any(not _is_unset(value) and not _REFERENCE.search(str(value)) for value in found)


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
    what = "Token of the sora2-mcp server" if wanted.url else f"{wanted.service.title} key"
    return {"type": "promptString", "id": wanted.input_id, "description": what, "password": True}


def _with(document: Document, path: tuple[str, ...], value: Any) -> Document:
    if not path:
        return value  # type: ignore[no-any-return]
    return {**document, path[0]: _with(document.get(path[0], {}), path[1:], value)}
