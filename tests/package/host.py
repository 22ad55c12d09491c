"""A desktop host, as far as a bundle sees it: fills in what the manifest leaves open and starts what it says."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Answer = str | int | float | bool


def launch(
    manifest: Mapping[str, Any], folder: Path, answers: Mapping[str, Answer]
) -> tuple[list[str], dict[str, str]]:
    """The command and the variables with which a host starts an unpacked bundle for a person who gave these answers.

    What has neither an answer nor a default keeps its placeholder.
    Source: ``getMcpConfigForManifest`` of @anthropic-ai/mcpb.
    """
    defaults = {name: asked["default"] for name, asked in manifest["user_config"].items() if "default" in asked}
    known = {f"user_config.{name}": spelled(answer) for name, answer in {**defaults, **answers}.items()}
    known["__dirname"] = str(folder)

    def filled_in(text: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda found: known.get(found[1], found[0]), text)

    config = manifest["server"]["mcp_config"]
    command = [filled_in(word) for word in [config["command"], *config["args"]]]
    return command, {name: filled_in(value) for name, value in config["env"].items()}


def spelled(answer: Answer) -> str:
    """An answer as JavaScript spells it."""
    if isinstance(answer, bool):
        return str(answer).lower()
    return str(int(answer)) if isinstance(answer, float) and answer.is_integer() else str(answer)
