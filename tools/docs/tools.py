"""The tools, from the published catalogue."""

import json
import re
from typing import Any

from tools.docs.catalogue import catalogue
from tools.docs.markdown import table


def purpose(tool: dict[str, Any]) -> str:
    """The first sentence of a tool's description."""
    return re.split(r"(?<=[a-z)])\. ", tool["description"])[0] + "."


def tool_table() -> str:
    """One row for each tool: its purpose and its parameters, required ones in bold."""
    rows = []
    for tool in catalogue()["tools"]:
        schema = tool["inputSchema"]
        names = [
            f"**{name}**" if name in schema.get("required", []) else f"{name} = `{json.dumps(parameter['default'])}`"
            for name, parameter in schema["properties"].items()
        ]
        rows.append((f"`{tool['name']}`", purpose(tool), ", ".join(names)))
    return table(["tool", "what it does", "parameters"], rows)
