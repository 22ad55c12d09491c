"""Spawn to the answer of ``initialize``: this server beside a bare SDK server with one trivial tool.

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


def seconds_to_answer(command: list[str], environment: dict[str, str]) -> float:
    """Seconds from the spawn to the whole first line of the answer."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        seconds = time.perf_counter() - began
        process.stdin.close()
        process.wait()
    if b'"serverInfo"' not in answer:
        sys.exit(f"no answer from {command}")
    return seconds


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
        times: dict[str, list[float]] = {name: [] for name in commands}
        for round_number in range(rounds + 2):
            for name, command in commands.items():
                seconds = seconds_to_answer(command, environment)
                if round_number >= 2:  # the first rounds fill the disk cache
                    times[name].append(seconds)
    for name, values in times.items():
        print(f"{name:<16} median {statistics.median(values) * 1000:6.1f} ms   min {min(values) * 1000:6.1f} ms")
    ratios = [mine / bare_time for bare_time, mine in zip(*times.values(), strict=True)]
    print(f"ratio            median {statistics.median(ratios):6.3f}      ({rounds} rounds, alternating)")


if __name__ == "__main__":
    main()
