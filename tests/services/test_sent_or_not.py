"""The table "Sent or not sent" of docs/architecture.md, over real sockets: where a request fails says what it means."""

import asyncio
import gc
import json
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from sora2_mcp.clock import SystemClock
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.errors import (
    CertificateError,
    LostAnswerError,
    NotReachedError,
    ProxyError,
    ServiceError,
    Sora2Error,
)
from sora2_mcp.services.client import Client, open_client
from sora2_mcp.services.sora2api import Sora2API
from tests.certificates import self_signed

pytestmark = pytest.mark.anyio

KEY = "sk-a/b+c&d-0123456789"
REQUEST = VideoRequest(prompt="A cat")
ACCEPTED = json.dumps({"code": 200, "msg": "success", "data": {"taskId": "sora2_task_a"}}).encode()
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@asynccontextmanager
async def listening(*answers: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives each connection these answers, one for each piece it is sent; its port, and what came.

    An empty answer ends the connection, and one of ``b"..."`` never comes.
    """
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            received.append(await reader.read(65_536))
            if each == b"...":
                await reader.read()
            writer.write(each)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], received


@asynccontextmanager
async def client_of(base_url: str) -> AsyncIterator[Client]:
    async with open_client(
        Sora2API(), base_url=base_url, key=KEY, requests_per_second=1000, clock=SystemClock()
    ) as client:
        yield client


async def failure_at(base_url: str) -> Sora2Error:
    """What an order at this address raises."""
    async with client_of(base_url) as client:
        with pytest.raises(Sora2Error) as raised:
            await client.order(REQUEST)
    return raised.value


def page(status: int, body: bytes = b"<html>no</html>", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (page(407), "the proxy wants a login (407)"),
        (page(403), "the proxy refused (403)"),
        (page(502), "the proxy refused (502)"),
        (b"", "the connection ended without an answer in HTTP"),
    ],
    ids=["407", "403", "502", "hangs up"],
)
async def test_an_order_that_a_proxy_did_not_let_through_was_not_sent(
    answer: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(answer) as (port, received):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:topsecret@127.0.0.1:{port}")
        error = await failure_at("https://api.example/v1")

    assert isinstance(error, NotReachedError)
    assert error.reason == reason
    assert b"A cat" not in b"".join(received)
    assert received[0].startswith(b"CONNECT api.example:443 ")


async def test_an_order_whose_answer_a_proxy_lost_may_have_been_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(b"") as (port, received):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        error = await failure_at("http://api.example/v1")

    assert isinstance(error, LostAnswerError)
    assert b"POST http://api.example/v1/generate " in received[0]


async def test_a_socks_proxy_carries_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"
    async with listening(b"\x05\x00", connected, page(200, ACCEPTED)) as (port, received):
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
        async with client_of("http://api.example/v1") as client:
            assert await client.order(REQUEST) == "sora2_task_a"

    # The proxy looks the name up, so that it need not be known here.
    assert b"api.example" in received[1]


async def test_a_socks_proxy_that_cannot_connect_is_told_and_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"
    async with listening(b"\x05\x00", refused) as (port, _):
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{port}")
        error = await failure_at("https://api.example/v1")

    assert isinstance(error, ProxyError)
    assert error.reason == "the proxy did not connect to it"
    del error
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        # httpcore2 leaves such a connection to the garbage collector.
        gc.collect()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:7890/"),
        ("HTTPS_PROXY", '"http://me:topsecret@127.0.0.1:8080"'),
        ("https_proxy", "'http://me:topsecret@127.0.0.1:8080'"),
        ("HTTPS_PROXY", "ftp://me:topsecret@127.0.0.1"),
        ("HTTPS_PROXY", "http://me:topsecret@127.0.0.1:99999"),
        ("HTTPS_PROXY", "http://me:topsecret@[::1"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_named_without_its_value_and_stops_only_what_leaves_this_machine(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    error = await failure_at("https://api.example/v1")
    async with listening(page(200, ACCEPTED)) as (port, _), client_of(f"http://127.0.0.1:{port}") as client:
        assert await client.order(REQUEST) == "sora2_task_a"

    assert isinstance(error, ProxyError)
    assert error.reason.startswith(f"{variable} cannot be used: it must be ")
    assert "topsecret" not in f"{error}{error.hint}{error!r}"


async def test_this_machine_itself_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(b"") as (proxy, at_proxy), listening(page(200, ACCEPTED)) as (port, _):
        for variable in PROXIES[:3]:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy}")
        async with client_of(f"http://localhost:{port}") as client:
            assert await client.order(REQUEST) == "sora2_task_a"

    assert at_proxy == []


async def test_a_certificate_of_an_authority_that_is_not_known_is_told_with_its_reason(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    async with listening(b"", context=context) as (port, received):
        error = await failure_at(f"https://127.0.0.1:{port}")

    assert isinstance(error, CertificateError)
    assert error.reason == "its certificate is not accepted: self-signed certificate"
    assert "SSL_CERT_FILE" in error.hint
    assert received == []


@pytest.mark.parametrize(
    ("variable", "content"), [("SSL_CERT_FILE", "no certificate"), ("SSL_CERT_FILE", None), ("SSL_CERT_DIR", None)]
)
async def test_authorities_that_cannot_be_read_are_named_with_variable_and_path(
    variable: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "company.pem"
    if content is not None:
        place.write_text(content)
    monkeypatch.setenv(variable, str(place))

    error = await failure_at("https://api.example/v1")

    reason = "No such file or directory" if content is None else "it holds no certificates"
    assert isinstance(error, CertificateError)
    assert error.reason == f'{variable} names "{place}", which cannot be used ({reason})'


@pytest.mark.parametrize("base_url", ["http://a..b/v1", f"http://{'a' * 64}.example/v1"])
async def test_an_address_that_no_resolver_takes_was_not_reached(base_url: str) -> None:
    assert type(await failure_at(base_url)) is NotReachedError


async def test_a_server_that_speaks_no_tls_is_told_and_nothing_was_sent() -> None:
    async with listening(b"SSH-2.0-OpenSSH\r\n") as (port, _):
        error = await failure_at(f"https://127.0.0.1:{port}")

    assert isinstance(error, NotReachedError)
    assert error.reason == "TLS failed: WRONG_VERSION_NUMBER"


@pytest.mark.parametrize("cut", [b"", b"x" * 300_000], ids=["cut off", "without end"])
async def test_a_refusal_is_one_however_its_page_ends(cut: bytes) -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 900000\r\n\r\n<html>" + cut
    async with listening(answer) as (port, _):
        error = await failure_at(f"http://127.0.0.1:{port}")

    assert isinstance(error, NotReachedError)
    assert error.reason == "HTTP 403 with an empty body"


SPELLINGS = {
    "as it is": KEY,
    "slashes escaped": KEY.replace("/", r"\/"),
    "plus and ampersand escaped": KEY.replace("+", r"\u002b").replace("&", r"\u0026"),
    "in capitals": KEY.replace("+", r"\u002B"),
    "every character escaped": "".join(f"\\u{ord(character):04x}" for character in KEY),
    "JSON within JSON": json.dumps(KEY.replace("+", r"\u002b"))[1:-1],
    "of a URL": quote(KEY, safe=""),
    "of HTML": escape(KEY),
    "of HTML by number": KEY.replace("&", "&#38;").replace("+", "&#x2B;"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
async def test_the_key_is_taken_out_of_an_answer_however_it_is_spelled(spelled: str, encoding: str) -> None:
    body = f'{{"code": 401, "msg": "no such key {spelled}!"}}'.encode(encoding)
    async with listening(page(401, body)) as (port, _):
        error = await failure_at(f"http://127.0.0.1:{port}")

    assert isinstance(error, ServiceError)
    assert error.message == "no such key ***!"


async def test_every_request_says_who_we_are() -> None:
    async with listening(page(200, ACCEPTED)) as (port, received), client_of(f"http://127.0.0.1:{port}") as client:
        await client.order(REQUEST)

    agents = [line for line in received[0].split(b"\r\n") if line.lower().startswith(b"user-agent:")]
    assert [agent.split(b": ")[1].split(b"/")[0] for agent in agents] == [b"sora2-mcp"]
