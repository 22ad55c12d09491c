"""Legacy sessions and secrets where the application runs in whatever web server."""

import logging
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.web import create_app
from sora2_mcp.server.web.app import SESSIONS_EACH, web_app
from sora2_mcp.server.web.callbacks import hide_paths
from sora2_mcp.server.web.limits import Limits
from sora2_mcp.simulator.app import Simulator
from tests.network import simulated
from tests.servers import settings_in
from tests.web import client_of, in_process, listening

pytestmark = pytest.mark.anyio

TOKENS = "ann:ann-0123456789abcdef,bob:bob-0123456789abcdef"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
ACCEPT = {"accept": "application/json, text/event-stream"}


async def test_nobody_takes_all_sessions_there_are(tmp_path: Path) -> None:
    async with in_process(settings_in(tmp_path, auth_tokens=TOKENS)) as http:

        async def hello(name: str) -> httpx2.Response:
            headers = {**ACCEPT, "authorization": f"Bearer {name}-0123456789abcdef"}
            return await http.post("/mcp", json=HELLO, headers=headers)

        opened = [await hello("ann") for _ in range(SESSIONS_EACH)]
        assert {answer.status_code for answer in opened} == {200}
        assert (await hello("ann")).status_code == 503
        assert (await hello("bob")).status_code == 200

        session = {"mcp-session-id": opened[0].headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        known = {**ACCEPT, "authorization": "Bearer ann-0123456789abcdef", **session}
        await http.delete("/mcp", headers=known)
        assert (await hello("ann")).status_code == 200


async def test_one_callers_streams_leave_room_for_others(tmp_path: Path) -> None:
    runtime = simulated(settings_in(tmp_path, auth_tokens=TOKENS), Simulator())
    app = web_app(build_server(runtime), runtime, opens_runtime=True, limits=Limits(connections=16))
    headers = {name: {"authorization": f"Bearer {name}-0123456789abcdef"} for name in ("ann", "bob")}
    async with listening(app) as base, AsyncExitStack() as stack, client_of(base) as http:

        async def listens(name: str) -> int:
            streaming = http.stream("GET", "/sse", headers=headers[name])
            return (await stack.enter_async_context(streaming)).status_code

        assert [await listens("ann") for _ in range(14)] == [200] * 12 + [503] * 2
        assert (await http.post("/mcp", json=HELLO, headers={**ACCEPT, **headers["ann"]})).json() == {
            "error": "You have 12 requests and streams open; end some first."
        }
        assert [await listens("bob") for _ in range(4)] == [200] * 4


def test_an_access_log_never_holds_a_callbacks_secret(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("uvicorn.access")
    hide_paths(logger)
    hide_paths(logger)
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        logger.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "POST", "/video/callbacks/c2VjcmV0?x=1", "1.1", 200)

    assert caplog.messages == ['127.0.0.1:1 - "POST /video/callbacks/…?x=1 HTTP/1.1" 200']


def test_the_application_hides_them_by_itself(tmp_path: Path) -> None:
    logger = logging.getLogger("uvicorn.access")
    logger.filters.clear()
    create_app(settings_in(tmp_path))
    assert len(logger.filters) == 1


@pytest.mark.parametrize(
    ("public_url", "warned"), [("https://sora.example", True), ("http://127.0.0.1:8000", False), ("", False)]
)
def test_a_public_address_without_tokens_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, public_url: str, *, warned: bool
) -> None:
    runtime = Runtime(settings_in(tmp_path, public_url=public_url))
    web_app(build_server(runtime), runtime)
    assert ("pass on /callbacks/, /pictures/, /videos/ only" in caplog.text) is warned
