"""Serves one client over stdin and stdout, and ends well.

The SDK's own runner dies on SIGTERM without cleaning up and hangs on SIGINT, because its reader thread cannot be
interrupted; here both pipes are served by daemon threads that nothing waits for.
"""

import logging
import os
import queue
import select
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import anyio
import anyio.from_thread
import anyio.lowlevel
from mcp.server.stdio import stdio_server

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import Sora2Server, build_server
from sora2_mcp.server.messages import LONGEST_CALL_BYTES, TOO_LONG, checked_message
from sora2_mcp.server.signals import stop_signals

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536
_ROOM_BYTES = 16_000_000
_ROOM_SECONDS = 0.02
_LAST_ANSWERS_SECONDS = 0.4
_FLUSH_SECONDS = 0.3
_GIVEN_UP_SECONDS = 4.0
"""No known host gives a call up sooner than after 5 s, and a script that pipes requests in is faster."""


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
            server = build_server(runtime)

            async def end_on_signal() -> None:
                await stop.wait()
                logger.info("ending on a signal")
                await last_answers(runtime, server)
                group.cancel_scope.cancel()

            async def end_of_input() -> None:
                ending()
                writer.retire(silent=server.oldest_call_seconds > _GIVEN_UP_SECONDS)
                await last_answers(runtime, server)

            group.start_soon(end_on_signal)
            lines = _Reader(read_fd, writer).lines(end_of_input)
            # The SDK asks for files of anyio, and uses no more of them than these have.
            async with stdio_server(cast("Any", lines), cast("Any", writer)) as (received, sent):
                await server.run(received, sent, server.create_initialization_options())
            group.cancel_scope.cancel()
    writer.close()


async def last_answers(runtime: Runtime, server: Sora2Server) -> None:
    """Ends open waits normally and lets their answers leave, briefly."""
    runtime.stop()
    with anyio.move_on_after(_LAST_ANSWERS_SECONDS):
        await server.idle()
        # The answer is written after the request has counted as done.
        await anyio.sleep(0.02)


class _Reader:
    """Messages of a pipe, read and checked by a daemon thread."""

    def __init__(self, fd: int, writer: "_Writer") -> None:
        self._writer = writer
        # Without a limit, for `send_nowait` fails where there is no room.
        self._send, self._lines = anyio.create_memory_object_stream[tuple[str, str]](float("inf"))
        self._token = anyio.lowlevel.current_token()
        threading.Thread(target=self._read, args=(fd,), name="stdin", daemon=True).start()

    async def lines(self, end: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
        """The lines that are messages; others are answered here. After the last one ``end`` is awaited."""
        with self._lines:
            async for line, refusal in self._lines:
                await self._writer.has_room()
                if refusal:
                    await self._writer.write(refusal)
                else:
                    yield line
        await end()

    def _read(self, fd: int) -> None:
        rest = bytearray()
        is_skipping = False
        while chunk := _read_some(fd):
            rest += chunk
            *lines, rest = rest.split(b"\n") if b"\n" in chunk else (rest,)
            if is_skipping and lines:
                # The end of a line that was too long.
                is_skipping = False
                del lines[0]
            checked = [checked_message(line) for line in lines if line.strip()]
            if len(rest) > LONGEST_CALL_BYTES:
                checked += [] if is_skipping else [("", TOO_LONG)]
                is_skipping = True
                rest.clear()
            if checked and not self._deliver(checked):
                return
        self._deliver([checked_message(rest)] if rest.strip() and not is_skipping else [], last=True)

    def _deliver(self, lines: list[tuple[str, str]], *, last: bool = False) -> bool:
        def deliver() -> None:
            for line in lines:
                self._send.send_nowait(line)
            if last:
                self._send.close()

        try:
            anyio.from_thread.run_sync(deliver, token=self._token)
        except (RuntimeError, anyio.RunFinishedError, anyio.BrokenResourceError):
            # The event loop or the server has ended: nothing reads any more.
            return False
        return True


def _read_some(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            # Some wrappers hand on a pipe that says "later" in place of waiting.
            select.select([fd], [], [])
        except OSError:
            return b""


class _Writer:
    """Text to a pipe, written by a daemon thread, so that a host that stops reading cannot keep the server alive."""

    def __init__(self, fd: int) -> None:
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._last: list[str] | None = None
        self._silent = False
        self._waiting_bytes = 0
        self._count = threading.Lock()
        self._thread = threading.Thread(target=self._write, args=(fd,), name="stdout", daemon=True)
        self._thread.start()

    async def has_room(self) -> None:
        """Returns once not too much waits for the host to read it: from a host that does not read, no more is read."""
        while self._waiting_bytes > _ROOM_BYTES and self._thread.is_alive():  # noqa: ASYNC110 - a thread makes room
            await anyio.sleep(_ROOM_SECONDS)

    async def write(self, text: str) -> None:
        if self._last is None:
            self._put(text)
        elif not self._silent:
            self._last.append(text)

    def retire(self, *, silent: bool) -> None:
        """What is written from now on leaves when this is closed, or not at all."""
        self._last, self._silent = [], silent

    async def flush(self) -> None:
        """Nothing is buffered but what the pipe does not take yet."""

    def close(self) -> None:
        """Waits, briefly, until all is written."""
        for text in self._last or ():
            self._put(text)
        self._texts.put(None)
        # A host that does not read must not hold up the end.
        self._thread.join(_FLUSH_SECONDS)

    def _put(self, text: str) -> None:
        # Both the event loop and the thread change it.
        with self._count:
            self._waiting_bytes += len(text)
        self._texts.put(text)

    def _write(self, fd: int) -> None:
        while (text := self._texts.get()) is not None:
            rest = memoryview(text.encode())
            try:
                while rest:
                    try:
                        rest = rest[os.write(fd, rest) :]
                    except BlockingIOError:
                        select.select([], [fd], [])
            except OSError:
                # The host is gone; EOF on stdin ends the server.
                return
            with self._count:
                self._waiting_bytes -= len(text)
