"""``sora2-mcp client-config``: the entry that a host needs, and what people have to know about it."""
