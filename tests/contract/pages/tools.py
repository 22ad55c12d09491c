"""The tools, from the published catalogue."""

import json
import re
from pathlib import Path
from typing import Any

from tests.contract.pages.tables import table

_CATALOGUE = Path(__file__).parents[1] / "catalogues" / "sora2api.json"


def catalogue() -> dict[str, Any]:
    """What hosts see of this server."""
    found: dict[str, Any] = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    return found


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
