"""JWTs of an issuer: which are taken, whatever their issuer does, and until when."""

import json
import socket
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from mcp.server.auth.provider import AccessToken
from starlette.types import Receive, Scope, Send

from sora2_mcp.clock import SystemClock
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.web.app import web_app
from sora2_mcp.server.web.auth import IssuedTokens, IssuerKeys, authenticated, token_verifier
from sora2_mcp.services.exchange import BODY_LIMIT_BYTES
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.network import NETWORK
from tests.server.issuers import AUDIENCE, HEAD, ISSUER, Issuer, answering, made
from tests.server.test_access import ANN, HELLO, MCP, TOKENS, status_of
from tests.servers import settings_in
from tests.web import client_of, client_on_network, in_process, listening

pytestmark = pytest.mark.anyio

Keys = tuple[RSAPrivateKey, RSAPrivateKey]


@pytest.fixture(scope="module")
def keys() -> Keys:
    """The issuer's, and a stranger's."""
    return generate_private_key(65537, 2048), generate_private_key(65537, 2048)


def wrong_tokens(own: RSAPrivateKey, stranger: RSAPrivateKey) -> Iterator[str]:
    past = SystemClock().now() - timedelta(minutes=5)
    yield made(stranger)
    yield made(own, kid="k2")
    yield made(own, algorithm="RS512")
    yield made("a shared secret of thirty-two bytes", algorithm="HS256")
    yield made("", algorithm="none")
    yield from (
        made(own, **change)
        for change in (
            {"iss": "https://evil.example"},
            {"aud": "https://other.example"},
            {"exp": past},
            {"nbf": SystemClock().now() + timedelta(minutes=5)},
            {"sub": " "},
            {"sub": "x" * 201},
            {"sub": "carol\x00"},
            {"sub": "ca\nrol"},
            {"sub": "carol\ud800"},
            {"sub": "carol\u202e"},
            {"exp": float("inf")},
            {"exp": [1]},
            {"exp": "9999999999"},
        )
    )
    yield from (made(own, iss=None), made(own, aud=None), made(own, sub=None), made(own, exp=None))
    yield "a.b.c"
    yield f"{b64encode(b'[' * 9000).decode()}.e30.x"
    yield made(own)[:-3]


async def test_only_a_token_its_issuer_made_for_this_server_is_taken(tmp_path: Path, keys: Keys) -> None:
    own, stranger = keys
    async with Issuer(own).serving() as url:
        oauth = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": url}
        async with in_process(settings_in(tmp_path, auth_tokens=TOKENS, **oauth)) as http:
            assert await status_of(http, authorization=f"Bearer {made(own)}") == 200
            assert await status_of(http, authorization=f"Bearer {made(own, kid=None)}") == 200
            assert await status_of(http, authorization=f"Bearer {ANN}") == 200
            for token in wrong_tokens(own, stranger):
                assert await status_of(http, authorization=f"Bearer {token}") == 401, token


async def test_a_jwts_principal_is_its_issuer_and_subject_until_it_expires(clock: FakeClock, keys: Keys) -> None:
    exp = SystemClock().now().replace(microsecond=0) + timedelta(minutes=5)
    async with Issuer(keys[0]).serving() as url:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))
        for subject in ("carol", "Zoë of 東京", " carol "):
            caller = access(f"jwt:{ISSUER}|{subject}", exp + timedelta(seconds=30))
            assert await verifier.verify_token(made(keys[0], sub=subject, exp=exp)) == caller
        the_last = access(f"jwt:{ISSUER}|carol", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        assert await verifier.verify_token(made(keys[0], exp=10**400)) == the_last


def access(principal: str, expires_at: datetime) -> AccessToken:
    """What the SDK is to know of a caller, which is not the token."""
    return AccessToken(token="", client_id=principal, scopes=[], expires_at=int(expires_at.timestamp()))


async def test_keys_are_asked_for_seldom_and_outlive_their_issuers_absence(clock: FakeClock, keys: Keys) -> None:
    issuer = Issuer(keys[0])
    async with issuer.serving() as url:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))
        for _ in range(20):
            assert await verifier.verify_token(made(keys[0])) is not None
            assert await verifier.verify_token(made(keys[0], kid="unknown")) is None
        assert issuer.asked == 1

        await clock.advance(11)
        assert await verifier.verify_token(made(keys[0], kid="unknown")) is None
        assert issuer.asked == 2

        issuer.status = 500
        await clock.advance(301)
        assert await verifier.verify_token(made(keys[0])) is not None
        assert issuer.asked == 3


async def test_who_has_a_known_key_does_not_wait_for_an_issuer_that_hangs(clock: FakeClock, keys: Keys) -> None:
    issuer, known = Issuer(keys[0]), []
    async with issuer.serving() as url, anyio.create_task_group() as group:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))

        async def ask(kid: str = "k1") -> None:
            known.append(await verifier.verify_token(made(keys[0], kid=kid)) is not None)

        await ask()
        issuer.answers = anyio.Event()
        await clock.advance(301)
        group.start_soon(ask)
        await eventually(lambda: issuer.asked == 2)
        with anyio.fail_after(PATIENCE_SECONDS):
            await ask()
        assert known == [True, True]
        await clock.advance(1)
        await eventually(lambda: known == [True, True, True])

        group.start_soon(ask, "unknown")
        await eventually(lambda: issuer.asked == 3)
        with anyio.fail_after(PATIENCE_SECONDS):
            await ask()
        assert known == [True] * 4
        await clock.advance(5)
        await eventually(lambda: known == [*[True] * 4, False])
        issuer.answers.set()


@pytest.mark.parametrize("left", [[], [{"kty": "RSA", "kid": "k1", "n": 5, "e": "AQAB"}, {"kid": []}, "no key"]])
async def test_a_key_its_issuer_took_back_is_good_no_longer(clock: FakeClock, keys: Keys, left: list[Any]) -> None:
    issuer = Issuer(keys[0])
    async with issuer.serving() as url:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))
        assert await verifier.verify_token(made(keys[0])) is not None
        issuer.keys = left
        await clock.advance(301)
        assert await verifier.verify_token(made(keys[0])) is None


async def test_of_a_private_key_that_an_issuer_shows_only_the_public_parts_are_looked_at(
    clock: FakeClock, keys: Keys
) -> None:
    issuer = Issuer(keys[0])
    # Such parts belong to no key; to find that out takes half a second for each, in which nothing else runs.
    issuer.keys = [{**issuer.keys[0], **dict.fromkeys(("d", "p", "q", "dp", "dq", "qi"), "AQAB")}]
    async with issuer.serving() as url:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))
        assert await verifier.verify_token(made(keys[0])) is not None


async def test_keys_are_trusted_for_a_day_without_their_issuers_word(
    clock: FakeClock, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="sora2_mcp")
    issuer = Issuer(keys[0])
    async with issuer.serving() as url:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))
        assert await verifier.verify_token(made(keys[0])) is not None
        issuer.status = 500
        for _ in range(24):
            await clock.advance(3600)
            assert await verifier.verify_token(made(keys[0])) is not None
        await clock.advance(11)
        assert await verifier.verify_token(made(keys[0])) is None
        issuer.status = 200
        await clock.advance(11)
        assert await verifier.verify_token(made(keys[0])) is not None
    assert [record.levelname for record in caplog.records if record.name.startswith("sora2_mcp")] == ["WARNING", "INFO"]


ODD_ANSWERS = {
    "broken off": HEAD + b'Content-Length: 500\r\n\r\n{"keys": [',
    "nested": HEAD + b"\r\n" + b"[" * 100_000,
    "no JSON": HEAD + b"\r\n\xff\xfe\xfd",
    "no set": HEAD + b"\r\n[]",
    "no HTTP": b"220 mail.example\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
async def test_whatever_an_issuer_answers_a_token_is_refused_and_nothing_breaks(
    clock: FakeClock, keys: Keys, answer: bytes
) -> None:
    async def reset(stream: SocketStream) -> None:
        await stream.send(answer)
        raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - no Django
        if answer.endswith(b"["):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with answering(reset) as url:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))
        assert await verifier.verify_token(made(keys[0])) is None


async def test_a_set_of_keys_is_taken_in_up_to_a_limit_and_from_its_address_only(
    clock: FakeClock, keys: Keys, tmp_path: Path
) -> None:
    body = json.dumps({"keys": Issuer(keys[0]).keys}).encode()
    (tmp_path / "keys").write_bytes(body)

    async def is_taken(answer: bytes) -> bool:
        async def send(stream: SocketStream) -> None:
            with suppress(anyio.BrokenResourceError):
                await stream.send(answer)

        async with answering(send) as url:
            verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))
            return await verifier.verify_token(made(keys[0])) is not None

    assert await is_taken(HEAD + b"\r\n" + body.ljust(BODY_LIMIT_BYTES))
    assert not await is_taken(HEAD + b"\r\n" + body.ljust(BODY_LIMIT_BYTES + 1))
    async with Issuer(keys[0]).serving() as elsewhere:
        assert not await is_taken(f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\n\r\n".encode())
    files = IssuerKeys((tmp_path / "keys").as_uri(), clock)
    assert await files.key("k1", "RS256") is None


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", HEAD + b"\r\n"], ids=["head", "body"])
async def test_an_answer_that_drips_is_not_waited_for(clock: FakeClock, keys: Keys, head: bytes) -> None:
    begun, outcome = anyio.Event(), []

    async def drip(stream: SocketStream) -> None:
        await stream.send(head)
        begun.set()
        with suppress(anyio.BrokenResourceError):
            while True:
                await stream.send(b" ")
                await anyio.sleep(0.05)

    async with answering(drip) as url, anyio.create_task_group() as group:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))

        async def ask() -> None:
            outcome.append(await verifier.verify_token(made(keys[0])))

        group.start_soon(ask)
        with anyio.fail_after(PATIENCE_SECONDS):
            await begun.wait()
            await clock.advance(4.9)
            assert outcome == []
            await clock.advance(0.1)
            assert outcome == [None]


@asynccontextmanager
async def served_with_jwts(tmp_path: Path, url: str) -> AsyncIterator[tuple[str, FakeClock]]:
    clock = FakeClock(SystemClock().now())
    oauth = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": url}
    runtime = Runtime(settings_in(tmp_path, api_key="", auth_tokens=TOKENS, **oauth), clock=clock)
    async with listening(web_app(build_server(runtime), runtime, opens_runtime=True)) as base:
        yield base, clock


LISTEN = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "subscriptions/listen",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}


@pytest.mark.parametrize("kind", ["GET /mcp", "GET /sse", "POST /mcp"])
async def test_a_stream_ends_when_its_token_expires(tmp_path: Path, keys: Keys, kind: str) -> None:
    method, path = kind.split()
    async with Issuer(keys[0]).serving() as url, served_with_jwts(tmp_path, url) as (base, clock):
        known = {"authorization": f"Bearer {made(keys[0], exp=clock.now() + timedelta(seconds=60))}"}
        async with client_of(base) as http:
            headers, content = {**MCP, **known}, None
            if kind == "GET /mcp":
                hello = await http.post("/mcp", json=HELLO, headers=headers)
                headers |= {"mcp-session-id": hello.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
            elif method == "POST":
                headers, content = {**headers, **MODERN}, json.dumps(LISTEN)
            async with http.stream(method, path, headers=headers, content=content) as response:
                assert response.status_code == 200
                ended = anyio.Event()

                async def read() -> None:
                    # A stream that is broken off, not ended, raises here.
                    async for _ in response.aiter_bytes():
                        pass
                    ended.set()

                async with anyio.create_task_group() as group:
                    group.start_soon(read)
                    await clock.advance(88)
                    assert not ended.is_set()
                    await clock.advance(3)
                    with anyio.fail_after(PATIENCE_SECONDS):
                        await ended.wait()


async def test_a_stream_of_a_token_of_the_settings_does_not_end(tmp_path: Path, keys: Keys) -> None:
    headers = {"authorization": f"Bearer {ANN}"}
    async with (
        Issuer(keys[0]).serving() as url,
        served_with_jwts(tmp_path, url) as (base, clock),
        client_of(base) as http,
        http.stream("GET", "/sse", headers=headers) as response,
    ):
        lines = response.aiter_lines()
        messages = [await anext(lines) for _ in range(3)][1].removeprefix("data: ")
        await clock.advance(10_000_000)
        assert (await http.post(messages, json=HELLO, headers=headers)).status_code == 202
        assert await anext(lines) == "event: message"


async def test_what_has_no_answer_yet_when_its_token_expires_is_refused(tmp_path: Path, keys: Keys) -> None:
    clock, begun = FakeClock(SystemClock().now()), anyio.Event()

    async def silent(_: Scope, __: Receive, ___: Send) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with Issuer(keys[0]).serving() as url, anyio.create_task_group() as group:
        oauth = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": url}
        settings = settings_in(tmp_path, **oauth)
        verifier = token_verifier(settings, clock)
        assert verifier is not None
        app = authenticated(silent, verifier, settings, clock)
        async with NETWORK.serving(app) as base, client_on_network(base) as http:
            token = made(keys[0], exp=clock.now() + timedelta(seconds=60))
            statuses = []

            async def call() -> None:
                statuses.append(await status_of(http, authorization=f"Bearer {token}"))

            group.start_soon(call)
            with anyio.fail_after(PATIENCE_SECONDS):
                await begun.wait()
            await clock.advance(91)
            await eventually(lambda: statuses == [401])
