"""``sora2-mcp client-config``: prints what a host has to be told, or puts it there."""

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from sora2_mcp.cli.hosts.commands import command_of
from sora2_mcp.cli.hosts.entry import API_KEY, OF_SERVICE, SERVICE, YOUR_KEY, YOUR_TOKEN, Wanted, holds_secret, merged
from sora2_mcp.cli.hosts.file import Change, printed, put
from sora2_mcp.cli.hosts.host import Host, System
from sora2_mcp.cli.hosts.launch import launch_of, this_process
from sora2_mcp.cli.hosts.links import link_of
from sora2_mcp.cli.hosts.place import Surroundings, file_of
from sora2_mcp.cli.hosts.table import HOSTS
from sora2_mcp.domain.configured import DEFAULT_SERVICE
from sora2_mcp.domain.request import is_http_url
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.settings import Settings, environment, variable_of

_NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
_SYSTEMS: dict[str, System] = {"win32": "windows", "darwin": "macos"}


def client_config(arguments: argparse.Namespace) -> int:
    """Lists the hosts, prints an entry or writes it; the exit code.

    What is printed for a file goes to stdout alone, so that it can be redirected into one; advice goes to stderr.

    Raises:
        ConfigurationError: an option does not fit.
        HostError: the host's file is in the way.
    """
    around = _surroundings(project=arguments.project)
    if not arguments.host:
        if arguments.write:
            raise ConfigurationError("--write", "needs a host; see them with: sora2-mcp client-config")
        _say(_listed(around))
        return 0
    host = next((host for host in HOSTS if host.id == arguments.host), None)
    if host is None:
        sys.stderr.write(f"sora2-mcp: {arguments.host!r} is no host that is known.\n{_listed(around)}")
        return 2
    wanted = _wanted(arguments, host)
    path = file_of(host, around, project=wanted.project)
    if arguments.write:
        within = around.project if wanted.project else None
        _say(_lines(*_told(host, wanted, put(host, wanted, path, within=within, warn=partial(_warn, host)))))
    else:
        _say(printed(host, merged(host, _without_key(wanted), {})))
        sys.stderr.write(_lines("", *_advice(host, _without_key(wanted), path, around)))
    return 0


def _warn(host: Host, change: Change) -> None:
    """Tells, before it is there, that others will be able to read a secret."""
    if change.open_to_others and holds_secret(host, change.entry):
        where = shlex.quote(str(change.path))
        sys.stderr.write(_lines(f"Other users of this machine may read the secret there: chmod 600 {where}"))
        sys.stderr.flush()


def _surroundings(*, project: bool) -> Surroundings:
    system = _SYSTEMS.get(sys.platform, "linux")
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise ConfigurationError("HOME", "names no home folder, which is where hosts keep their files; set it.")
    try:
        here = Path.cwd() if project else home
    except FileNotFoundError as error:
        raise ConfigurationError("--project", "means the working folder, which is gone.") from error
    return Surroundings(system=system, home=home, variables=environment(), project=here)


def _listed(around: Surroundings) -> str:
    width = max(len(host.id) for host in HOSTS)
    rows = [f"  {host.id:<{width}}  {file_of(host, around)}" for host in HOSTS]
    return _lines(
        "Hosts and the files they read:",
        *rows,
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
        launch=launch_of(this_process(environment())),
        name=arguments.name,
        simulate=arguments.simulate,
        project=arguments.project,
        url=arguments.http,
        has_tokens=arguments.token,
        given=_given(arguments),
    )


def _check_address(arguments: argparse.Namespace, host: Host) -> None:
    if not is_http_url(arguments.http):
        raise ConfigurationError(
            "--http", "needs an http:// or https:// address, such as https://videos.example.com/mcp"
        )
    if arguments.simulate:
        raise ConfigurationError("--simulate", "does not go with --http: whoever runs that server decides")
    if not host.shape.url:
        problem = f"cannot be written for {host.id}, whose file takes programs only; add the address in its settings"
        raise ConfigurationError("--http", f"{problem} under Connectors")


def _given(arguments: argparse.Namespace) -> dict[str, str]:
    """What is set for this program and the entry needs just as well: the key, the service it is for, and its model.

    Raises:
        ConfigurationError: the service needs an address or a model, and none is set.
    """
    settings = Settings.load(**({"service": arguments.service} if arguments.service else {}))
    missing = [variable for variable in settings.lacking if variable != API_KEY]
    if missing and not (arguments.simulate or arguments.http):
        raise ConfigurationError(missing[0], f"is not set, and {settings.service} needs it: set it and run this again.")
    key = settings.api_key.get_secret_value()
    given = {API_KEY: key} if key else {}
    if arguments.service or settings.service != DEFAULT_SERVICE:
        given[SERVICE] = settings.service
    set_values = settings.model_dump(exclude_defaults=True, mode="json")
    named = {variable_of(name): value for name, value in set_values.items()}
    return {**given, **{name: str(named[name]) for name in OF_SERVICE if name in named and name != SERVICE}}


def _without_key(wanted: Wanted) -> Wanted:
    """The same for the eyes of others."""
    return replace(wanted, given={name: value for name, value in wanted.given.items() if name != API_KEY})


def _advice(host: Host, wanted: Wanted, path: Path, around: Surroundings) -> list[str]:
    lines = [f"This belongs into {path}; --write puts it there and keeps everything else.", *_secret(host, wanted)]
    lines += _shared(wanted)
    command, link = command_of(host, wanted), link_of(host, wanted)
    if command:
        words = subprocess.list2cmdline(command) if around.system == "windows" else shlex.join(command)
        lines += [f"Or let {host.title} do it:", f"  {words}"]
    if link:
        lines += ["Or open this link:", f"  {link.app}"]
    return [*lines, host.then]


def _told(host: Host, wanted: Wanted, change: Change) -> list[str]:
    name, path = wanted.name, change.path
    if change.what == "kept":
        return [f"{name} is in {path} as it should be; nothing was changed.", *_secret(host, wanted, change)]
    lines = [f"{name} was {change.what}: {path}"]
    if change.backup:
        lines.append(f"What was there before is kept in {change.backup}")
    return [*lines, *_secret(host, wanted, change), *_shared(wanted), host.then]


def _secret(host: Host, wanted: Wanted, change: Change | None = None) -> list[str]:
    """Where the key or token comes from, or still has to go; never the key itself."""
    if wanted.url:
        return _about_token(host, wanted, change)
    if not wanted.is_real:
        return ["It runs on the simulator: no account, no key, no cost."]
    if not wanted.needs_key:
        return [f"It asks {wanted.given['SORA2_API_BASE_URL']} without a key; if that server wants one, set {API_KEY}."]
    return [f"{host.title} asks for the key and keeps it safe."] if host.asks else _about_key(host, wanted, change)


def _shared(wanted: Wanted) -> list[str]:
    if not wanted.project or wanted.url:
        return []
    return [f"{wanted.launch.command} is the program on this machine; those who share the file need it there too."]


def _about_token(host: Host, wanted: Wanted, change: Change | None) -> list[str]:
    if not wanted.needs_token:
        return ["If that server has tokens, add --token: the entry then has a place for yours."]
    if host.asks:
        return [f"{host.title} asks for the token and keeps it safe."]
    entry = {host.shape.headers: {"Authorization": YOUR_TOKEN}} if change is None else change.entry
    missing = YOUR_TOKEN in entry.get(host.shape.headers, {}).get("Authorization", "")
    return [f"Put your token of that server in the place of {YOUR_TOKEN}."] if missing else []


def _about_key(host: Host, wanted: Wanted, change: Change | None) -> list[str]:
    key = None if change is None else change.entry.get(host.shape.env, {}).get(API_KEY)
    if wanted.project and key in (None, host.reference):
        return [f"The file holds no key, so it can be shared: set {API_KEY} where {host.title} is started."]
    if key in (None, YOUR_KEY):
        otherwise = f"set {API_KEY} and run this command {'with --write' if change is None else 'again'}"
        service = wanted.service
        page = f" ({service.account_page})" if service.account_page else ""
        return [f"Put your {service.title} key{page} in the place of {YOUR_KEY}; or {otherwise}."]
    where = f"is the one in {API_KEY}" if wanted.given.get(API_KEY) == key else "that the file had is kept"
    return [f"The API key {where}; it is not shown here."]


def _say(text: str) -> None:
    """To stdout, as UTF-8 wherever it goes: hosts' files are, and a path may hold any character."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
