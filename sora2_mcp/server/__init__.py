"""The MCP edge, and the only importer of ``mcp``."""
