"""An MCP server that makes videos with Sora2API."""

__version__ = "0.1.0"
