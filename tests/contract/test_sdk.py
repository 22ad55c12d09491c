"""The few private names of the SDK that we need: a release that moves one fails here, by name."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from tests.servers import settings_in
from tests.telemetry.exported import exporting


@pytest.mark.anyio
async def test_a_session_still_shows_the_connection_that_outlives_its_requests(tmp_path: Path) -> None:
    runtime = Runtime(settings_in(tmp_path, api_key=""))
    server = build_server(runtime)
    seen: dict[str, Connection] = {}
    ended: list[str] = []

    async def note(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        seen[ctx.method] = ctx.session._connection
        return await call_next(ctx)

    server.middleware.append(note)
    async with runtime, Client(server, mode="legacy") as client:
        await client.list_tools()
        await client.list_prompts()
        seen["tools/list"].exit_stack.callback(ended.append, "ended")
        assert seen["tools/list"] is seen["prompts/list"]
        assert ended == []
    assert ended == ["ended"]


@pytest.mark.anyio
async def test_the_sdks_span_still_tells_an_errors_words() -> None:
    """What `server/middleware.py` keeps from it; when this fails, that can go."""

    async def refuse(*_: Any) -> Any:
        raise MCPError(INVALID_PARAMS, "what a client sent")

    with exporting() as exported:
        async with Client(Server("any", on_list_tools=refuse)) as client:
            with pytest.raises(MCPError):
                await client.list_tools()
        assert "what a client sent" in exported.everything()


def test_the_sdks_server_still_begins_with_one_middleware_its_span(tmp_path: Path) -> None:
    [span] = Server("any").middleware

    assert [isinstance(one, type(span)) for one in build_server(Runtime(settings_in(tmp_path))).middleware] == [
        *(False, False, True, False, False, False)
    ]


def test_a_session_still_has_an_owner_that_can_be_counted() -> None:
    manager = StreamableHTTPSessionManager(Server("any"))
    assert manager._session_owners == {}
    assert "self._session_owners[session_id] = requestor" in inspect.getsource(manager._admit_session)
