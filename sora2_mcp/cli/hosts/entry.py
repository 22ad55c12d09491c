"""A server's entry in a host's file, and how it is merged with the one that is there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from sora2_mcp.cli.hosts.machine import Launch
from sora2_mcp.cli.hosts.table import Host
from sora2_mcp.domain.configured import DEFAULT_SERVICE, SERVICES, KnownService

API_KEY = "SORA2_API_KEY"
TOKEN = "VIDEOS_TOKEN"  # noqa: S105 - the variable that holds one
"""Not one of the program's own variables: a host reads it, for a server run elsewhere."""

SERVICE = "SORA2_SERVICE"
BASE_URL = "SORA2_API_BASE_URL"
DAILY_LIMIT = "SORA2_DAILY_LIMIT"
OF_SERVICE = (
    *(SERVICE, BASE_URL, "SORA2_MODEL", "SORA2_MODEL_HD"),
    *("SORA2_MODEL_INPUT", "SORA2_REQUEST_FORMAT", "SORA2_VIDEO_SECONDS"),
)
"""The variables that say which service a key is for, and how that service is asked."""

YOUR_KEY = "your-key"
YOUR_TOKEN = "your-token"  # noqa: S105 - the placeholder for one
YOUR_SECRET = "your-secret"  # noqa: S105 - as above
_PLACEHOLDERS = ("", YOUR_KEY, YOUR_TOKEN, YOUR_SECRET, "your key")
_REFERENCE = re.compile(r"\$|\{env:|%\w+%")
_URLS = ("url", "httpUrl", "serverUrl")
_OURS = ("type", "command", "args", *_URLS)
"""The keys of an entry that say what runs. Of all others the user's own are kept."""

_LOGINS = ("bearer_token_env_var", "env_http_headers", "oauth")
"""Other ways to send a token, beside which an entry needs no header of ours."""

_ENVIRONMENTS = ("env", "environment")
"""What hosts call the variables of a program."""

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

Document = dict[str, Any]
"""A host's file, or a part of it, as its parser gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user wants a host to have: this program, or the server at ``url``.

    ``has_tokens``: that server asks for tokens, even on this machine. ``given`` are variables that go into the entry,
    the key among them; ``chosen`` names those that the user chose for this very entry, whatever stands there.
    ``daily_limit`` is suggested to a desktop host where videos cost something and the entry has no limit of its own.
    """

    launch: Launch
    name: str = "sora2"
    simulate: bool = False
    project: bool = False
    url: str = ""
    has_tokens: bool = False
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    chosen: frozenset[str] = frozenset()
    daily_limit: str = ""

    @property
    def input_id(self) -> str:
        """The name of this secret in a host that asks for secrets.

        Hosts keep a secret by this name, so it differs for each service: a key must not reach another one.
        """
        if self.url:
            return f"{self.name}-token"
        kind, address = _place_of(self.given)
        where = "" if kind == DEFAULT_SERVICE else f"-{kind}"
        if address != SERVICES[kind].base_url:
            where += f"-{blake2b(address.encode(), digest_size=3).hexdigest()}"
        return f"{self.name}{where}-key"

    @property
    def needs_token(self) -> bool:
        """Whether the server at the address has tokens; one on another machine must have some."""
        return bool(self.url) and (self.has_tokens or urlsplit(self.url).hostname not in _THIS_MACHINE)

    @property
    def is_real(self) -> bool:
        """Whether the program asks a real service."""
        return not (self.url or self.simulate)

    @property
    def service(self) -> KnownService:
        return SERVICES[self.given.get(SERVICE, DEFAULT_SERVICE)]

    @property
    def needs_key(self) -> bool:
        """Whether a key goes into the entry: the service wants one, or one is given."""
        return self.is_real and ("api_key" in self.service.needs or API_KEY in self.given)


def entry_of(host: Host, wanted: Wanted) -> Document:
    """The entry where there is none yet."""
    if wanted.url:
        token = _secret(host, wanted, TOKEN) or YOUR_TOKEN
        headers = {host.headers_key: {"Authorization": f"Bearer {token}"}} if wanted.needs_token else {}
        kind = {"type": host.http_type} if host.http_type else {}
        return {**kind, host.url_key: wanted.url, **host.extra, **headers}
    arguments = [*wanted.launch.arguments, "serve", *(["--simulate"] if wanted.simulate else [])]
    entry: Document = {"type": host.stdio_type} if host.stdio_type else {}
    if host.command_is_list:
        entry["command"] = [wanted.launch.command, *arguments]
    else:
        entry |= {"command": wanted.launch.command, "args": arguments}
    entry |= {**host.start_extra, **host.extra}
    if host.forwards and wanted.project and wanted.needs_key:
        entry[host.forwards] = [API_KEY]
    key = _secret(host, wanted, API_KEY) if host.asks or wanted.project else YOUR_KEY
    variables = {API_KEY: key} if wanted.needs_key and key else {}
    values = _values(host, wanted)
    variables |= {**values, **host.env, **_suggested(host, wanted), **values}
    return entry | ({host.env_key: variables} if variables else {})


def _secret(host: Host, wanted: Wanted, variable: str) -> str:
    """What stands in the entry for a secret that it must not hold; empty where the host knows nothing for that."""
    if host.asks:
        return f"${{input:{wanted.input_id}}}"
    return host.reference_to(variable) if wanted.project else ""


def _values(host: Host, wanted: Wanted) -> dict[str, str]:
    """The values that stand in the entry: no key in a file that is shared, or of a host that keeps keys itself."""
    if wanted.simulate:
        return {name: value for name, value in wanted.given.items() if name == SERVICE or name in wanted.chosen}
    left_out = API_KEY if host.asks or wanted.project else ""
    return {name: value for name, value in wanted.given.items() if wanted.is_real and name != left_out}


def _suggested(host: Host, wanted: Wanted) -> dict[str, str]:
    has_price = wanted.is_real and wanted.service.costs
    return {DAILY_LIMIT: wanted.daily_limit} if wanted.daily_limit and host.is_desktop and has_price else {}


def merged(host: Host, wanted: Wanted, document: Document) -> Document:
    """The file with the entry in it: what runs is ours, everything else that is there stays.

    Raises:
        ValueError: a part of the file is not what it must be; the text names the part.
    """
    entry = _merged_entry(host, wanted, servers_of(host, document).get(wanted.name))
    after = _with(document, (*section_of(host, document), wanted.name), entry)
    return _asking(wanted, after, entry) if host.asks else after


def servers_of(host: Host, document: Document) -> Document:
    """The entries of a file by name.

    Raises:
        ValueError: what stands in their place is no table.
    """
    servers: Any = document
    for key in section_of(host, document):
        servers = servers.get(key, {})
        if not isinstance(servers, dict):
            raise ValueError(f"{key} is no table of servers")
    found: Document = servers
    return found


def section_of(host: Host, document: Document) -> tuple[str, ...]:
    """Where in the file the servers are: one level deeper in an opencode file that is written for version 2."""
    section = document.get(host.section)
    servers = section.get("servers") if host.id == "opencode" and isinstance(section, dict) else None
    is_second_version = isinstance(servers, dict) and "type" not in servers
    return (host.section, "servers") if is_second_version else (host.section,)


def _merged_entry(host: Host, wanted: Wanted, theirs: Any) -> Document:
    ours, theirs = entry_of(host, wanted), _in_current_form(host, theirs)
    if not isinstance(theirs, dict) or bool(wanted.url) != any(key in theirs for key in _URLS):
        return ours
    if any(key in theirs for key in _LOGINS):
        ours.pop(host.headers_key, None)
    entry = {**ours, **theirs, **{key: ours[key] for key in _OURS if key in ours}}
    for table in (host.env_key, host.headers_key):
        if table in ours:
            kept = theirs[table] if isinstance(theirs.get(table), dict) else {}
            if table == host.env_key and _is_for_another_service(wanted, kept):
                kept = {name: value for name, value in kept.items() if name not in (API_KEY, *OF_SERVICE)}
            # Names of our variables are read in any case: what the user chose must not stand there twice.
            kept = {name: kept[name] for name in kept if name in wanted.chosen or name.upper() not in wanted.chosen}
            entry[table] = _merged_values(ours[table], kept, _values(host, wanted), wanted.chosen)
            if not _costs(entry[table]) and DAILY_LIMIT not in {**kept, **wanted.given}:
                entry[table].pop(DAILY_LIMIT, None)
    return entry


def _costs(variables: Mapping[str, str]) -> bool:
    """Whether videos cost something with these variables, which may be another service's than ``Wanted`` knows."""
    kind = str(variables.get(SERVICE, DEFAULT_SERVICE))
    return kind not in SERVICES or SERVICES[kind].costs


def _in_current_form(host: Host, theirs: Any) -> Any:
    """Their entry with its variables where the host keeps them today.

    The names under which other hosts keep variables count too: entries are copied from host to host.

    Source: Zed's releases before 0.202, where ``command`` was a table of ``path``, ``args`` and ``env``.
    """
    if not isinstance(theirs, dict):
        return theirs
    command = theirs.get("command")
    elsewhere = [theirs.get(name) for name in _ENVIRONMENTS if name != host.env_key]
    older = [one for one in (command.get("env") if isinstance(command, dict) else None, *elsewhere) if one]
    if not older:
        return theirs
    tables = [one for one in (*older, theirs.get(host.env_key)) if isinstance(one, dict)]
    variables = {name: value for table in tables for name, value in table.items()}
    return {**{key: theirs[key] for key in theirs if key not in _ENVIRONMENTS}, host.env_key: variables}


def variables_of(host: Host, entry: Document) -> Document:
    """The variables that an entry gives its program, wherever they stand in it."""
    variables = _in_current_form(host, entry).get(host.env_key)
    return variables if isinstance(variables, dict) else {}


def _is_for_another_service(wanted: Wanted, theirs: Document) -> bool:
    """Whether their entry is for another service, so that its key, address and model are of no use."""
    is_named = SERVICE in wanted.given or BASE_URL in wanted.given
    return is_named and _place_of(wanted.given) != _place_of(theirs)


def _place_of(variables: Mapping[str, str]) -> tuple[str, str]:
    """The service that a key belongs to: its kind and its address."""
    kind = str(variables.get(SERVICE, DEFAULT_SERVICE))
    usual = SERVICES[kind].base_url if kind in SERVICES else ""
    return kind, str(variables.get(BASE_URL, usual)).rstrip("/")


def _merged_values(
    ours: Document, theirs: Document, given: Mapping[str, str], chosen: frozenset[str] = frozenset()
) -> Document:
    # Names of headers, and of our variables, are read in any case.
    spelled = {name.lower() for name in theirs} - {name.lower() for name in ours if name in theirs}
    values = {**{name: value for name, value in ours.items() if name.lower() not in spelled}, **theirs}
    # A key that is given without its service may be for another one than theirs.
    may_replace = all(name in given for name in (SERVICE, BASE_URL) if name in theirs)
    for name, value in theirs.items():
        # The user decided where a reference takes its value from; a value itself may be out of date.
        is_outdated = may_replace and not is_reference(value)
        is_replaced = name in given and (is_outdated or name in chosen)
        if name in ours and (is_unset(value) or is_replaced):
            values[name] = ours[name]
    return values


def is_unset(value: object) -> bool:
    """Whether a value of an entry is nothing but a placeholder."""
    return str(value).strip().removeprefix("Bearer ") in _PLACEHOLDERS


def is_reference(value: object) -> bool:
    """Whether a host fills this value in from somewhere else."""
    return _REFERENCE.search(str(value)) is not None


def holds_secret(host: Host, entry: Document) -> bool:
    """Whether a key or token stands in an entry itself, and not a reference or a placeholder."""
    found = (entry.get(host.env_key, {}).get(API_KEY, ""), entry.get(host.headers_key, {}).get("Authorization", ""))
    return any(not is_unset(value) and not is_reference(value) for value in found)


def _asking(wanted: Wanted, document: Document, entry: Document) -> Document:
    """The file with a question for the secret, if the entry refers to one that the host does not ask for yet."""
    asked = document.get("inputs", [])
    if not isinstance(asked, list):
        raise ValueError("inputs is no list")
    is_known = any(isinstance(one, dict) and one.get("id") == wanted.input_id for one in asked)
    if is_known or f"${{input:{wanted.input_id}}}" not in str(entry):
        return document
    return {"inputs": [*asked, question(wanted)], **{key: document[key] for key in document if key != "inputs"}}


def question(wanted: Wanted) -> Document:
    """What a host asks the user for. Source: VS Code's documentation, "Input variables for sensitive data"."""
    what = "Token of the sora2-mcp server" if wanted.url else f"{wanted.service.title} key"
    return {"type": "promptString", "id": wanted.input_id, "description": what, "password": True}


def _with(document: Document, path: tuple[str, ...], value: Any) -> Document:
    first, *rest = path
    return {**document, first: _with(document.get(first, {}), (*rest,), value) if rest else value}
