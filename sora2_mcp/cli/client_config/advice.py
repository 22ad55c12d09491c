"""What people read about an entry: where it is, what it lacks, and what they may not expect. Never a secret."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sora2_mcp.cli.client_config.variables import key_is_set, left_behind, simulate_is_set
from sora2_mcp.cli.hosts.entry import (
    API_KEY,
    BASE_URL,
    DAILY_LIMIT,
    SERVICE,
    TOKEN,
    YOUR_KEY,
    YOUR_SECRET,
    YOUR_TOKEN,
    Document,
    Wanted,
    entry_of,
    is_unset,
    variables_of,
)
from sora2_mcp.cli.hosts.file import Change
from sora2_mcp.cli.hosts.machine import Machine
from sora2_mcp.cli.hosts.shortcuts import command_of, link_of
from sora2_mcp.cli.hosts.table import Host
from sora2_mcp.domain.configured import DEFAULT_SERVICE, SERVICES


def about_printed(host: Host, wanted: Wanted, path: Path, machine: Machine) -> list[str]:
    """Where a printed entry belongs, and other ways to get it there."""
    lines = [f"This goes into {path}", "--write puts it there and keeps everything else."]
    lines += [*_about_secret(host, wanted, entry_of(host, wanted)), *_about_sharing(wanted)]
    command, link = command_of(host, wanted), link_of(host, wanted)
    if command:
        words = subprocess.list2cmdline(command) if machine.system == "windows" else shlex.join(command)
        lines += [f"Or let {host.title} do it:", f"  {words}"]
    if link:
        lines += ["Or open this link:", f"  {link.app}"]
    return [*lines, host.then]


def about_change(host: Host, wanted: Wanted, change: Change) -> list[str]:
    """What became of the file."""
    secret = _about_secret(host, wanted, change.entry)
    if change.what == "kept":
        return [f"{wanted.name} is in {change.path} as it should be; nothing was changed.", *secret]
    return [
        f"{wanted.name} was {change.what}: {change.path}",
        *_about_backup(change),
        *secret,
        *_about_sharing(wanted),
        host.then,
    ]


def about_removal(host: Host, name: str, change: Change) -> list[str]:
    """What became of the file that an entry was to be taken out of."""
    if change.what == "absent":
        return [f"There is no {name} in {change.path}; nothing was changed."]
    return [
        f"{name} was taken out: {change.path}",
        *_about_backup(change),
        f"{host.title} may keep the server that runs until it is restarted.",
    ]


def notes(host: Host, wanted: Wanted, entry: Document, before: Document) -> Iterator[str]:
    """What the user may not expect of the entry, which took the place of the one ``before``."""
    variables, had = variables_of(host, entry), variables_of(host, before)
    if wanted.simulate:
        yield from _about_simulation(had.get(API_KEY), variables.get(API_KEY))
    elif simulate_is_set() and not wanted.url:
        yield "SORA2_SIMULATE is set here, but this entry makes real videos; --simulate gives one for the simulator."
    if wanted.is_real and variables.get(SERVICE, DEFAULT_SERVICE) == DEFAULT_SERVICE and BASE_URL not in variables:
        yield f"{SERVICES[DEFAULT_SERVICE].today} Give one with --service."
    if wanted.daily_limit and DAILY_LIMIT in variables and DAILY_LIMIT not in {*had, *wanted.chosen}:
        limit = variables[DAILY_LIMIT]
        yield f"{DAILY_LIMIT}={limit} is in the entry: at most {limit} orders a day."
        yield f"Another limit: --env {DAILY_LIMIT}=50; none: --env {DAILY_LIMIT}=0."
    if names := left_behind(wanted, variables):
        options = " ".join(f"--env {name}" for name in names)
        yield f"Not in the entry as it is set here: {', '.join(names)}."
        yield f"To have it there too, add: {options}"


def _about_simulation(had: object, has: object) -> Iterator[str]:
    """What became of keys that an entry for the simulator does not need."""
    had_key, has_key = (key is not None and not is_unset(key) for key in (had, has))
    if not (had_key or has_key or key_is_set()):
        return
    yield "This entry makes no real videos: it runs on the simulator."
    if has_key:
        yield "The key that it had stays in it, unused, until it is written without --simulate."
    elif had_key:
        yield "The key that it had was for another service and is no longer in it, only in the copy of the file."
    if key_is_set():
        yield f"The key in {API_KEY} was not used and not written."


def what_it_lacks(host: Host, wanted: Wanted, entry: Document, how: str) -> list[str]:
    """Why the entry does not work yet, and what to do; nothing if it holds no placeholder.

    ``how`` the command is run once there is a key.
    """
    variables = variables_of(host, entry)
    remedies = dict[str, str]()
    if YOUR_TOKEN in str(entry.get(host.headers_key)):
        remedies[YOUR_TOKEN] = f"Put your token of that server in the place of {YOUR_TOKEN}."
    if wanted.needs_key and not host.asks and API_KEY in variables and is_unset(variables[API_KEY]):
        remedies[YOUR_KEY] = _about_missing_key(wanted, variables, how)
    if hidden := [name for name, value in variables.items() if value == YOUR_SECRET]:
        remedies[YOUR_SECRET] = f"Secrets are never printed: --write puts in your {', '.join(hidden)}."
    if not remedies:
        return []
    return [f"sora2-mcp: this entry does not work yet: it holds {' and '.join(remedies)}.", *remedies.values()]


def _about_missing_key(wanted: Wanted, variables: Document, how: str) -> str:
    if API_KEY in wanted.given:
        return f"Keys are never printed: --write puts yours in the place of {YOUR_KEY}."
    # The entry may have been for another service before, and still be.
    service = SERVICES.get(str(variables.get(SERVICE, DEFAULT_SERVICE)), wanted.service)
    page = f" ({service.account_page})" if service.account_page else ""
    otherwise = f"set {API_KEY} and run this command {how}"
    return f"Put your {service.title} key{page} in the place of {YOUR_KEY}; or {otherwise}."


def _about_backup(change: Change) -> list[str]:
    return [f"What was there before is kept in {change.backup}"] if change.backup else []


def _about_sharing(wanted: Wanted) -> list[str]:
    if not wanted.project or wanted.url:
        return []
    return [f"{wanted.launch.command} is the program on this machine; those who share the file need it there too."]


def _about_secret(host: Host, wanted: Wanted, entry: Document) -> list[str]:
    """Where the entry's key or token comes from; never the key itself. ``what_it_lacks`` says what is still to do."""
    if wanted.simulate:
        return ["It runs on the simulator: no account, no key, no cost."]
    if wanted.url and not wanted.needs_token:
        return ["If that server has tokens, add --token: the entry then has a place for yours."]
    if not (wanted.url or wanted.needs_key):
        return [f"It asks {wanted.given[BASE_URL]} without a key; if that server wants one, set {API_KEY}."]
    if host.asks:
        return [f"{host.title} asks for the {'token' if wanted.url else 'key'} and keeps it safe."]
    if wanted.url:
        reference = host.reference_to(TOKEN)
        is_shared = wanted.project and reference and reference in str(entry.get(host.headers_key))
        return [_about_shared_file(host, "token", TOKEN)] if is_shared else []
    key = variables_of(host, entry).get(API_KEY)
    if wanted.project and key in (None, host.reference_to(API_KEY)):
        return [_about_shared_file(host, "key", API_KEY)]
    if key is None or is_unset(key):
        return []
    place = "given with --env" if API_KEY in wanted.chosen else f"in {API_KEY}"
    source = f"is the one {place}" if wanted.given.get(API_KEY) == key else "that the file had is kept"
    return [f"The API key {source}; it is not shown here."]


def _about_shared_file(host: Host, secret: str, variable: str) -> str:
    return f"The file holds no {secret}, so it can be shared: set {variable} where {host.title} is started."
