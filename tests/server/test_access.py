"""Who may come in over HTTP: names, pages, tokens, bodies."""

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
from sora2_mcp.server.app import build_server
from sora2_mcp.server.web import create_app
from sora2_mcp.server.web.app import web_app
from sora2_mcp.server.web.auth import token_verifier
from tests.clocks import eventually
from tests.network import NETWORK
from tests.server.issuers import AUDIENCE, ISSUER
from tests.servers import settings_in
from tests.web import client_of, client_on_network, in_process, listening, served

pytestmark = pytest.mark.anyio

ANN, BOB = "ann-0123456789abcdef", "bob-0123456789abcdef"
TOKENS = f"ann:{ANN},bob:{BOB}"
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


async def status_of(http: httpx2.AsyncClient, method: str = "POST", path: str = "/mcp", **headers: str) -> int:
    """The status of a request as it comes."""
    given = {**MCP, **{name.replace("_", "-"): value for name, value in headers.items()}}
    content = json.dumps(HELLO) if method == "POST" else None
    return (await http.request(method, path, headers=given, content=content)).status_code


@pytest.fixture(scope="module")
async def with_tokens(shared_folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server that has tokens."""
    async with in_process(settings_in(shared_folder, auth_tokens=TOKENS)) as http:
        yield http


@pytest.fixture(scope="module")
async def without_tokens(shared_folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server for this machine only."""
    async with in_process(settings_in(shared_folder)) as http:
        yield http


@pytest.fixture(scope="module")
async def address_with_tokens(shared_folder: Path) -> AsyncIterator[str]:
    """Where a server that has tokens listens, for requests that no client library would send."""
    async with served(settings_in(shared_folder, auth_tokens=TOKENS)) as base:
        yield base


@pytest.fixture(scope="module")
async def address_without_tokens(shared_folder: Path) -> AsyncIterator[str]:
    """Where a server for this machine only listens."""
    async with served(settings_in(shared_folder)) as base:
        yield base


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer nobodys-0123456789", f"Basic {ANN}", f"Bearer {ANN}x", f"Bearer x{ANN}", ANN],
)
async def test_without_a_token_that_is_known_no_route_lets_anybody_in(
    with_tokens: httpx2.AsyncClient, method: str, path: str, authorization: str
) -> None:
    response = await with_tokens.request(
        method, path, headers={"authorization": authorization} if authorization else {}
    )

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert ANN not in response.text


async def test_a_known_token_comes_in_whatever_the_case_of_its_scheme(with_tokens: httpx2.AsyncClient) -> None:
    assert await status_of(with_tokens, authorization=f"Bearer {ANN}") == 200
    assert await status_of(with_tokens, authorization=f"bearer  {BOB}") == 200


async def test_what_is_wrong_is_told_by_its_status(with_tokens: httpx2.AsyncClient, address_with_tokens: str) -> None:
    known = {"authorization": f"Bearer {ANN}"}
    async with client_of(address_with_tokens, headers={**MCP, **known}) as http:
        too_large = await http.post("/mcp", content=b"x" * 1_100_000)
        streamed = await http.post("/mcp", content=_endless())

    assert await status_of(with_tokens) == 401
    assert await status_of(with_tokens, authorization="Bearer wrong-0123456789abcdef") == 401
    assert await status_of(with_tokens, host="evil.example", **known) == 421
    assert await status_of(with_tokens, origin="https://evil.example", **known) == 403
    assert await status_of(with_tokens, origin="null", **known) == 403
    assert (too_large.status_code, streamed.status_code) == (413, 413)


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(40):
        yield b"x" * 50_000


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "evil@127.0.0.1", "", "127.0.0.1:x"]
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_name_that_is_not_this_machines_is_not_served_on_any_route(
    address_without_tokens: str, method: str, path: str, host: str
) -> None:
    assert await raw_status(address_without_tokens, f"{method} {path} HTTP/1.1", f"Host: {host}") == 421


async def test_without_a_host_or_with_two_nothing_is_served(address_without_tokens: str) -> None:
    two = ("Host: localhost", "Host: evil.example")
    assert await raw_status(address_without_tokens, "POST /mcp HTTP/1.1") in (400, 421)
    assert await raw_status(address_without_tokens, "POST /mcp HTTP/1.1", *two) in (400, 421)


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
async def test_without_tokens_a_proxy_opens_no_door(
    without_tokens: httpx2.AsyncClient, with_tokens: httpx2.AsyncClient, header: str
) -> None:
    assert await status_of(without_tokens) == 200
    assert await status_of(without_tokens, **{header: "203.0.113.7"}) == 421
    assert await status_of(with_tokens, authorization=f"Bearer {ANN}", **{header: "203.0.113.7"}) == 200


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
    async with in_process(settings_in(tmp_path, auth_tokens=TOKENS, **allowed)) as http:
        ask = partial(status_of, http, authorization=f"Bearer {ANN}")
        assert await ask(host="sora.example") == 200
        assert await ask(host="SORA.example:8443") == 200
        assert await ask(host="other.example:8443") == 200
        assert await ask(host="other.example") == 421
        assert await ask(origin="https://chat.example") == 200
        assert await ask(origin="http://localhost:6274") == 200
        assert await ask(origin="http://chat.example") == 403
        assert await ask(origin="https://chat.example.evil.example") == 403


async def test_the_servers_own_page_may_call_under_each_name_the_server_has(tmp_path: Path) -> None:
    async with in_process(settings_in(tmp_path, auth_tokens=TOKENS, allowed_hosts="sora.example")) as http:
        ask = partial(status_of, http, authorization=f"Bearer {ANN}")
        assert await ask(host="sora.example", origin="https://sora.example") == 200
        assert await ask(host="sora.example:8443", origin="http://sora.example:8443") == 200
        assert await ask(host="sora.example", origin="https://sora.example:8443") == 403
        assert await ask(host="sora.example", origin="ftp://sora.example") == 403
        assert await ask(host="sora.example", origin="https://evil.example") == 403
        # A page that has its name lead here is not served at all.
        assert await ask(host="evil.example", origin="https://evil.example") == 421


async def test_a_page_that_may_call_gets_its_question_beforehand_answered(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, auth_tokens=TOKENS, allowed_origins="https://chat.example")
    asked = {"origin": "https://chat.example", "access-control-request-method": "POST"}
    async with in_process(settings) as http:
        for path in ("/mcp", "/sse", "/messages/"):
            answer = await http.options(path, headers={**asked, "access-control-request-headers": "authorization"})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "https://chat.example"
        evil = await http.options("/mcp", headers={**asked, "origin": "https://evil.example"})
        assert evil.status_code == 403


@pytest.mark.parametrize(
    "origin",
    [
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://0d2a3f1c-5d9e-4c0f-8a55-0e8f3b1f7e11",
        "tauri://localhost",
        "app://obsidian.md",
        "vscode-webview://1n0qpu1b2cs5q",
        "https://chat.example",
    ],
)
async def test_a_page_of_any_scheme_may_call_by_its_exact_name(tmp_path: Path, origin: str) -> None:
    settings = settings_in(tmp_path, auth_tokens=TOKENS, allowed_origins=origin)
    async with in_process(settings) as http:
        ask = partial(status_of, http, authorization=f"Bearer {ANN}")
        preflight = {"origin": origin, "access-control-request-method": "POST"}
        answer = await http.options("/mcp", headers=preflight)

        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        assert await ask(origin=origin) == 200
        for other in (f"{origin}.evil.example", f"{origin}:1", f"{origin}/", f"x{origin}", origin.upper(), "null"):
            assert await ask(origin=other) == 403


def test_names_of_other_machines_need_tokens(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, allowed_hosts="sora.example")
    with pytest.raises(ConfigurationError, match=r"SORA2_AUTH_TOKENS=name:token \(at least 16 characters\)"):
        create_app(settings)


async def test_a_legacy_session_that_is_silent_too_long_is_closed(
    tmp_path: Path, without_tokens: httpx2.AsyncClient
) -> None:
    runtime = Runtime(settings_in(tmp_path))
    hasty = web_app(build_server(runtime), runtime, opens_runtime=True, session_idle_seconds=0.05)

    async def opened(http: httpx2.AsyncClient) -> dict[str, str]:
        """The headers of a new session's requests."""
        hello = await http.post("/mcp", json=HELLO, headers=MCP)
        return {**MCP, "mcp-session-id": hello.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}

    async def ping(http: httpx2.AsyncClient, session: dict[str, str]) -> int:
        return (
            await http.post("/mcp", json={"jsonrpc": "2.0", "id": 2, "method": "ping"}, headers=session)
        ).status_code

    assert await ping(without_tokens, await opened(without_tokens)) == 200
    async with (
        NETWORK.serving(hasty) as base,
        hasty.router.lifespan_context(hasty),
        client_on_network(base) as http,
    ):
        session = await opened(http)

        async def closed() -> bool:
            # A ping before its end has the session last longer.
            await anyio.sleep(0.2)
            return await ping(http, session) == 404

        await eventually(closed)


async def test_no_answer_sends_anybody_elsewhere(without_tokens: httpx2.AsyncClient) -> None:
    assert await status_of(without_tokens, path="/mcp/") == 200
    for path in ("/healthz/", "/messages", "/nothing/", "/mcp//"):
        assert await status_of(without_tokens, "GET", path, host="evil.example") in (404, 421)


async def test_not_even_a_path_of_two_slashes_sends_anybody_elsewhere(address_without_tokens: str) -> None:
    assert await raw_status(address_without_tokens, "GET //mcp HTTP/1.1", "Host: evil.example") in (404, 421)


async def test_health_is_told_to_anybody_and_holds_nothing(with_tokens: httpx2.AsyncClient) -> None:
    alive, ready = await with_tokens.get("/healthz", headers={"host": "10.1.2.3"}), await with_tokens.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "store": "ok", "migrations": "done", "service_last_contact_at": None},
    )
    assert (await with_tokens.request("GET", "/healthz", content=b"x" * 2000)).status_code == 413
    assert (await with_tokens.post("/healthz")).status_code == 405


async def test_readiness_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    broken = f"sqlite:///{tmp_path}/file/tasks.db"
    for values, problem in (({"api_key": ""}, "SORA2_API_KEY"), ({"database_url": broken}, "the task store")):
        settings = settings_in(tmp_path, **values)
        async with in_process(settings) as http:
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "problem": problem})
            assert (await http.get("/healthz")).status_code == 200


async def test_it_can_be_mounted_in_another_application(tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path, auth_tokens=TOKENS))
    outer = Starlette(routes=[Mount("/video", app)], lifespan=lambda _: app.router.lifespan_context(app))  # type: ignore[arg-type]
    async with listening(outer) as base, client_of(base) as http:
        assert await status_of(http, path="/video/mcp") == 401
        assert await status_of(http, path="/video/mcp", authorization=f"Bearer {ANN}") == 200
        assert await status_of(http, "GET", "/video/healthz") == 200
        async with http.stream("GET", "/video/sse", headers={"authorization": f"Bearer {ANN}"}) as response:
            lines = response.aiter_lines()
            assert [await anext(lines) for _ in range(2)][1].startswith("data: /video/messages/?session_id=")


async def test_clients_are_told_the_issuer_where_there_is_one(tmp_path: Path) -> None:
    oauth = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": "https://id.example/keys"}
    known = "/.well-known/oauth-protected-resource/mcp"
    with_issuer = settings_in(tmp_path, public_url="https://sora.example", **oauth)
    async with in_process(with_issuer) as http:
        refused, told = await http.post("/mcp"), await http.get(known)
    assert refused.headers["www-authenticate"] == f'Bearer resource_metadata="https://sora.example{known}"'
    assert told.json()["authorization_servers"] == [ISSUER]
    assert told.json()["resource"] == "https://sora.example/mcp"

    without = settings_in(tmp_path, public_url="https://sora.example", auth_tokens=TOKENS)
    async with in_process(without) as http:
        assert (await http.get(known)).status_code == 404


@pytest.mark.parametrize("missing", ["oauth_issuer", "oauth_audience", "oauth_jwks_url"])
def test_an_incomplete_issuer_is_named(tmp_path: Path, missing: str) -> None:
    whole = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_url": "https://id.example/keys"}
    settings = settings_in(tmp_path, **{name: value for name, value in whole.items() if name != missing})
    with pytest.raises(ConfigurationError, match=rf"SORA2_{missing.upper()} is not set"):
        token_verifier(settings, SystemClock())


async def test_two_authorizations_are_none(address_with_tokens: str) -> None:
    request = ("POST /mcp HTTP/1.1", "Host: localhost", f"Authorization: Bearer {ANN}")
    assert await raw_status(address_with_tokens, *request) != 401
    for second in (ANN, BOB, "wrong-0123456789abcdef"):
        assert await raw_status(address_with_tokens, *request, f"Authorization: Bearer {second}") == 401


async def test_no_token_is_ever_logged(with_tokens: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    caplog.set_level("DEBUG", logger="mcp")
    await status_of(with_tokens, authorization=f"Bearer {ANN}")
    await status_of(with_tokens, authorization="Bearer wrong-0123456789abcdef")

    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert ours
    assert not [line for line in ours if ANN in line or "wrong-0123456789abcdef" in line]


def test_the_settings_tell_their_tokens_only_to_who_asks_for_them(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, auth_tokens=TOKENS)
    assert [token for _, token in settings.tokens] == [ANN, BOB]
    assert ANN not in repr(settings)
