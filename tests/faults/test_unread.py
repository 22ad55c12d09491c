"""A host that does not read stderr, with the smallest pipe there is."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.e2e.processes import Process, StdioHost

pytestmark = pytest.mark.posix

_SMALLEST_PIPE_BYTES = 4096


def test_four_hundred_orders_with_an_unread_stderr_are_all_placed_and_every_ping_is_answered(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _SMALLEST_PIPE_BYTES)
    variables = {"SORA2_LOG_LEVEL": "DEBUG", "SORA2_MAX_REQUESTS_PER_SECOND": "1000"}
    with Process(tmp_path, "--simulate", stderr_at=f"/dev/fd/{writing}", **variables) as process:
        os.close(writing)
        host = StdioHost(process)
        host.ready()
        ids = []
        for number in range(400):
            ordered = host.call("generate_video", prompt=f"Kitten {number} [sim:seconds=600]")
            ids.append(ordered["structuredContent"]["task_id"])
            assert host.request("ping", {}) == {}
        assert len(set(ids)) == 400

        # Once somebody reads, the log goes on where it was held up.
        text = b""
        while b"log lines were dropped here" not in text and f"task {ids[-1]} ordered".encode() not in text:
            text += os.read(reading, 65_536)
    os.close(reading)
