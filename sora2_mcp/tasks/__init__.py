"""What happens to a task over time; knows nothing of MCP."""
