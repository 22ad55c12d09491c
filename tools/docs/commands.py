"""The command line, from its parser; not from ``--help``, which each Python lays out in its own way."""

import argparse
from collections.abc import Iterator

from sora2_mcp.cli.arguments import build_parser
from tools.docs.markdown import block, table

PROGRAM = "sora2-mcp"


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command that does something, by what is typed for it: ``tasks list``."""
    return dict(_leaves(build_parser(), ()))


def command_sections() -> str:
    """A section for each command."""
    return "\n\n".join(_section(name, parser) for name, parser in commands().items())


def _leaves(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield " ".join(words), parser
    for action in below:
        for name, child in action.choices.items():
            yield from _leaves(child, (*words, name))


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    described = [table(["argument", "what it is for", "allowed", "default"], map(_cells, actions))] if actions else []
    purpose = (parser.description or "").strip()
    sentence = f"{purpose[:1].upper()}{purpose[1:]}{'' if purpose.endswith('.') else '.'}"
    return "\n\n".join([f"## {name}", sentence, block(_usage(name, actions)), *described])


def _usage(name: str, actions: list[argparse.Action]) -> str:
    given = [action for action in actions if not action.option_strings]
    options = ["[OPTIONS]"] if len(given) < len(actions) else []
    return " ".join(
        [PROGRAM, name, *(f"[{_name(one)}]" if one.nargs == "?" else _name(one) for one in given), *options]
    )


def _cells(action: argparse.Action) -> tuple[str, str, str, str]:
    allowed = ", ".join(f"`{choice}`" for choice in action.choices or ())
    meaning = (action.help or "").replace("%%", "%") % vars(action)
    return (f"`{_name(action)}`", meaning, allowed, _default(action))


def _name(action: argparse.Action) -> str:
    value = str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return value
    name = action.option_strings[-1]
    return name if action.nargs == 0 or action.choices else f"{name} {value}"


def _default(action: argparse.Action) -> str:
    if not action.option_strings and action.nargs != "?":
        return "needed"
    default = f"{action.default:g}" if isinstance(action.default, float) else action.default
    return "" if default in (None, False, "") or default == [] else f"`{default}`"
