"""The manifest of the bundle for desktop hosts: what in it follows from ``pyproject.toml`` and the catalogue."""

import json
from typing import Any

from mcp_types import TextContent

from tools.docs.catalogue import catalogue, client_of
from tools.docs.files import PROJECT, ROOT, VERSION
from tools.docs.tools import purpose

MANIFEST = ROOT / "packaging" / "mcpb" / "manifest.json"

_READS_THE_STORE = "review_failed_task"
"""The text of this prompt is looked up when it is asked for, so the manifest has words of its own for it."""


def manifest() -> dict[str, Any]:
    """The manifest as it is."""
    found: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return found


async def filled_in(document: dict[str, Any]) -> dict[str, Any]:
    """The manifest as it should be."""
    own = {prompt["name"]: prompt["text"] for prompt in document["prompts"] if prompt["name"] == _READS_THE_STORE}
    texts = {**await _prompt_texts(), **own}
    known = {
        "version": VERSION,
        "description": PROJECT["description"],
        "tools": [{"name": tool["name"], "description": purpose(tool)} for tool in catalogue()["tools"]],
        "prompts": [
            {
                "name": prompt["name"],
                "description": prompt["description"],
                "arguments": [argument["name"] for argument in prompt["arguments"]],
                "text": texts[prompt["name"]],
            }
            for prompt in catalogue()["prompts"]
        ],
        "keywords": PROJECT["keywords"],
    }
    runtimes = {"python": PROJECT["requires-python"]}
    return {**document, **known, "compatibility": {**document["compatibility"], "runtimes": runtimes}}


async def _prompt_texts() -> dict[str, str]:
    """The text of each prompt, as the server gives it, with the host's placeholders for arguments."""
    texts = {}
    async with client_of() as client:
        for prompt in catalogue()["prompts"]:
            arguments = {argument["name"]: f"${{arguments.{argument['name']}}}" for argument in prompt["arguments"]}
            (message,) = (await client.get_prompt(prompt["name"], arguments)).messages
            assert isinstance(message.content, TextContent)  # noqa: S101 - prompts are texts
            texts[prompt["name"]] = message.content.text
    return texts
