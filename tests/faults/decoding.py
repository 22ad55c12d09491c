"""Decodes videos as the server has it done, and measures: ``python -m tests.faults.decoding FILE…``, a line each.

A process of its own and of hardly any size: what a process takes begins with what the one that starts it has.
"""

import json
import os
import struct
import subprocess
import sys
import time

PIECE_BYTES = 512 * 1024


def decoded(path: str, frames: str) -> dict[str, object]:
    """What comes of a file: ``said``, None where the process died; its seconds, and the memory it took at most."""
    command = [sys.executable, "-c", "from sora2_mcp.tasks.frames import main; main()", frames, str(PIECE_BYTES)]
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said = None
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib would make this process larger
        for line in process.stdout:
            if line.startswith(b"{"):
                said = {name: value for name, value in json.loads(line).items() if name != "jpeg"}
                break
            file.seek(int(line) * PIECE_BYTES)
            piece = file.read(PIECE_BYTES)
            process.stdin.write(struct.pack(">QI", os.path.getsize(path), len(piece)) + piece)  # noqa: PTH202
            process.stdin.flush()
    error = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    return {
        "said": said,
        "status": os.waitstatus_to_exitcode(status),
        "seconds": round(time.monotonic() - began, 2),
        "megabytes": usage.ru_maxrss // 1024,
        "stderr": error,
    }


if __name__ == "__main__":
    for path in sys.argv[1:]:
        sys.stdout.write(json.dumps(decoded(path, "4")) + "\n")
        sys.stdout.flush()
