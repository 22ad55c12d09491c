"""``sora2-mcp simulate``: stand-ins of the video services on a port."""

import argparse
import sys
from functools import partial
from pathlib import Path

import anyio

from sora2_mcp.domain.configured import DEFAULT_SERVICE
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.dialects import DIALECTS
from sora2_mcp.simulator.serve import serve


def simulate(arguments: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: an option holds something that is not allowed.
    """
    try:
        simulator = Simulator(
            seconds_per_task=arguments.seconds,
            faults=arguments.fault,
            state_folder=Path(arguments.state).absolute() if arguments.state else None,
            api_key=arguments.api_key,
            callback_shape=arguments.callback_shape,
        )
    # Faults are read before a port is taken; everything else was checked by the parser.
    except ValueError as error:
        raise ConfigurationError("--fault", f"cannot be read: {error}") from error
    try:
        anyio.run(partial(serve, simulator, host=arguments.host, port=arguments.port, ready=_say))
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        raise ConfigurationError(
            "--port", f"{where} cannot be listened on ({error.strerror}); choose another one."
        ) from error
    return 0


def _say(base_url: str) -> None:
    root = base_url.removesuffix(DIALECTS[DEFAULT_SERVICE])
    others = "".join(f"  SORA2_SERVICE={name} SORA2_API_BASE_URL={root}{path}\n" for name, path in DIALECTS.items())
    sys.stdout.write(
        f"Sora2API simulator at {base_url}\n"
        f"Use it:  SORA2_API_BASE_URL={base_url} SORA2_API_KEY=any sora2-mcp\n"
        f"Or one of its dialects:\n{others}"
        "End it with Ctrl+C.\n"
    )
    # Scripts read the address from a pipe, and the program does not end by itself.
    sys.stdout.flush()
