"""Dispatch: one function for each command."""

import argparse
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

import anyio

from sora2_mcp.cli import hints
from sora2_mcp.cli.deferred import models_built_on_demand
from sora2_mcp.cli.terminal import Wire, folded
from sora2_mcp.errors import ConfigurationError, Sora2Error, leaves
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.telemetry.logs import configure

_WAITS = """\
sora2-mcp serves MCP here and waits for a host to speak; Ctrl+C ends it.
Or: sora2-mcp demo (a try), generate (a video), client-config (hosts), --help
"""
_USAGE_ERROR = 2
_INTERRUPTED = 130
# A server has two seconds for its end, the interpreter's own included.
_HARD_END_SECONDS = 1.6


def run(arguments: argparse.Namespace, wire: Wire | None = None) -> int:
    """Runs a parsed command line; gives the exit code."""
    try:
        code = _COMMANDS[arguments.command](arguments, wire)
        # A reader that has gone shows here and not after the program's last line. print, as there may be no stdout.
        print(end="", flush=True)  # noqa: T201
        return code
    except Sora2Error as error:
        return _shown(error, arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    # Within a task group the broken pipe arrives as a group.
    except BaseException as error:
        if not all(isinstance(each, BrokenPipeError) for each in leaves(error)):
            raise
        # The reader of the output has gone, as `head` does: that is no failure.
        return 0


def _shown(error: Sora2Error, arguments: argparse.Namespace) -> int:
    """Prints what went wrong and what to do; the exit code."""
    hint = hints.hint(error, simulate=getattr(arguments, "simulate", False))
    lines = filter(None, (f"sora2-mcp: {hints.problem(error)}", hint))
    sys.stderr.write(folded("".join(f"{line}\n" for line in lines), sys.stderr))
    return _USAGE_ERROR if isinstance(error, ConfigurationError) else 1


def _serve(arguments: argparse.Namespace, wire: Wire | None) -> int:
    settings = _settings(arguments)
    configure(settings.log_level, settings.log_format)
    runtime = Runtime(settings)
    if wire is not None:
        if os.isatty(wire.read_fd):
            # A person has started it by hand: hosts speak through pipes.
            sys.stderr.write(_WAITS)
        with models_built_on_demand():
            from sora2_mcp.server.stdio import serve_stdio  # noqa: PLC0415 - half a second, and errors come first

        anyio.run(partial(serve_stdio, runtime, *wire, ending=end_soon))
    else:
        with models_built_on_demand():
            from sora2_mcp.server.web.serve import serve_http  # noqa: PLC0415

        anyio.run(partial(serve_http, runtime, arguments.host, arguments.port, ending=end_soon))
    return 0


def _gallery(arguments: argparse.Namespace, _wire: Wire | None) -> int:
    with models_built_on_demand():
        from sora2_mcp.cli.gallery import gallery  # noqa: PLC0415 - as above

    configure("WARNING", "text")
    return anyio.run(gallery, arguments, end_soon)


def _simulate(arguments: argparse.Namespace, _wire: Wire | None) -> int:
    from sora2_mcp.cli.simulate import simulate  # noqa: PLC0415 - brings Starlette

    configure("INFO", "text")
    return simulate(arguments)


def _demo(arguments: argparse.Namespace, _wire: Wire | None) -> int:
    from sora2_mcp.cli.demo import demo  # noqa: PLC0415 - brings rich and an MCP client

    settings = Settings.load(simulate=True)
    configure("WARNING", settings.log_format)
    return anyio.run(_interruptible, arguments, partial(demo, settings, arguments.prompt, arguments.aspect_ratio))


def _job(arguments: argparse.Namespace, _wire: Wire | None) -> int:
    from sora2_mcp.cli.jobs import perform  # noqa: PLC0415 - brings rich

    settings = _settings(arguments)
    configure("WARNING", settings.log_format)
    runtime = Runtime(settings)
    return anyio.run(_interruptible, arguments, partial(perform, arguments, runtime), runtime)


async def _interruptible(
    arguments: argparse.Namespace,
    work: Callable[[], Awaitable[int]],
    around: AbstractAsyncContextManager[object] | None = None,
) -> int:
    """The exit code of ``work``, which SIGINT or SIGTERM ends; ``around`` it ends in its own order, and in time."""
    # The event loop's own way with SIGINT cancels past every shield, and a transaction that is cut off hangs.
    from sora2_mcp.server.signals import on_stop_signal  # noqa: PLC0415 - `serve` imports it after the wire is safe

    code, interruption = _INTERRUPTED, anyio.CancelScope()
    with on_stop_signal(interruption.cancel, partial(end_soon, _INTERRUPTED)):
        async with around or nullcontext():
            with interruption:
                try:
                    code = await work()
                except Sora2Error as error:
                    code = _shown(error, arguments)
            # The work is done: whatever cannot be closed holds the program up no longer than this.
            end_soon(code)
    return code


def _doctor(arguments: argparse.Namespace, _wire: Wire | None) -> int:
    from sora2_mcp.cli.doctor.command import doctor  # noqa: PLC0415 - brings rich

    # The doctor's report shows what it finds; log lines of libraries have no place in it.
    configure("CRITICAL", "text")
    return anyio.run(_interruptible, arguments, partial(doctor, arguments))


def _client_config(arguments: argparse.Namespace, _wire: Wire | None) -> int:
    from sora2_mcp.cli.client_config.command import client_config  # noqa: PLC0415 - brings tomlkit

    return client_config(arguments)


def _completion(arguments: argparse.Namespace, _wire: Wire | None) -> int:
    from sora2_mcp.cli.completion import completion  # noqa: PLC0415 - no other command needs shtab

    return completion(arguments.shell)


_COMMANDS = {
    "serve": _serve,
    "simulate": _simulate,
    "demo": _demo,
    "generate": _job,
    "tasks": _job,
    "gallery": _gallery,
    "doctor": _doctor,
    "client-config": _client_config,
    "completion": _completion,
}


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings.load(simulate=True) if arguments.simulate else Settings.load()


def end_soon(code: int = 0) -> None:
    """Ends the process soon, whatever a database, a file system or a name server holds up.

    A hard end loses nothing: everything that matters is on disk before it is acted on.
    """
    # A connection that could not be closed in time keeps a thread, and a thread keeps the process.
    timer = threading.Timer(_HARD_END_SECONDS, os._exit, [code])
    timer.daemon = True
    timer.start()
