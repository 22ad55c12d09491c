"""Who may come in over HTTP, over real sockets: names, pages, tokens, bodies."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from sora2_mcp.clock import SystemClock
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.access import access_of
from sora2_mcp.server.app import build_server
from sora2_mcp.server.web import create_app, web_app
from tests.servers import settings_in
from tests.web import listening, served, tokens_of

pytestmark = pytest.mark.anyio

ANN, BOB = "ann-0123456789abcdef", "bob-0123456789abcdef"
TOKENS = f"ann:{ANN},bob:{BOB}"
ISSUER, AUDIENCE = "https://id.example/realm", "https://sora.example/mcp"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
MCP = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
ROUTES = [
    ("POST", "/mcp"),
    ("POST", "/mcp/"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("GET", "/sse"),
    ("POST", "/messages/?session_id=1"),
]


async def status_of(base: str, method: str = "POST", path: str = "/mcp", **headers: str) -> int:
    """The status of a request as it comes; streams are not waited for."""
    given = {**MCP, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx2.AsyncClient(timeout=20, trust_env=False) as http:
        content = json.dumps(HELLO) if method == "POST" else None
        async with http.stream(method, f"{base}{path}", headers=given, content=content) as response:
            return response.status_code


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer nobodys-0123456789", f"Basic {ANN}", f"Bearer {ANN}x", f"Bearer x{ANN}", ANN],
)
async def test_without_a_token_that_is_known_no_route_lets_anybody_in(
    tmp_path: Path, method: str, path: str, authorization: str
) -> None:
    async with served(settings_in(tmp_path, auth_tokens=TOKENS)) as base, httpx2.AsyncClient(trust_env=False) as http:
        headers = {"authorization": authorization} if authorization else {}
        response = await http.request(method, f"{base}{path}", headers=headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert ANN not in response.text


async def test_a_known_token_comes_in_whatever_the_case_of_its_scheme(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path, auth_tokens=TOKENS)) as base:
        assert await status_of(base, authorization=f"Bearer {ANN}") == 200
        assert await status_of(base, authorization=f"bearer  {BOB}") == 200


async def test_what_is_wrong_is_told_by_its_status(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path, auth_tokens=TOKENS)) as base:
        known = {"authorization": f"Bearer {ANN}"}
        async with httpx2.AsyncClient(base_url=base, trust_env=False) as http:
            too_large = await http.post("/mcp", content=b"x" * 1_100_000, headers={**MCP, **known})
            streamed = await http.post("/mcp", content=_endless(), headers={**MCP, **known})

        assert await status_of(base) == 401
        assert await status_of(base, authorization="Bearer wrong-0123456789abcdef") == 401
        assert await status_of(base, host="evil.example", **known) == 421
        assert await status_of(base, origin="https://evil.example", **known) == 403
        assert await status_of(base, origin="null", **known) == 403
        assert (too_large.status_code, streamed.status_code) == (413, 413)


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(40):
        yield b"x" * 50_000


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "evil@127.0.0.1", "", "127.0.0.1:x"]
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_name_that_is_not_this_machines_is_not_served_on_any_route(
    tmp_path: Path, method: str, path: str, host: str
) -> None:
    async with served(settings_in(tmp_path)) as base:
        assert await raw_status(base, f"{method} {path} HTTP/1.1", f"Host: {host}") == 421


async def test_without_a_host_or_with_two_nothing_is_served(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as base:
        assert await raw_status(base, "POST /mcp HTTP/1.1") in (400, 421)
        assert await raw_status(base, "POST /mcp HTTP/1.1", "Host: localhost", "Host: evil.example") in (400, 421)


async def raw_status(base: str, *lines: str) -> int:
    """The status of a request written by hand, as no client library would."""
    host, _, port = base.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        head = "\r\n".join([*lines, "Content-Length: 0", "Connection: close"])
        await stream.send(f"{head}\r\n\r\n".encode())
        return int((await stream.receive()).split()[1])


@pytest.mark.parametrize(
    "header",
    [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
    ],
)
async def test_without_tokens_a_proxy_opens_no_door(tmp_path: Path, header: str) -> None:
    async with served(settings_in(tmp_path)) as base:
        assert await status_of(base) == 200
        assert await status_of(base, **{header: "203.0.113.7"}) == 421
    async with served(settings_in(tmp_path, auth_tokens=TOKENS)) as base:
        assert await status_of(base, authorization=f"Bearer {ANN}", **{header: "203.0.113.7"}) == 200


async def test_without_tokens_what_only_a_proxy_says_or_another_machine_comes_in_to_nothing(tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path))
    async with listening(app) as base:
        assert await raw_status(base, "POST /mcp HTTP/1.0", f"Host: {base.removeprefix('http://')}") == 421
        assert await raw_status(base, "POST /mcp HTTP/1.1", f"Host: {base.removeprefix('http://')}") == 400

    async def from_there(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": (client, 1), "server": (server, 80)}, receive, send)

    for client, server in (("192.0.2.7", "127.0.0.1"), ("127.0.0.1", "192.0.2.1")):  # noqa: B007 - from_there's
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(from_there), base_url="http://localhost") as http:
            assert (await http.post("/mcp")).status_code == 421


async def test_names_and_pages_of_the_settings_are_served_with_tokens(tmp_path: Path) -> None:
    allowed = {"allowed_hosts": "sora.example,other.example:8443", "allowed_origins": "https://chat.example"}
    async with served(settings_in(tmp_path, auth_tokens=TOKENS, **allowed)) as base:
        ask = partial(status_of, base, authorization=f"Bearer {ANN}")
        assert await ask(host="sora.example") == 200
        assert await ask(host="SORA.example:8443") == 200
        assert await ask(host="other.example:8443") == 200
        assert await ask(host="other.example") == 421
        assert await ask(origin="https://chat.example") == 200
        assert await ask(origin="http://localhost:6274") == 200
        assert await ask(origin="http://chat.example") == 403
        assert await ask(origin="https://chat.example.evil.example") == 403


async def test_a_page_that_may_call_gets_its_question_beforehand_answered(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, auth_tokens=TOKENS, allowed_origins="https://chat.example")
    asked = {"origin": "https://chat.example", "access-control-request-method": "POST"}
    async with served(settings) as base, httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        for path in ("/mcp", "/sse", "/messages/"):
            answer = await http.options(path, headers={**asked, "access-control-request-headers": "authorization"})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "https://chat.example"
        evil = await http.options("/mcp", headers={**asked, "origin": "https://evil.example"})
        assert evil.status_code == 403


def test_names_of_other_machines_need_tokens(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, allowed_hosts="sora.example")
    with pytest.raises(ConfigurationError, match=r"SORA2_AUTH_TOKENS=name:token \(at least 16 characters\)"):
        create_app(settings)


async def test_a_legacy_session_that_is_silent_too_long_is_closed(tmp_path: Path) -> None:
    runtime = Runtime(settings_in(tmp_path))
    app = web_app(build_server(runtime), runtime, opens_runtime=True, session_idle_seconds=0.3)
    async with listening(app) as base, httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        hello = await http.post("/mcp", json=HELLO, headers=MCP)
        session = {"mcp-session-id": hello.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        assert (await http.post("/mcp", json=ping, headers={**MCP, **session})).status_code == 200
        await anyio.sleep(0.6)
        assert (await http.post("/mcp", json=ping, headers={**MCP, **session})).status_code == 404


async def test_no_answer_sends_anybody_elsewhere(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as base:
        assert await status_of(base, path="/mcp/") == 200
        for path in ("/healthz/", "/messages", "/nothing/", "//mcp", "/mcp//"):
            assert await status_of(base, "GET", path, host="evil.example") in (404, 421)


async def test_health_is_told_to_anybody_and_holds_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, auth_tokens=TOKENS)
    async with served(settings) as base, httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        alive, ready = await http.get("/healthz", headers={"host": "10.1.2.3"}), await http.get("/readyz")
        assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
        assert (ready.status_code, ready.json()) == (
            200,
            {"status": "ready", "store": "ok", "migrations": "done", "service_last_contact_at": None},
        )
        assert (await http.request("GET", "/healthz", content=b"x" * 2000)).status_code == 413
        assert (await http.post("/healthz")).status_code == 405


async def test_readiness_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    broken = f"sqlite:///{tmp_path}/file/tasks.db"
    for values, problem in (({"api_key": ""}, "SORA2_API_KEY"), ({"database_url": broken}, "the task store")):
        settings = settings_in(tmp_path, **values)
        async with served(settings) as base, httpx2.AsyncClient(base_url=base, trust_env=False) as http:
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "problem": problem})
            assert (await http.get("/healthz")).status_code == 200


async def test_it_can_be_mounted_in_another_application(tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path, auth_tokens=TOKENS))
    outer = Starlette(routes=[Mount("/video", app)], lifespan=lambda _: app.router.lifespan_context(app))  # type: ignore[arg-type]
    async with listening(outer) as base:
        assert await status_of(base, path="/video/mcp") == 401
        assert await status_of(base, path="/video/mcp", authorization=f"Bearer {ANN}") == 200
        assert await status_of(base, "GET", "/video/healthz") == 200
        async with httpx2.AsyncClient(trust_env=False) as http:
            headers = {"authorization": f"Bearer {ANN}"}
            async with http.stream("GET", f"{base}/video/sse", headers=headers) as response:
                lines = response.aiter_lines()
                assert [await anext(lines) for _ in range(2)][1].startswith("data: /video/messages/?session_id=")


async def test_clients_are_told_the_issuer_where_there_is_one(tmp_path: Path) -> None:
    oauth = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": "https://id.example/keys"}
    known = "/.well-known/oauth-protected-resource/mcp"
    with_issuer = settings_in(tmp_path, public_url="https://sora.example", **oauth)
    async with served(with_issuer) as base, httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        refused, told = await http.post("/mcp"), await http.get(known)
    assert refused.headers["www-authenticate"] == f'Bearer resource_metadata="https://sora.example{known}"'
    assert told.json()["authorization_servers"] == [ISSUER]
    assert told.json()["resource"] == "https://sora.example/mcp"

    without = settings_in(tmp_path, public_url="https://sora.example", auth_tokens=TOKENS)
    async with served(without) as base, httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        assert (await http.get(known)).status_code == 404


@pytest.mark.parametrize("missing", ["oauth_issuer", "oauth_audience", "oauth_jwks_url"])
def test_an_incomplete_issuer_is_named(tmp_path: Path, missing: str) -> None:
    whole = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": "https://id.example/keys"}
    settings = settings_in(tmp_path, **{name: value for name, value in whole.items() if name != missing})
    with pytest.raises(ConfigurationError, match=rf"SORA2_{missing.upper()} is not set"):
        access_of(settings, SystemClock())


async def test_two_authorizations_are_none(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path, auth_tokens=TOKENS)) as base:
        request = ("POST /mcp HTTP/1.1", "Host: localhost", f"Authorization: Bearer {ANN}")
        assert await raw_status(base, *request) != 401
        for second in (ANN, BOB, "wrong-0123456789abcdef"):
            assert await raw_status(base, *request, f"Authorization: Bearer {second}") == 401


async def test_no_token_is_ever_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with served(settings_in(tmp_path, auth_tokens=TOKENS)) as base:
        await status_of(base, authorization=f"Bearer {ANN}")
        await status_of(base, authorization="Bearer wrong-0123456789abcdef")

    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not [line for line in ours if ANN in line or "wrong-0123456789abcdef" in line]
    assert tokens_of(settings_in(tmp_path, auth_tokens=TOKENS)) == [ANN, BOB]
