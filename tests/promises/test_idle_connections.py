"""Connections over which nothing comes, more than a process may have files: it answers, and ends in time."""

import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.e2e.processes import ENDS_WITHIN_SECONDS, Process
from tests.promises.bare import check_kept, end_of_an_http_server
from tests.server.test_connections import HALF_A_HEAD

HALF_A_CALL = (
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\nContent-Length: 8\r\n\r\n{"
)


@contextmanager
def few_files(soft: int) -> Iterator[None]:
    """A process started in the block may have so many files open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def a_process_with_few_files(folder: Path) -> Iterator[tuple[Process, int]]:
    with ExitStack() as stack:
        with few_files(512):
            process = Process(folder, "serve", "--simulate", "--transport", "streamable-http", "--port", "0")
        stack.enter_context(process)
        yield process, int(process.logged(r"serving MCP at http://127\.0\.0\.1:(\d+)/mcp").group(1))


@pytest.mark.parametrize("sent", [b"", HALF_A_HEAD, HALF_A_CALL])
def test_more_idle_connections_than_files_stop_neither_the_server_nor_its_end(tmp_path: Path, sent: bytes) -> None:
    with a_process_with_few_files(tmp_path) as (process, port), ExitStack() as stack:
        for _ in range(600):
            idle = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            idle.sendall(sent)
        with httpx2.Client(timeout=2, trust_env=False) as client:
            for _ in range(3):
                assert client.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        process.popen.send_signal(signal.SIGTERM)
        check_kept(process.seconds_to_end(), end_of_an_http_server(tmp_path), promised=ENDS_WITHIN_SECONDS)
        assert process.popen.returncode == 0
        assert "Traceback" not in process.stderr
        assert len(process.stderr) < 10_000
