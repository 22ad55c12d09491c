"""Nothing that comes over a wire stops the event loop for 50 ms: heads of HTTP, odd JSON, keys of an issuer, lines.

What is measured is the loop itself, in this process, by a timer that is always due; whoever sends sits in threads.
"""

import json
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from sora2_mcp.clock import SystemClock
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.errors import Sora2Error
from sora2_mcp.server.app import build_server
from sora2_mcp.server.messages import LONGEST_CALL_BYTES
from sora2_mcp.server.stdio import serve_stdio
from sora2_mcp.server.web.app import web_app
from sora2_mcp.server.web.auth import IssuedTokens, IssuerKeys
from sora2_mcp.server.web.limits import Limits
from sora2_mcp.server.web.serve import WebServer
from sora2_mcp.services.client import open_client
from sora2_mcp.services.exchange import BODY_LIMIT_BYTES
from sora2_mcp.services.sora2api import Sora2API
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.telemetry.context import ContextFilter
from sora2_mcp.telemetry.logs import JsonFormatter, TextFormatter
from tests.clocks import PATIENCE_SECONDS
from tests.network import simulated
from tests.promises.heartbeat import check_never_stopped
from tests.server.issuers import AUDIENCE, ISSUER, made
from tests.server.test_access import HELLO
from tests.server.test_bodies import HEADERS, META
from tests.servers import KEY, settings_in
from tests.web import client_of

pytestmark = pytest.mark.anyio

NESTED = b"[" * 100 + b"]" * 100
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
async def port(shared_folder: Path) -> AsyncIterator[int]:
    """Where a server listens as it does in a process of its own, in this one."""
    runtime = simulated(settings_in(shared_folder), Simulator(seconds_per_task=0))
    web = WebServer(web_app(build_server(runtime), runtime, opens_runtime=True), Limits())
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(web.serve, [listener])
            with anyio.fail_after(PATIENCE_SECONDS):
                while not web.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await anyio.sleep(0.01)
                await runtime.tasks()
            yield listener.getsockname()[1]
            web.should_exit = True


def sent(port: int, raw: bytes) -> bytes:
    """The beginning of what came back for these bytes; empty if nothing did."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection, suppress(OSError):
        writer = threading.Thread(target=_send_all, args=(connection, raw))
        writer.start()
        answer = connection.recv(65_536)
        connection.shutdown(socket.SHUT_RDWR)
        writer.join()
        return answer
    return b""


def _send_all(connection: socket.socket, raw: bytes) -> None:
    # Who has been refused is not listened to any longer.
    with suppress(OSError):
        connection.sendall(raw)


HEAD = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
HEADS: dict[str, bytes] = {
    "blanks before a NUL": HEAD + b"a:" + b" " * 60_000 + b"\x00\r\n\r\n",
    "blanks in a trailer": CHUNKED + b"0\r\na:" + b" " * 60_000 + b"\x00\r\n\r\n",
    "many headers": HEAD + b"a:\r\n" * 15_000 + b"\r\n",
    "a folded header": HEAD + b"a: b\r\n" + b" c\r\n" * 15_000 + b"\r\n",
    "a long host": b"POST /mcp HTTP/1.1\r\nhost: [" + b":" * 60_000 + b"\r\n\r\n",
    "a long origin": HEAD + b"origin: http://" + b"a" * 60_000 + b"\r\n\r\n",
    "names close to a proxy's": HEAD + b"x-client-ip" * 5_000 + b": 1\r\n\r\n",
    "many queries": b"POST /messages/?" + b"a=b&" * 15_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a long path": b"GET /" + b"%41/" * 15_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a long chunk's head": CHUNKED + b"1" + b" " * 200_000 + b"x\r\n",
    "many requests at once": b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2_000,
    "no HTTP": b"\r\n" * 100_000,
}


@pytest.mark.parametrize("raw", HEADS.values(), ids=HEADS)
async def test_no_head_of_a_request_stops_the_loop(port: int, raw: bytes) -> None:
    await check_never_stopped(lambda: anyio.to_thread.run_sync(sent, port, raw))


async def test_no_body_in_chunks_of_one_byte_stops_the_loop(port: int) -> None:
    raw = CHUNKED + b"1\r\n[\r\n" * 60_000 + b"0\r\n\r\n"
    await check_never_stopped(lambda: anyio.to_thread.run_sync(sent, port, raw))


def call_of(parameters: bytes) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tasks", "_meta": META}}
    return json.dumps(message).encode().replace(b'"_meta"', parameters + b', "_meta"')


MESSAGES: dict[str, bytes] = {
    "lists in lists": call_of(b'"arguments": {"a": [' + (NESTED + b",") * 1650 + b"1]}"),
    "objects": call_of(b'"arguments": {"a": [' + b"{}," * 110_000 + b"1]}"),
    "as many brackets as are read": call_of(b'"arguments": {"a": [' + (NESTED + b",") * 69 + b"1]}"),
    "answers to questions": call_of(b'"inputResponses": {' + b",".join(b'"%d": {}' % n for n in range(6_900)) + b"}"),
    "texts": call_of(b'"arguments": {"a": [' + b'"",' * 110_000 + b"1]}"),
    "numbers": call_of(b'"arguments": {"image_urls": [' + b"1," * 165_000 + b"1]}"),
    "many arguments": call_of(b'"arguments": {' + b",".join(b'"x%d":0' % n for n in range(25_000)) + b"}"),
    "arguments like real ones": call_of(
        b'"arguments": {' + b",".join(b'"%03dcallback_url_idempotency_key_aspect":0' % n for n in range(300)) + b"}"
    ),
    "a trace": call_of(b'"arguments": {}').replace(b'"_meta": {', b'"_meta": {"baggage": "' + b" " * 8190 + b'", '),
}


@pytest.mark.parametrize("body", MESSAGES.values(), ids=MESSAGES)
async def test_no_message_stops_the_loop(port: int, body: bytes) -> None:
    assert len(body) <= LONGEST_CALL_BYTES
    headers = {**HEADERS, "mcp-name": "list_tasks"}
    async with client_of(f"http://127.0.0.1:{port}", headers=headers) as http:
        await check_never_stopped(lambda: http.post("/mcp", content=body))


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """A host that answers every request, in threads, with these bytes."""

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(PATIENCE_SECONDS)
            while b"\r\n\r\n" not in connection.recv(65_536):
                pass
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def answer_of(body: bytes, headers: bytes = b"") -> bytes:
    assert len(body) <= BODY_LIMIT_BYTES
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n" % len(body) + headers + b"\r\n" + body


def record_of(field: str, value: bytes) -> bytes:
    return b'{"code": 200, "data": {"taskId": "a", "successFlag": 1, "%s": %s}}' % (field.encode(), value)


ANSWERS: dict[str, bytes] = {
    "blanks before a NUL": answer_of(b"{}", b"a:" + b" " * 90_000 + b"\x00\r\n"),
    "many headers": answer_of(b"{}", b"a:b\r\n" * 15_000),
    "many cookies": answer_of(b"{}", b"set-cookie: a=b\r\n" * 5_000),
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"a:b\r\n" * 15_000 + b"\r\n",
    "lists in lists": answer_of(b'{"code": 200, "data": [' + (NESTED + b",") * 1200 + b"1]}"),
    "as many brackets as are read": answer_of(b'{"code": 200, "data": [' + (NESTED + b",") * 119 + b"1]}"),
    "lists of an order": answer_of(record_of("paramJson", b'{"prompt": [' + (NESTED + b",") * 1200 + b"1]}")),
    "texts in place of an address": answer_of(record_of("resultUrls", b"[" + b'"x",' * 60_000 + b"1]")),
    "texts within texts": answer_of(record_of("resultUrls", b"[" + b'"\\"x\\"",' * 20_000 + b"1]")),
    "texts that begin as lists": answer_of(record_of("resultUrls", b"[" + b'"[x",' * 11_000 + b"1]")),
    "a list without quotation marks": answer_of(record_of("resultUrls", b'"[' + b"x," * 120_000 + b'x]"')),
    "numbers": answer_of(b"[" + b"1," * 124_000 + b"1]"),
    "the beginning of the key": answer_of((KEY[:-1].encode() * 11_000)[:BODY_LIMIT_BYTES]),
}


@pytest.mark.parametrize("raw", ANSWERS.values(), ids=ANSWERS)
async def test_no_answer_of_the_services_stops_the_loop(raw: bytes) -> None:
    with answering(raw) as base:
        async with open_client(Sora2API(), base_url=base, key=KEY, requests_per_second=1000, clock=CLOCK) as client:

            async def ask() -> None:
                with suppress(Sora2Error):
                    await client.order(VideoRequest(prompt="x"))
                with suppress(Sora2Error):
                    await client.look("a")

            await check_never_stopped(ask)


async def test_no_set_of_an_issuers_keys_stops_the_loop() -> None:
    own = generate_private_key(65537, 4096)
    private, public = RSAAlgorithm.to_jwk(own, as_dict=True), RSAAlgorithm.to_jwk(own.public_key(), as_dict=True)
    sets: list[list[object]] = [
        [{**private, "kid": str(number)} for number in range(50)],
        [{**public, "kid": str(number)} for number in range(250)],
        [{"kty": "RSA", "kid": "a", "e": "AQAB", "n": "_" * 120_000, "d": "_" * 120_000}],
        [{}] * 60_000,
    ]
    for keys in sets:
        with answering(answer_of(json.dumps({"keys": keys}).encode())) as base:

            async def ask(url: str = base) -> None:
                # A new one each time: known keys are not asked for again.
                verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, CLOCK))
                await verifier.verify_token(made(own, kid="x"))

            await check_never_stopped(ask)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
@pytest.mark.parametrize("text", ["x", "\u0301", "\n", "\u202e", "://", "://a@", "\ud83d"], ids=ascii)
async def test_no_line_of_the_log_stops_the_loop(formatter: logging.Formatter, text: str) -> None:
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "%s", (text * (900_000 // len(text)),), None)
    ContextFilter().filter(record)

    async def log() -> None:
        formatter.format(record)

    await check_never_stopped(log)


@asynccontextmanager
async def on_stdio(folder: Path) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """A server between two pipes; sends it lines and returns once it has answered the last, which is a ping."""
    runtime = simulated(settings_in(folder), Simulator(seconds_per_task=0))
    (read_fd, host_writes), (host_reads, write_fd) = os.pipe(), os.pipe()
    with os.fdopen(host_reads, "rb") as answers, os.fdopen(host_writes, "wb", 0) as lines:

        def drive(raw: bytes) -> None:
            ping = b'{"jsonrpc": "2.0", "id": "last", "method": "ping"}\n'
            writer = threading.Thread(target=lines.write, args=(raw + b"\n" + ping,))
            writer.start()
            while b'"last"' not in answers.readline():
                pass
            writer.join()

        async with anyio.create_task_group() as group:
            group.start_soon(serve_stdio, runtime, read_fd, write_fd)
            await anyio.to_thread.run_sync(drive, json.dumps(HELLO).encode())
            with anyio.fail_after(PATIENCE_SECONDS):
                await runtime.tasks()
            yield lambda raw: anyio.to_thread.run_sync(drive, raw)
            lines.close()
    os.close(read_fd)
    os.close(write_fd)


LINES: dict[str, bytes] = {
    "a megabyte": b"x" * 1_000_000,
    "twenty megabytes": b"x" * 20_000_000,
    "lists in lists": b'{"a": [' + (NESTED + b",") * 1650 + b"1]}",
    "numbers": b"[" + b"1," * 170_000 + b"1]",
    "10,000 lines of junk": b"0\n" * 10_000,
    "a million empty lines": b"\n" * 1_000_000,
    "1,000 pings": b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n' * 1_000,
    "5,000 answers to nothing": b'{"jsonrpc": "2.0", "id": 1, "result": {}}\n' * 5_000,
    "1,000 calls that fit nothing": b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}}\n' * 1_000,
}


async def test_no_lines_over_stdio_stop_the_loop(tmp_path: Path) -> None:
    async with on_stdio(tmp_path) as drive:
        for raw in LINES.values():
            await check_never_stopped(lambda raw=raw: drive(raw))  # type: ignore[misc]
