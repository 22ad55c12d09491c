"""The command line. Imports nothing heavy, so that ``--help`` is quick and stdout is claimed early."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias

from sora2_mcp import __version__
from sora2_mcp.cli import usage
from sora2_mcp.cli.terminal import folded
from sora2_mcp.domain.configured import SERVICES

_DESCRIPTION = """\
MCP server that makes AI videos: order, wait, keep the file.

Without a command it serves MCP over stdio, as hosts start it.
Try it without an account:  sora2-mcp demo
"""
SHELLS = ("bash", "zsh", "tcsh")
_EPILOG = "Settings are environment variables (SORA2_API_KEY and others); sora2-mcp doctor checks them."


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command and its options; ``serve`` where none is named. Exits with code 2 on a usage error."""
    given = list(argv)
    # Options without a command belong to ``serve``, but for those of the program itself.
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given = ["serve", *given]
    arguments, rest = build_parser().parse_known_args(given)
    # Of the command itself, which the message names.
    parser: argparse.ArgumentParser = vars(arguments).pop("parser")
    if wrong := usage.unexpected(arguments, rest, given, parser) if rest else usage.complaint(arguments, given):
        parser.error(wrong)
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = _Parser(
        prog="sora2-mcp",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sora2-mcp {__version__}")
    commands: _Commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_demo(commands)
    _add_generate(commands)
    _add_tasks(commands)
    _add_gallery(commands)
    _add_simulate(commands)
    _add_doctor(commands)
    _add_client_config(commands)
    _add_completion(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"  # noqa: SLF001 - argparse has no public name


def _add(commands: _Commands, name: str, text: str) -> "_Parser":
    # Without abbreviations: a new option would change the meaning of those in scripts.
    parser: _Parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(parser=parser)
    return parser


def _add_serve(commands: _Commands) -> None:
    serve = _add(commands, "serve", "serve MCP (the default)")
    serve.add_argument(
        "--transport",
        choices=("stdio", "sse", "streamable-http"),
        default="stdio",
        help="stdio (default); sse and streamable-http serve /mcp and /sse on HTTP",
    )
    serve.add_argument(
        "--host",
        action=_Filled,
        default="127.0.0.1",
        help="HTTP address (default 127.0.0.1); any that others can reach needs SORA2_AUTH_TOKENS",
    )
    serve.add_argument("--port", type=_port, default=8000, help="HTTP port (default 8000; 0 = any free one)")
    _add_simulate_switch(serve)


def _add_demo(commands: _Commands) -> None:
    demo = _add(
        commands, "demo", "watch an agent's whole job on the simulator: order, wait, save (no account, no cost)"
    )
    demo.add_argument(
        "--prompt",
        default="A cute kitten playing in a garden on a bright spring day, slow push in",
        help="what to show",
    )
    demo.add_argument("--aspect-ratio", choices=("landscape", "portrait"), default="landscape")


def _add_generate(commands: _Commands) -> None:
    generate = _add(commands, "generate", "order a video, wait for it and save it (may cost credits or money)")
    generate.add_argument("prompt", metavar="PROMPT", help="what to show, in quotes")
    generate.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="IMAGE",
        help="an image to animate: its address, or a file in SORA2_IMAGE_DIR; repeatable",
    )
    generate.add_argument(
        "--aspect-ratio", choices=("landscape", "portrait"), default="landscape", help="16:9 (default) or 9:16"
    )
    generate.add_argument("--quality", choices=("standard", "hd"), default="standard")
    generate.add_argument("--seconds", type=_length, default=0, help="length of the video, where it can be chosen")
    generate.add_argument("--watermark", default="", metavar="TEXT", help="text shown in the video")
    generate.add_argument("--callback-url", default="", metavar="URL", help="your own address the service notifies")
    generate.add_argument(
        "--idempotency-key",
        action=_Filled,
        default="",
        metavar="KEY",
        help="the same key again gives the same task, never a second one",
    )
    generate.add_argument("--filename", default="", help="a name for the saved file")
    generate.add_argument("--no-wait", action="store_true", help="only order; find it again with: sora2-mcp tasks list")
    generate.add_argument("--timeout", type=_seconds, default=1800.0, help="seconds to wait at most (default 1800)")
    _add_json_switch(generate)
    _add_simulate_switch(generate)


def _add_tasks(commands: _Commands) -> None:
    tasks = _add(commands, "tasks", "list, show, wait for, open or save the videos ordered before")
    verbs: _Commands = tasks.add_subparsers(dest="verb", metavar="VERB", required=True)
    listed = _add(verbs, "list", "list tasks, newest first")
    listed.add_argument("--status", choices=("any", "generating", "succeeded", "failed", "unconfirmed"), default="any")
    listed.add_argument("--limit", type=int, default=20, help="how many (default 20)")
    shown = _add(verbs, "show", "look at one task")
    waited = _add(verbs, "wait", "wait until a task is finished")
    waited.add_argument("--timeout", type=_seconds, default=1800.0, help="seconds to wait at most (default 1800)")
    opened = _add(verbs, "open", "play a finished video with the program that your system has for it")
    saved = _add(verbs, "download", "save a finished video, or all of them")
    saved.add_argument("--filename", default="", help="a name for the file")
    saved.add_argument("--all", action="store_true", help="every finished video that is not saved yet")
    what = "the id that generate or list shows, or its beginning"
    for verb in (shown, waited, opened):
        verb.add_argument("task_id", metavar="TASK_ID", help=what)
    saved.add_argument("task_id", nargs="?", default="", metavar="TASK_ID", help=what)
    for verb in (listed, shown, waited, opened, saved):
        _add_json_switch(verb)
        _add_simulate_switch(verb)


def _add_gallery(commands: _Commands) -> None:
    gallery = _add(commands, "gallery", "show the videos ordered before in your browser, until Ctrl+C")
    gallery.add_argument("--port", type=_port, default=0, help="port on this machine (default: any free one)")
    gallery.add_argument("--no-browser", action="store_true", help="only say the address")
    _add_simulate_switch(gallery)


def _add_simulate(commands: _Commands) -> None:
    simulate = _add(commands, "simulate", "serve stand-ins of the video services for trying and testing")
    simulate.add_argument(
        "--host", action=_Filled, default="127.0.0.1", help="address to listen at (default 127.0.0.1)"
    )
    simulate.add_argument("--port", type=_port, default=8901, help="port (default 8901; 0 = any free one)")
    simulate.add_argument("--seconds", type=_seconds, default=4.0, help="how long a video takes (default 4)")
    simulate.add_argument(
        "--fault", action="append", default=[], metavar="NAME[=VALUE][*TIMES]", help="script a fault; repeatable"
    )
    simulate.add_argument(
        "--state", action=_Filled, default="", metavar="FOLDER", help="keep tasks here, so that a restart knows them"
    )
    simulate.add_argument(
        "--api-key", action=_Filled, default="", metavar="KEY", help="the only key taken (default: any)"
    )
    simulate.add_argument("--callback-shape", choices=("full", "short"), default="full", help="shape of callbacks")


def _add_doctor(commands: _Commands) -> None:
    doctor = _add(commands, "doctor", "check that everything is in order, and say what to do where it is not")
    doctor.add_argument("--offline", action="store_true", help="do not ask the service")
    doctor.add_argument("--no-round-trip", action="store_true", help="do not try a whole job on the simulator")
    doctor.add_argument("--json", action="store_true", help="for machines (see docs/doctor.md)")
    _add_simulate_switch(doctor)


def _add_client_config(commands: _Commands) -> None:
    config = _add(
        commands,
        "client-config",
        "print the entry that gives a host this server, put it into the host's own file, or take it out again",
    )
    config.add_argument("host", nargs="?", default="", metavar="HOST", help="the host; leave it out for a list")
    config.add_argument(
        "--service",
        choices=tuple(SERVICES),
        default="",
        help="the service that makes the videos (default: SORA2_SERVICE, or sora2api)",
    )
    config.add_argument(
        "--write",
        action="store_true",
        help="put it into the host's file, with the key of SORA2_API_KEY; all else there stays, and a backup is kept",
    )
    config.add_argument(
        "--remove",
        action="store_true",
        help="take it out of the host's file; all else there stays, and a backup is kept",
    )
    config.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable for the entry: a SORA2_… setting, a proxy's or SSL_CERT_…; NAME alone takes the value that is "
        "set here; repeatable",
    )
    config.add_argument(
        "--project", action="store_true", help="for this folder only, in a file that can be shared: it holds no key"
    )
    config.add_argument("--name", default="sora2", help="the server's name in the host (default sora2)")
    config.add_argument(
        "--http",
        action=_Filled,
        default="",
        metavar="URL",
        help="a server run elsewhere, such as https://videos.example.com/mcp",
    )
    config.add_argument(
        "--token", action="store_true", help="with --http: that server has tokens, though it is on this machine"
    )
    _add_simulate_switch(config)


def _add_completion(commands: _Commands) -> None:
    completion = _add(commands, "completion", "print a script with which your shell completes commands and options")
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help="the shell that will read it")


def _add_json_switch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs: one object a line, as docs/commands.md says")


def _add_simulate_switch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--simulate", action="store_true", help="run on the built-in simulator: no account, no cost, own tasks"
    )


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in a line; the options are a command away."""

    def error(self, message: str) -> NoReturn:
        lines = f"{self.prog}: error: {usage.with_nearest(message)}\nSee: {self.prog} --help\n"
        self.exit(2, folded(lines, sys.stderr))


class _Filled(argparse.Action):
    """An option that must not be empty."""

    # Left out it means something else than empty: an empty variable in a script would silently choose that.

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Takes the option's text without outer white space."""
        del parser, option_string
        if not values.strip():
            raise argparse.ArgumentError(self, "is empty; give it a value, or leave it out")
        setattr(namespace, self.dest, values.strip())


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; allowed are 0 to 65535")
    return port


def _length(text: str) -> int:
    # Four digits decide: int() of thousands of digits is an error of its own.
    if text.isdecimal() and 0 < int(text[:4]) <= 600:
        return int(text[:4])
    raise argparse.ArgumentTypeError(f"{text} is no length of a video; allowed are whole seconds from 1 to 600")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) <= 86_400:
            return seconds
    raise argparse.ArgumentTypeError(f"{text} is out of range; allowed are 0 to 86400 seconds")
