"""``sora2-mcp completion``: the script with which a shell completes commands, options and their values."""

import argparse
import sys

import shtab

from sora2_mcp.cli.arguments import build_parser
from sora2_mcp.cli.hosts.table import HOSTS

_PLACES = {"image": shtab.FILE, "state": shtab.DIRECTORY}
"""Options that take a file or a folder."""


def completion(shell: str) -> int:
    """Prints the script."""
    parser = build_parser()
    for command in _below(parser):
        for action in command._actions:  # noqa: SLF001 - argparse has no public name
            if action.dest in _PLACES:
                action.complete = _PLACES[action.dest]  # type: ignore[attr-defined]  # where shtab looks for it
            if action.dest == "host" and not action.option_strings:
                # The parser leaves hosts to the command itself, which has them from a table that takes time to import.
                action.choices = [host.id for host in HOSTS]
    sys.stdout.write(f"{shtab.complete(parser, shell=shell)}\n")
    return 0


def _below(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """All commands below it."""
    actions, kind = parser._actions, argparse._SubParsersAction  # noqa: SLF001 - as above
    children = [child for action in actions if isinstance(action, kind) for child in action.choices.values()]
    return [*children, *(below for child in children for below in _below(child))]
