"""The program ``sora2-mcp``: takes care of the wire and of start-up time before anything heavy is imported."""

import gc
import sys

from sora2_mcp.cli import terminal
from sora2_mcp.cli.arguments import parse


def main() -> None:
    """Runs the command line and exits with its code; the process ends soon, whoever catches that."""
    terminal.start_in_utf_8()
    terminal.take_over()
    try:
        arguments = parse(sys.argv[1:])
    except SystemExit as end:
        sys.exit(terminal.ended(int(end.code or 0)))
    # From here on a stray print, of ours or of a library, goes to stderr and not into the protocol.
    wire = terminal.claim_wire() if arguments.command == "serve" and arguments.transport == "stdio" else None
    # Importing makes no garbage worth collecting; about a tenth of the start-up time is saved.
    gc.disable()
    from sora2_mcp.cli.main import end_soon, run  # noqa: PLC0415 - the heavy half, after the wire is safe

    gc.enable()
    gc.freeze()
    code = 1
    try:
        code = terminal.ended(run(arguments, wire))
    finally:
        end_soon(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
