"""Spawn to the answers of ``initialize`` and ``tools/list``: this server beside a bare SDK server with one tool.

Both start with the same interpreter, alternating in one run, so that whatever else the machine does meets both alike.

    python bench/startup.py [--rounds 20]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BARE = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("bare")


@server.tool()
async def echo(text: str) -> str:
    "Gives the text back."
    return text


server.run()
"""

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
ANSWERS = ("initialize", "tools/list")


def seconds_to_answers(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from the spawn to the whole line of each answer; the list is asked for as soon as hosts may."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(_lines(INITIALIZE))
        process.stdin.flush()
        initialized = process.stdout.readline()
        first = time.perf_counter() - began
        process.stdin.write(_lines(INITIALIZED, LIST))
        process.stdin.flush()
        listed = process.stdout.readline()
        second = time.perf_counter() - began
        process.stdin.close()
        process.wait()
    if b'"serverInfo"' not in initialized or b'"inputSchema"' not in listed:
        sys.exit(f"no answer from {command}")
    return first, second


def _lines(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        # Bytecode is written and output is buffered, as in a host; settings and home are nobody's.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SORA2_"))}
        environment = {**kept, "HOME": folder, "SORA2_API_KEY": "bench"}
        commands = {
            "bare SDK server": [sys.executable, str(bare)],
            "sora2-mcp": [sys.executable, "-m", "sora2_mcp"],
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for round_number in range(rounds + 2):
            for name, command in commands.items():
                seconds = seconds_to_answers(command, environment)
                if round_number >= 2:  # the first rounds fill the disk cache
                    times[name].append(seconds)
    print(f"{rounds} rounds, alternating; milliseconds from the spawn, median (least)")
    for place, answer in enumerate(ANSWERS):
        columns = {name: [seconds[place] * 1000 for seconds in values] for name, values in times.items()}
        ratio = statistics.median(mine / bare for bare, mine in zip(*columns.values(), strict=True))
        shown = "   ".join(f"{name} {statistics.median(each):5.0f} ({min(each):.0f})" for name, each in columns.items())
        print(f"{answer:<12} {shown}   ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
