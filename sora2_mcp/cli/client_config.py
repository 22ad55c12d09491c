"""``sora2-mcp client-config``: prints the entry that a host needs, or writes it into the host's file."""

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from sora2_mcp.cli.hosts.entry import (
    API_KEY,
    BASE_URL,
    OF_SERVICE,
    SERVICE,
    YOUR_KEY,
    YOUR_TOKEN,
    Document,
    Wanted,
    entry_of,
    holds_secret,
    merged,
)
from sora2_mcp.cli.hosts.file import Change, printed, put
from sora2_mcp.cli.hosts.machine import Machine, file_of, launch_of_this_process
from sora2_mcp.cli.hosts.shortcuts import command_of, link_of
from sora2_mcp.cli.hosts.table import HOSTS, Host, System
from sora2_mcp.domain.configured import DEFAULT_SERVICE
from sora2_mcp.domain.request import is_http_url
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.settings import Settings, environment, variable_of

_NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
_SYSTEMS: dict[str, System] = {"win32": "windows", "darwin": "macos"}


def client_config(arguments: argparse.Namespace) -> int:
    """Lists the hosts, prints an entry or writes it; gives the exit code.

    An entry goes to stdout alone, so that it can be redirected into a file; advice goes to stderr.

    Raises:
        ConfigurationError: an option does not fit.
        HostError: the host's file cannot be changed.
    """
    machine = _this_machine(project=arguments.project)
    if not arguments.host:
        if arguments.write:
            raise ConfigurationError("--write", "needs a host; see them with: sora2-mcp client-config")
        _print(_listed(machine))
        return 0
    host = next((host for host in HOSTS if host.id == arguments.host), None)
    if host is None:
        sys.stderr.write(f"sora2-mcp: {arguments.host!r} is no host that is known.\n{_listed(machine)}")
        return 2
    wanted = _wanted(arguments, host)
    path = file_of(host, machine, project=wanted.project)
    if arguments.write:
        within = machine.project if wanted.project else None
        change = put(host, wanted, path, within=within, before_write=partial(_warn, host))
        _print(_lines(*_about_change(host, wanted, change)))
    else:
        # What is printed may end up in a chat or a ticket.
        keyless = replace(wanted, given={name: value for name, value in wanted.given.items() if name != API_KEY})
        _print(printed(host, merged(host, keyless, {})))
        sys.stderr.write(_lines("", *_advice(host, keyless, path, machine)))
    return 0


def _warn(host: Host, change: Change) -> None:
    """Warns before a secret is written where other users can read it."""
    if change.open_to_others and holds_secret(host, change.entry):
        where = shlex.quote(str(change.path))
        sys.stderr.write(_lines(f"Other users of this machine may read the secret there: chmod 600 {where}"))
        sys.stderr.flush()


def _this_machine(*, project: bool) -> Machine:
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise ConfigurationError("HOME", "names no home folder, which is where hosts keep their files; set it.")
    # The working folder may be gone, which matters to --project alone.
    try:
        here = Path.cwd() if project else home
    except FileNotFoundError as error:
        raise ConfigurationError("--project", "means the working folder, which is gone.") from error
    return Machine(system=_SYSTEMS.get(sys.platform, "linux"), home=home, variables=environment(), project=here)


def _listed(machine: Machine) -> str:
    width = max(len(host.id) for host in HOSTS)
    return _lines(
        "Hosts and the files they read:",
        *(f"  {host.id:<{width}}  {file_of(host, machine)}" for host in HOSTS),
        "",
        "Print the entry of one:   sora2-mcp client-config HOST",
        "Put it into its file:     sora2-mcp client-config HOST --write",
    )


def _wanted(arguments: argparse.Namespace, host: Host) -> Wanted:
    if not _NAME.fullmatch(arguments.name):
        raise ConfigurationError("--name", "may have 1 to 40 letters, digits and hyphens, as all hosts take them")
    if arguments.project and not host.project:
        raise ConfigurationError("--project", f"does not go with {host.id}, which has one file for all projects")
    if arguments.http:
        _check_address(arguments, host)
    elif arguments.token:
        raise ConfigurationError("--token", "goes with --http: a program that the host starts asks for none")
    return Wanted(
        launch=launch_of_this_process(environment()),
        name=arguments.name,
        simulate=arguments.simulate,
        project=arguments.project,
        url=arguments.http,
        has_tokens=arguments.token,
        given=_given(arguments),
    )


def _check_address(arguments: argparse.Namespace, host: Host) -> None:
    if not is_http_url(arguments.http):
        problem = "needs an http:// or https:// address, such as https://videos.example.com/mcp"
        raise ConfigurationError("--http", problem)
    if arguments.simulate:
        raise ConfigurationError("--simulate", "does not go with --http: whoever runs that server decides")
    if not host.url_key:
        problem = f"cannot be written for {host.id}, whose file takes programs only; add the address in its settings"
        raise ConfigurationError("--http", f"{problem} under Connectors")


def _given(arguments: argparse.Namespace) -> dict[str, str]:
    """The variables of this program that the entry needs too: the key, the service it is for, and its model.

    Raises:
        ConfigurationError: the service needs an address or a model, and none is set.
    """
    settings = Settings.load(**({"service": arguments.service} if arguments.service else {}))
    missing = [variable for variable in settings.lacking if variable != API_KEY]
    if missing and not (arguments.simulate or arguments.http):
        raise ConfigurationError(missing[0], f"is not set, and {settings.service} needs it: set it and run this again.")
    # Not ``settings.key``: that is the simulator's where SORA2_SIMULATE is set.
    key = settings.api_key.get_secret_value()
    given = {API_KEY: key} if key else {}
    if arguments.service or settings.service != DEFAULT_SERVICE:
        given[SERVICE] = settings.service
    set_values = settings.model_dump(exclude_defaults=True, mode="json")
    named = {variable_of(name): value for name, value in set_values.items()}
    return {**given, **{name: str(named[name]) for name in OF_SERVICE if name in named and name != SERVICE}}


def _advice(host: Host, wanted: Wanted, path: Path, machine: Machine) -> list[str]:
    lines = [f"This belongs into {path}; --write puts it there and keeps everything else."]
    lines += [*_about_secret(host, wanted, entry_of(host, wanted), "with --write"), *_about_sharing(wanted)]
    command, link = command_of(host, wanted), link_of(host, wanted)
    if command:
        words = subprocess.list2cmdline(command) if machine.system == "windows" else shlex.join(command)
        lines += [f"Or let {host.title} do it:", f"  {words}"]
    if link:
        lines += ["Or open this link:", f"  {link.app}"]
    return [*lines, host.then]


def _about_change(host: Host, wanted: Wanted, change: Change) -> list[str]:
    secret = _about_secret(host, wanted, change.entry, "again")
    if change.what == "kept":
        return [f"{wanted.name} is in {change.path} as it should be; nothing was changed.", *secret]
    backup = [f"What was there before is kept in {change.backup}"] if change.backup else []
    return [
        f"{wanted.name} was {change.what}: {change.path}",
        *backup,
        *secret,
        *_about_sharing(wanted),
        host.then,
    ]


def _about_sharing(wanted: Wanted) -> list[str]:
    if not wanted.project or wanted.url:
        return []
    return [f"{wanted.launch.command} is the program on this machine; those who share the file need it there too."]


def _about_secret(host: Host, wanted: Wanted, entry: Document, how: str) -> list[str]:
    """Where the entry's key or token comes from, or still has to go; never the key itself.

    ``how`` the command is run once there is a key.
    """
    if wanted.simulate:
        return ["It runs on the simulator: no account, no key, no cost."]
    if wanted.url and not wanted.needs_token:
        return ["If that server has tokens, add --token: the entry then has a place for yours."]
    if not (wanted.url or wanted.needs_key):
        return [f"It asks {wanted.given[BASE_URL]} without a key; if that server wants one, set {API_KEY}."]
    if host.asks:
        return [f"{host.title} asks for the {'token' if wanted.url else 'key'} and keeps it safe."]
    if wanted.url:
        is_missing = YOUR_TOKEN in entry.get(host.headers_key, {}).get("Authorization", "")
        return [f"Put your token of that server in the place of {YOUR_TOKEN}."] if is_missing else []
    key = entry.get(host.env_key, {}).get(API_KEY)
    if wanted.project and key in (None, host.reference):
        return [f"The file holds no key, so it can be shared: set {API_KEY} where {host.title} is started."]
    if key in (None, YOUR_KEY):
        page = f" ({wanted.service.account_page})" if wanted.service.account_page else ""
        otherwise = f"set {API_KEY} and run this command {how}"
        return [f"Put your {wanted.service.title} key{page} in the place of {YOUR_KEY}; or {otherwise}."]
    source = f"is the one in {API_KEY}" if wanted.given.get(API_KEY) == key else "that the file had is kept"
    return [f"The API key {source}; it is not shown here."]


def _print(text: str) -> None:
    # As UTF-8 whatever the locale: hosts' files are UTF-8, and a path may hold any character.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
