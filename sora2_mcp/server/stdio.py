"""Serves one client over stdin and stdout, and ends well.

The SDK's own runner dies on SIGTERM without cleaning up and hangs on SIGINT, because its reader thread cannot be
interrupted; here both pipes are served by daemon threads that nothing waits for.
"""

import json
import logging
import os
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, cast

import anyio
import anyio.from_thread
import anyio.lowlevel
from mcp.server.stdio import stdio_server
from mcp_types import PARSE_ERROR

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import Sora2Server, build_server
from sora2_mcp.server.signals import stop_signals

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536
_LAST_ANSWERS_SECONDS = 0.4
_FLUSH_SECONDS = 0.3
_GIVEN_UP_SECONDS = 4.0
"""No known host gives a call up sooner than after 5 s, and who pipes requests in does not wait for so long."""


async def serve_stdio(
    runtime: Runtime, read_fd: int, write_fd: int, *, ending: Callable[[], None] = lambda: None
) -> None:
    """Serves until EOF, SIGINT or SIGTERM; waits that are open then get their normal result first.

    After EOF they get it last, once all is saved, and not at all if a call has been open for so long that the host must
    have given it up: the MCP Python client before 2.0, which most agent frameworks use, takes what comes while it
    closes for an error, hides its own behind it and kills the server. ``ending`` is called when the end begins.
    """
    writer = _Writer(write_fd)
    with stop_signals(ending) as stop:
        async with runtime, anyio.create_task_group() as group:
            server = build_server(runtime, equipped=False)
            reader = _Reader(read_fd, writer)

            end = partial(last_answers, runtime, server)

            async def end_without_reader() -> None:
                ending()
                writer.retire(silent=server.oldest_call_seconds > _GIVEN_UP_SECONDS)
                await end()

            group.start_soon(_end_on, stop, end, group.cancel_scope)
            async with stdio_server(cast("Any", reader.lines(end_without_reader)), cast("Any", writer)) as (
                received,
                sent,
            ):
                low_level = server.low_level
                await low_level.run(received, sent, low_level.create_initialization_options())
            group.cancel_scope.cancel()
    writer.close()


async def _end_on(stop: anyio.Event, end: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
    await stop.wait()
    logger.info("ending on a signal")
    await end()
    scope.cancel()


async def last_answers(runtime: Runtime, server: Sora2Server) -> None:
    """Ends open waits normally and lets their answers leave, briefly."""
    runtime.stop()
    with anyio.move_on_after(_LAST_ANSWERS_SECONDS):
        await server.idle()
        # The answer is written after the request has counted as done.
        await anyio.sleep(0.02)


class _Reader:
    """Lines of a pipe, read by a daemon thread."""

    def __init__(self, fd: int, writer: "_Writer") -> None:
        self._writer = writer
        self._send, self._lines = anyio.create_memory_object_stream[str](float("inf"))
        self._token = anyio.lowlevel.current_token()
        threading.Thread(target=self._read, args=(fd,), name="stdin", daemon=True).start()

    async def lines(self, end: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
        """The lines; after the last one ``end`` is awaited before the end is told."""
        with self._lines:
            async for line in self._lines:
                try:
                    yield _storable(line)
                except ValueError:
                    if line.strip():
                        await self._refuse()
        await end()

    async def _refuse(self) -> None:
        """Answers a line that is no JSON as JSON-RPC asks for; the SDK would say nothing."""
        error = {"code": PARSE_ERROR, "message": "Parse error: this line is no JSON"}
        await self._writer.write(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}) + "\n")

    def _read(self, fd: int) -> None:
        rest = bytearray()
        while chunk := _read_some(fd):
            rest += chunk
            if b"\n" in chunk:
                *lines, rest = rest.split(b"\n")
                if not self._deliver([line.decode(errors="replace") for line in lines]):
                    return
        self._deliver([rest.decode(errors="replace")] if rest.strip() else [], last=True)

    def _deliver(self, lines: list[str], *, last: bool = False) -> bool:
        def deliver() -> None:
            for line in lines:
                self._send.send_nowait(line)
            if last:
                self._send.close()

        try:
            anyio.from_thread.run_sync(deliver, token=self._token)
        except (RuntimeError, anyio.RunFinishedError, anyio.BrokenResourceError):
            # The event loop or the server has ended: nobody is left to read.
            return False
        return True


def _storable(line: str) -> str:
    """The line, with half characters replaced; the SDK would drop the whole request without an answer.

    Raises:
        ValueError: it is no JSON.
    """
    content = json.loads(line)
    if "\\ud" not in line.lower():
        return line
    return json.dumps(content, ensure_ascii=False).encode(errors="replace").decode()


def _read_some(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK_BYTES)
    except OSError:
        return b""


class _Writer:
    """Text to a pipe, written by a daemon thread, so that a host that stops reading cannot keep the server alive."""

    def __init__(self, fd: int) -> None:
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._last: list[str] | None = None
        self._silent = False
        self._thread = threading.Thread(target=self._write, args=(fd,), name="stdout", daemon=True)
        self._thread.start()

    async def write(self, text: str) -> None:
        if self._last is None:
            self._texts.put(text)
        elif not self._silent:
            self._last.append(text)

    def retire(self, *, silent: bool) -> None:
        """What is written from now on leaves when this is closed, or not at all."""
        self._last, self._silent = [], silent

    async def flush(self) -> None:
        """Nothing is buffered but what the pipe does not take yet."""

    def close(self) -> None:
        """Waits, briefly, until all is written."""
        for text in [*(self._last or ()), None]:
            self._texts.put(text)
        self._thread.join(_FLUSH_SECONDS)

    def _write(self, fd: int) -> None:
        while (text := self._texts.get()) is not None:
            rest = memoryview(text.encode())
            try:
                while rest:
                    rest = rest[os.write(fd, rest) :]
            except OSError:
                # The host is gone; EOF on stdin ends the server.
                return
