"""What is wrong with a command line whose words are all allowed: an option without effect, a prompt in pieces."""

import argparse
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

_UNSAFE = set('"$`\\!')
"""Within double quotes these mean something to a shell."""

_INVALID_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)
_OF_THE_PROGRAM = ("--help", "--version")


@dataclass(frozen=True, slots=True)
class _Rule:
    """These options do nothing where ``is_idle``, for the reason ``because``."""

    command: str
    options: tuple[str, ...]
    is_idle: Callable[[argparse.Namespace], bool]
    because: str


_RULES = (
    _Rule(
        "serve",
        ("--host", "--port"),
        lambda given: bool(given.transport == "stdio"),
        "stdio has no address; add --transport streamable-http, or leave it out",
    ),
    _Rule(
        "generate",
        ("--filename", "--timeout"),
        lambda given: bool(given.no_wait),
        "with --no-wait nothing is waited for or saved; give it to tasks wait or tasks download later",
    ),
    _Rule(
        "client-config",
        ("--service", "--env", "--project", "--name", "--http", "--token", "--simulate"),
        lambda given: not (given.host or given.write or given.remove),
        "without a HOST only the hosts are listed; name one",
    ),
    _Rule(
        "client-config",
        ("--service",),
        lambda given: bool(given.http),
        "the server at the address of --http has its own service; leave it out",
    ),
    _Rule(
        "doctor",
        ("--offline",),
        lambda given: bool(given.simulate),
        "with --simulate the service is not asked anyway; leave it out",
    ),
)


def complaint(given: argparse.Namespace, typed: Sequence[str]) -> str:
    """The first option that would do nothing, with the reason; empty where every one does something."""
    options = {*_options(typed)}
    for rule in _RULES:
        idle = [option for option in rule.options if option in options]
        if given.command == rule.command and idle and rule.is_idle(given):
            return f"argument {idle[0]}: has no effect: {rule.because}"
    return ""


def unexpected(
    given: argparse.Namespace, rest: Sequence[str], typed: Sequence[str], parser: argparse.ArgumentParser
) -> str:
    """What to say of words that the command does not take."""
    # A dash or a number below zero is a word of a prompt.
    options = [word.partition("=")[0] for word in rest if re.match("--?[A-Za-z]", word)]
    if options:
        known = {*re.findall(r"--[a-z-]+", parser.format_usage()), *_OF_THE_PROGRAM}
        return f"there is no option {options[0]}{_nearest(options[0], sorted(known))}"
    if given.command == "generate":
        return f"quote the prompt, so that it is one word to the shell:\n{_quoted([given.prompt, *rest], typed)}"
    return f"unrecognized arguments: {' '.join(rest)}"


def with_nearest(message: str) -> str:
    """The message of a parser; of a choice that comes close to an allowed one, with that one."""
    if found := _INVALID_CHOICE.search(message):
        return message + _nearest(found[1], [choice.strip("' ") for choice in found[2].split(",")])
    return message


def _nearest(typed: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(typed, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _options(typed: Sequence[str]) -> Iterator[str]:
    # Abbreviations are not allowed, so an option stands as it is called.
    for word in typed:
        if word == "--":
            return
        if word.startswith("--"):
            yield word.partition("=")[0]


def _quoted(words: Sequence[str], typed: Sequence[str]) -> str:
    """The command with these words as one prompt, and with all its options: without ``--simulate`` it would cost."""
    left, options = [*words], list[str]()
    for word in typed[1:]:
        if left and word == left[0]:
            left.pop(0)
        else:
            options.append(word)
    prompt = " ".join(words)
    quoted = shlex.quote(prompt) if _UNSAFE & set(prompt) else f'"{prompt}"'
    return " ".join(["  sora2-mcp generate", quoted, *map(shlex.quote, options)])
