"""The ASGI application: MCP over HTTP, callbacks, pictures and health."""

from sora2_mcp.server.web.app import create_app

__all__ = ["create_app"]
