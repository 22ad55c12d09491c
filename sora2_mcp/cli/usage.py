"""What is wrong with a command line whose words are all allowed: an option without effect, a prompt in pieces."""

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_UNSAFE = set('"$`\\!')
"""Within double quotes these mean something to a shell."""


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


def unexpected(given: argparse.Namespace, rest: Sequence[str]) -> str:
    """What to say of words that the command does not take."""
    words = [word for word in rest if not word.startswith("-")]
    if given.command == "generate" and len(words) == len(rest):
        return f"quote the prompt, so that it is one word to the shell: {_quoted(' '.join([given.prompt, *words]))}"
    return f"unrecognized arguments: {' '.join(rest)}"


def _options(typed: Sequence[str]) -> Iterator[str]:
    # Abbreviations are not allowed, so an option stands as it is called.
    for word in typed:
        if word == "--":
            return
        if word.startswith("--"):
            yield word.partition("=")[0]


def _quoted(prompt: str) -> str:
    return "sora2-mcp generate " + (shlex.quote(prompt) if _UNSAFE & set(prompt) else f'"{prompt}"')
