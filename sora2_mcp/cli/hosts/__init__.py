"""MCP hosts: where each keeps the servers it starts, in which form, and how one is put there."""
