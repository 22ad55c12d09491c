"""Lists the hosts, prints the entry of one, writes it into the host's file or takes it out again."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from sora2_mcp.cli.client_config import advice
from sora2_mcp.cli.client_config.variables import (
    chosen_variables,
    given_variables,
    is_secret,
    printable,
    suggested_limit,
)
from sora2_mcp.cli.hosts.entry import Document, Wanted, entry_of, holds_secret, merged, variables_of
from sora2_mcp.cli.hosts.file import Change, printed, put, take_out
from sora2_mcp.cli.hosts.machine import Machine, file_of, launch_of_this_process, this_machine
from sora2_mcp.cli.hosts.table import HOSTS, Host
from sora2_mcp.cli.terminal import folded
from sora2_mcp.domain.request import is_http_url
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.settings import environment

_NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
_NOT_WITH_REMOVE = ("write", "service", "env", "http", "token", "simulate")


def client_config(arguments: argparse.Namespace) -> int:
    """Does what the options say; gives the exit code, which is 1 where an entry still holds a placeholder.

    An entry goes to stdout alone, so that it can be redirected into a file; advice goes to stderr.

    Raises:
        ConfigurationError: an option does not fit.
        HostError: the host's file cannot be changed.
    """
    machine = this_machine(environment(), project=arguments.project)
    if not arguments.host:
        if action := "--write" if arguments.write else "--remove" if arguments.remove else "":
            raise ConfigurationError(action, "needs a host; see them with: sora2-mcp client-config")
        _print(_listed(machine))
        return 0
    host = next((host for host in HOSTS if host.id == arguments.host), None)
    if host is None:
        _advise([f"sora2-mcp: {_unknown(arguments.host)}"])
        sys.stderr.write(_listed(machine))
        return 2
    _check_names(arguments, host)
    path = file_of(host, machine, project=arguments.project)
    within = machine.project if arguments.project else None
    if arguments.remove:
        return _remove(arguments, host, path, within)
    wanted = _wanted(arguments, host)
    if arguments.write:
        change = put(host, wanted, path, within=within, before_write=partial(_warn, host, wanted))
        _print(folded(_lines(advice.about_change(host, wanted, change)), sys.stdout))
        return _noted(host, wanted, change.entry, change.before, "again")
    shown = printable(wanted)
    _print(printed(host, merged(host, shown, {})))
    _advise(["", *advice.about_printed(host, shown, path, machine)])
    return _noted(host, shown, entry_of(host, shown), {}, "with --write")


def _remove(arguments: argparse.Namespace, host: Host, path: Path, within: Path | None) -> int:
    for option in _NOT_WITH_REMOVE:
        if getattr(arguments, option):
            problem = (
                f"does not go with --{option}: it takes out the entry of --name ({arguments.name}), whatever it is"
            )
            raise ConfigurationError("--remove", problem)
    change = take_out(host, arguments.name, path, within=within)
    _print(folded(_lines(advice.about_removal(host, arguments.name, change)), sys.stdout))
    return 0


def _noted(host: Host, wanted: Wanted, entry: Document, before: Document, how: str) -> int:
    """Says on stderr what the user should know of the entry; gives the exit code."""
    lacks = advice.what_it_lacks(host, wanted, entry, how)
    _advise([*advice.notes(host, wanted, entry, before), *lacks])
    return int(bool(lacks))


def _warn(host: Host, wanted: Wanted, change: Change) -> None:
    """Warns before a secret is written where other users can read it."""
    chosen = {name: wanted.given[name] for name in wanted.chosen if name in variables_of(host, change.entry)}
    has_secret = holds_secret(host, change.entry) or any(is_secret(name, value) for name, value in chosen.items())
    if change.open_to_others and has_secret:
        where = shlex.quote(str(change.path))
        _advise([f"Other users of this machine may read the secret there: chmod 600 {where}"])


def _listed(machine: Machine) -> str:
    width = max(len(host.id) for host in HOSTS)
    return _lines(
        [
            "Hosts and the files they read:",
            *(f"  {host.id:<{width}}  {file_of(host, machine)}" for host in HOSTS),
            "",
            "Print the entry of one:   sora2-mcp client-config HOST",
            "Put it into its file:     sora2-mcp client-config HOST --write",
            "Take it out again:        sora2-mcp client-config HOST --remove",
        ]
    )


def _unknown(typed: str) -> str:
    nearest = get_close_matches(typed.lower().replace(" ", "-"), [host.id for host in HOSTS], n=2)
    meant = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    return f"{typed!r} is no host that is known.{meant}"


def _check_names(arguments: argparse.Namespace, host: Host) -> None:
    if not _NAME.fullmatch(arguments.name):
        raise ConfigurationError("--name", "may have 1 to 40 letters, digits and hyphens, as all hosts take them")
    if arguments.project and not host.project:
        raise ConfigurationError("--project", f"does not go with {host.id}, which has one file for all projects")


def _wanted(arguments: argparse.Namespace, host: Host) -> Wanted:
    if arguments.http:
        _check_address(arguments, host)
    elif arguments.token:
        raise ConfigurationError("--token", "goes with --http: a program that the host starts asks for none")
    chosen = chosen_variables(arguments)
    return Wanted(
        launch=launch_of_this_process(environment()),
        name=arguments.name,
        simulate=arguments.simulate,
        project=arguments.project,
        url=arguments.http,
        has_tokens=arguments.token,
        given=given_variables(arguments, chosen),
        chosen=frozenset(chosen),
        daily_limit=suggested_limit(),
    )


def _check_address(arguments: argparse.Namespace, host: Host) -> None:
    if not is_http_url(arguments.http):
        problem = "needs an http:// or https:// address, such as https://videos.example.com/mcp"
        raise ConfigurationError("--http", problem)
    if arguments.simulate:
        raise ConfigurationError("--simulate", "does not go with --http: the operator of that server decides")
    if not host.url_key:
        problem = f"cannot be written for {host.id}, whose file takes programs only; add the address in its settings"
        raise ConfigurationError("--http", f"{problem} under Connectors")


def _print(text: str) -> None:
    # As UTF-8 whatever the locale: hosts' files are UTF-8, and a path may hold any character.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()


def _advise(lines: Iterable[str]) -> None:
    sys.stderr.write(folded(_lines(lines), sys.stderr))
    sys.stderr.flush()


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
