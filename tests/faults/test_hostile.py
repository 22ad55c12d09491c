"""Whatever strangers send, nobody gets in and nothing breaks: raw HTTP, names and pages, messages, tokens."""

import http.client
import itertools
import json
import re
import socket
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from starlette.types import Message, Receive, Scope, Send

from sora2_mcp.server.messages import checked_message
from sora2_mcp.server.web.gate import HostGuard
from tests.clocks import PATIENCE_SECONDS
from tests.e2e.processes import Process, StdioHost
from tests.faults import hostile
from tests.faults.hostile import FOREIGN_HOSTS, FOREIGN_ORIGINS, HOSTS, ORIGINS, Forger, asked, messages
from tests.server.issuers import AUDIENCE, ISSUER, Issuer
from tests.server.test_access import HELLO, MCP, status_of
from tests.servers import settings_in
from tests.web import in_process

REFUSED = range(400, 500)


class Target:
    """A server process for this machine only, and where it listens."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.base = process.logged(r"serving MCP at (http://127\.0\.0\.1:\d+)/mcp").group(1)
        self.port = int(self.base.rpartition(":")[2])

    def is_well(self) -> bool:
        """Whether it answers, and has written of no fault."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        told = (answer.status, json.loads(answer.read()))
        connection.close()
        log = self._process.stderr
        return told == (200, {"status": "ok"}) and "Traceback" not in log and "ERROR" not in log

    def statuses(self, sent: bytes, *, is_all: bool = False) -> list[int]:
        """Those of all answers to what was sent, up to the end of the connection; ``is_all``: our half ends first."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as connection:
            received = b""
            try:
                connection.sendall(sent)
                if is_all:
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65_536):
                    received += piece
            except ConnectionError:
                pass
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("target")
    with Process(folder, "serve", "--transport", "streamable-http", "--port", "0", "--simulate") as process:
        yield Target(process)


@pytest.mark.parametrize(("sent", "statuses"), hostile.RAW.values(), ids=hostile.RAW)
def test_no_request_however_odd_is_taken_for_another_or_breaks_anything(
    target: Target, sent: bytes, statuses: list[int]
) -> None:
    assert target.statuses(sent) == statuses
    assert target.is_well()


@pytest.mark.parametrize("sent", hostile.LONG.values(), ids=hostile.LONG)
def test_what_has_no_end_is_not_read_to_its_end(target: Target, sent: bytes) -> None:
    # Who still sends when the connection ends may not come to see the answer.
    assert target.statuses(sent) in ([400], [])
    assert target.is_well()


@pytest.mark.parametrize("sent", hostile.CUT_OFF.values(), ids=hostile.CUT_OFF)
def test_what_breaks_off_ends_without_an_answer(target: Target, sent: bytes) -> None:
    assert target.statuses(sent, is_all=True) == []
    assert target.is_well()


def test_no_spelling_of_a_path_leads_anywhere_else(target: Target) -> None:
    for path in hostile.PATHS:
        [status] = target.statuses(asked(f"POST {path} HTTP/1.1", b"Content-Length: 0"))
        assert status in REFUSED, path
        assert target.is_well()


@pytest.mark.anyio
async def test_of_all_pairs_only_those_of_this_machine_and_of_the_settings_get_in() -> None:
    entered, told = [], []

    async def inside(scope: Scope, _: Receive, send: Send) -> None:
        entered.append(scope["pair"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    guard = HostGuard(
        inside, hosts=["sora.example", "other.example:8443"], origins=["https://chat.example"], own_only=False
    )
    pairs = [*itertools.product([*HOSTS, *FOREIGN_HOSTS], [*ORIGINS, *FOREIGN_ORIGINS])]
    for host, origin in pairs:
        given = [(b"host", host.encode()), *([] if origin is None else [(b"origin", origin.encode())])]
        scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": given, "pair": (host, origin)}
        await guard(scope, receive, send)

    assert entered == [*itertools.product(HOSTS, ORIGINS)]
    assert told == [200 if pair in entered else 403 if pair[0] in HOSTS else 421 for pair in pairs]


def id_of(message: dict[str, Any]) -> Any:
    """The id that an answer must have, None where there is none that an answer could have."""
    id = message.get("id")
    if isinstance(id, str):
        return id.encode(errors="replace").decode()
    return id if isinstance(id, int | float) and not isinstance(id, bool) and abs(id) < inf else None


def needs_answer(message: dict[str, Any], sent: bytes) -> bool:
    return "id" in message or checked_message(sent)[1] != ""


def _strictly_read(text: str) -> dict[str, Any]:
    # Python takes NaN for JSON; nobody else does.
    read: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in {text}"))
    return read


def outcomes(response: httpx2.Response) -> list[dict[str, Any]]:
    """The results and errors in a body or in a stream."""
    texts = re.findall(r"^data: (\{.*)$", response.text, re.MULTILINE) or [response.text or "{}"]
    return [found for found in map(_strictly_read, texts) if found.keys() & {"result", "error"}]


def mirrored(message: dict[str, Any]) -> dict[str, str]:
    """The headers that clients of 2026-07-28 repeat a message in."""
    params = message.get("params")
    said = {"mcp-method": message.get("method"), "mcp-name": params.get("name") if isinstance(params, dict) else None}
    return {name: text for name, text in said.items() if isinstance(text, str) and re.fullmatch(r"[!-~]{1,100}", text)}


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
def test_every_request_is_answered_over_http(target: Target, era: str) -> None:
    kinds: set[int | str] = set()
    with httpx2.Client(base_url=target.base, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        headers = {**MCP, "mcp-protocol-version": era}
        if is_legacy := era == "2025-11-25":
            headers["mcp-session-id"] = client.post("/mcp", json=HELLO, headers=MCP).headers["mcp-session-id"]
        for message, sent in messages(7, is_modern=not is_legacy):
            response = client.post(
                "/mcp", content=sent, headers={**headers, **({} if is_legacy else mirrored(message))}
            )
            given = outcomes(response)
            assert response.status_code in (200, 202, 400, 404), sent
            assert [repr(each.get("id")) for each in given] == [repr(id_of(message))] * needs_answer(message, sent), (
                sent
            )
            kinds.update(each["error"]["code"] if "error" in each else "result" for each in given)
    assert target.is_well()
    # They come as far as there is to come.
    assert kinds >= {"result", -32600, -32601, -32602}


def test_every_request_is_answered_over_stdio(tmp_path: Path) -> None:
    with Process(tmp_path, "serve", "--simulate") as process:
        host, stdin = StdioHost(process), process.popen.stdin
        host.ready()
        assert stdin is not None
        for message, sent in messages(8):
            stdin.write(sent + b"\n")
            stdin.flush()
            while needs_answer(message, sent):
                answer = host.read()
                if answer.keys() & {"result", "error"}:
                    assert repr(answer["id"]) == repr(id_of(message)), sent
                    break
        # Nothing was answered twice: this one's answer is the next.
        number = host.send("ping", {})
        assert host.read() == {"jsonrpc": "2.0", "id": number, "result": {}}
        assert "Traceback" not in process.stderr
        assert process.ended() == 0


@pytest.mark.anyio
async def test_no_forged_token_gets_in_nor_has_its_own_keys_fetched(tmp_path: Path) -> None:
    own, stranger = generate_private_key(65537, 2048), generate_private_key(65537, 2048)
    issuer, evil = Issuer(own), Issuer(stranger)
    async with issuer.serving() as url, evil.serving() as evil_url:
        oauth = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": url}
        async with in_process(settings_in(tmp_path, **oauth)) as http:
            forger = Forger(own, stranger, evil_url)
            for right in ({}, {"aud": ["https://other.example", AUDIENCE]}, {"nbf": 0}, {"exp": forger.later + 0.5}):
                assert await status_of(http, authorization=f"Bearer {forger.made(claims=right)}") == 200
            statuses = {token: await status_of(http, authorization=f"Bearer {token}") for token in forger.all()}
            assert len(statuses) > 200
            assert [token for token, status in statuses.items() if status != 401] == []
    assert evil.asked == 0
