"""One harmless question to the service, over real sockets where it is the socket that answers."""

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import anyio
import anyio.to_thread
import httpx2
import pytest

from sora2_mcp.clock import SystemClock
from sora2_mcp.errors import LostAnswerError, NotReachedError
from sora2_mcp.services.openai import OpenAI
from sora2_mcp.services.probe import ANSWER_SECONDS, Probe, open_probe
from sora2_mcp.services.sora2api import Sora2API
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from tests.certificates import self_signed
from tests.clocks import START, FakeClock, eventually
from tests.tasks.core import closed_address

pytestmark = pytest.mark.anyio

KEY = "right-key-0123456789"
CLOCK = SystemClock()


@asynccontextmanager
async def answering(answer: httpx2.Response | Exception) -> AsyncIterator[tuple[Probe, list[httpx2.Request]]]:
    """A probe of a service that always answers so, and the requests that came."""
    requests: list[httpx2.Request] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(serve)) as http:
        yield Probe(Sora2API(), http, "https://api.example/v1", FakeClock()), requests


def silent() -> socket.socket:
    """Takes connections, and says nothing."""
    return socket.create_server(("127.0.0.1", 0))


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(("path", "code"), [("/openai/v1", 200), ("/openai", 404), ("/nosuch", 404)])
async def test_a_server_of_ones_own_is_not_found_at_a_wrong_path(path: str, code: int) -> None:
    async with running(Simulator()) as base_url, open_probe(OpenAI(), urljoin(base_url, path), CLOCK) as probe:
        assert (await probe.ask()).code == code


async def test_without_a_key_none_is_sent_and_with_one_a_look_is_made_that_orders_nothing() -> None:
    simulator = Simulator(api_key=KEY)
    async with running(simulator) as base_url, open_probe(Sora2API(), base_url, CLOCK) as probe:
        unasked, refused, accepted = [await probe.ask(), await probe.ask("sk-wrong"), await probe.ask(KEY)]

    assert [reply.code for reply in (unasked, refused, accepted)] == [401, 401, 404]
    assert unasked.words == "You do not have access permissions: the API key is missing or wrong"
    assert accepted.words == "No such task"
    assert [(request.method, request.path) for request in simulator.received] == [
        ("GET", "/api/v1/sora2/record-info")
    ] * 3
    assert 0 < unasked.connect_seconds <= unasked.seconds < ANSWER_SECONDS
    assert accepted.connect_seconds == 0


async def test_a_key_goes_into_the_header_and_nowhere_else() -> None:
    async with answering(httpx2.Response(404, json={"code": 404})) as (probe, requests):
        await probe.ask()
        await probe.ask(KEY)

    assert [request.headers.get("authorization") for request in requests] == [None, f"Bearer {KEY}"]
    assert [str(request.url) for request in requests] == [
        "https://api.example/v1/record-info?taskId=sora2-mcp-doctor-asks-for-no-task"
    ] * 2


@pytest.mark.parametrize(
    ("date", "served_at"),
    [
        ("Sun, 22 Nov 2026 11:59:30 GMT", START - timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 12:59:30 +0100", START - timedelta(seconds=30)),
        ("yesterday", None),
        ("", None),
    ],
)
async def test_the_services_own_time_is_told_where_it_tells_one(date: str, served_at: datetime | None) -> None:
    async with answering(httpx2.Response(401, json={"code": 401}, headers={"date": date})) as (probe, _):
        reply = await probe.ask()

    assert (reply.served_at, reply.received_at) == (served_at, START)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx2.Response(200, text="<html>Welcome</html>"), "HTTP 200 with a web page"),
        (
            httpx2.Response(301, headers={"location": "/"}),
            "HTTP 301 with an empty body; SORA2_API_BASE_URL may be wrong",
        ),
        (httpx2.Response(200, text="ok"), "HTTP 200 with no readable JSON"),
        (httpx2.Response(500, json={"error": "x"}), "HTTP 500 without the service's own code"),
    ],
)
async def test_what_is_no_answer_of_the_service_is_told_by_its_kind(answer: httpx2.Response, reason: str) -> None:
    async with answering(answer) as (probe, requests):
        with pytest.raises(LostAnswerError) as raised:
            await probe.ask(KEY)

    assert raised.value.reason == reason
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be found: Name or service not known"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (ExceptionGroup("all", [ConnectionRefusedError(111, "Refused")]), "the connection was refused"),
        (ValueError("whatever"), "no connection could be made"),
    ],
)
async def test_why_there_is_no_connection_is_told_by_its_cause(cause: Exception, reason: str) -> None:
    error = httpx2.ConnectError("All connection attempts failed")
    error.__cause__ = cause
    async with answering(error) as (probe, _):
        with pytest.raises(NotReachedError) as raised:
            await probe.ask(KEY)

    assert raised.value.reason == reason


async def test_a_proxy_that_refuses_is_named_and_not_quoted() -> None:
    async with answering(httpx2.ProxyError("407 for ann:s3cr3t@proxy")) as (probe, _):
        with pytest.raises(NotReachedError) as raised:
            await probe.ask(KEY)

    assert raised.value.reason == "the proxy did not connect to it"


async def test_a_port_nobody_listens_at_refuses() -> None:
    async with open_probe(Sora2API(), closed_address(), CLOCK) as probe:
        with pytest.raises(NotReachedError) as raised:
            await probe.ask()

    assert raised.value.reason == "the connection was refused"


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (["connect_tcp.started"], "no connection within 5 s"),
        (
            ["connect_tcp.started", "connect_tcp.complete", "start_tls.started"],
            "no TLS handshake within 5 s",
        ),
    ],
)
async def test_how_far_it_came_is_told_where_connecting_takes_too_long(events: list[str], reason: str) -> None:
    async def connect(request: httpx2.Request) -> httpx2.Response:
        for event in events:
            await request.extensions["trace"](f"connection.{event}", {})
        raise httpx2.ConnectTimeout("")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(connect)) as http:
        with pytest.raises(NotReachedError) as raised:
            await Probe(Sora2API(), http, "https://api.example/v1", FakeClock()).ask(KEY)

    assert raised.value.reason == reason


async def test_a_service_that_says_nothing_is_given_up_after_its_time() -> None:
    clock, raised = FakeClock(), list[LostAnswerError]()
    with silent() as listener:
        async with open_probe(Sora2API(), f"http://127.0.0.1:{port_of(listener)}", clock) as probe:

            async def ask() -> None:
                try:
                    await probe.ask(KEY)
                except LostAnswerError as error:
                    raised.append(error)

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                connection, _ = await anyio.to_thread.run_sync(listener.accept)
                with connection:
                    # The request has come: now only its answer is missing.
                    await anyio.to_thread.run_sync(connection.recv, 65_536)
                    await clock.advance(ANSWER_SECONDS)
                    await eventually(lambda: bool(raised))

    assert [error.reason for error in raised] == ["no answer within 8 s"]


async def test_a_service_that_hangs_up_has_answered_nothing() -> None:
    with silent() as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                # All of it: a socket closed with something unread resets the connection.
                connection.recv(65_536)

        async with (
            open_probe(Sora2API(), f"http://127.0.0.1:{port_of(listener)}", CLOCK) as probe,
            anyio.create_task_group() as group,
        ):
            group.start_soon(anyio.to_thread.run_sync, hang_up)
            with pytest.raises(LostAnswerError) as raised:
                await probe.ask()

    assert raised.value.reason == "the connection ended without an answer in HTTP"


async def test_a_certificate_of_nobodys_is_not_accepted(tmp_path: Path) -> None:
    with tls_server(tmp_path) as listener:

        def shake_hands() -> None:
            # How the client's no reaches this side is its own affair.
            with suppress(OSError):
                listener.accept()

        async with (
            open_probe(Sora2API(), f"https://127.0.0.1:{port_of(listener)}", CLOCK) as probe,
            anyio.create_task_group() as group,
        ):
            group.start_soon(anyio.to_thread.run_sync, shake_hands)
            with pytest.raises(NotReachedError) as raised:
                await probe.ask(KEY)

    assert raised.value.reason == "its certificate is not accepted: self-signed certificate"


@contextmanager
def tls_server(folder: Path) -> Iterator[ssl.SSLSocket]:
    """Listens with a certificate it has made itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(folder))
    with silent() as listener, context.wrap_socket(listener, server_side=True) as secure:
        yield secure
