"""The few private names of the SDK that we need: a release that moves one fails here, by name."""

import inspect
from pathlib import Path

from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.connection import Connection
from mcp.server.lowlevel.server import Server
from mcp.server.runner import aclose_shielded
from mcp.server.session import ServerSession
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from tests.servers import settings_in


def test_a_session_still_shows_the_connection_that_outlives_its_requests() -> None:
    assert "self._connection = connection" in inspect.getsource(ServerSession.__init__)
    assert {"state", "exit_stack"} <= set(Connection.__annotations__)
    assert "connection.exit_stack.aclose()" in inspect.getsource(aclose_shielded)
    assert list(inspect.signature(Connection.send_resource_updated).parameters) == ["self", "uri", "meta"]
    assert list(inspect.signature(Connection.send_resource_list_changed).parameters) == ["self", "meta"]


def test_the_sdks_span_is_still_the_outermost_of_its_middleware_and_tells_an_errors_words(tmp_path: Path) -> None:
    server = build_server(Runtime(settings_in(tmp_path)))

    assert [isinstance(one, OpenTelemetryMiddleware) for one in server.middleware][:4] == [False, False, True, False]
    assert "span.set_status(StatusCode.ERROR, e.error.message)" in inspect.getsource(OpenTelemetryMiddleware.__call__)


def test_a_session_still_has_an_owner_that_can_be_counted() -> None:
    manager = StreamableHTTPSessionManager(Server("any"))
    assert manager._session_owners == {}
    assert "self._session_owners[session_id] = requestor" in inspect.getsource(manager._admit_session)
