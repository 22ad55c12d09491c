"""The few private names of the SDK that we need: a release that moves one fails here, by name."""

import inspect
from pathlib import Path

from mcp.server.lowlevel.server import Server
from mcp.server.mcpserver.server import MCPServer
from mcp.server.mcpserver.tools import ToolManager

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from tests.servers import settings_in


def test_the_sdk_still_has_the_private_names_we_use(tmp_path: Path) -> None:
    server = build_server(Runtime(settings_in(tmp_path)))

    assert isinstance(server._lowlevel_server, Server)
    assert isinstance(server._tool_manager, ToolManager)
    assert server._tool_manager.get_tool("generate_video") is not None


def test_the_sdk_still_calls_tools_through_the_method_we_override() -> None:
    assert list(inspect.signature(MCPServer.call_tool).parameters) == ["self", "name", "arguments", "context"]
    assert "self.call_tool(" in inspect.getsource(MCPServer._handle_call_tool)
    assert "self.get_prompt(" in inspect.getsource(MCPServer._handle_get_prompt)
    assert "self.list_resources(" in inspect.getsource(MCPServer._handle_list_resources)
