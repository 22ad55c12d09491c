"""What the frameworks make of the tools' schemas before a model sees them: nothing is refused, and nothing is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import gemini_host, langchain_host, openai_host
from tests.hosts.connected import Connect
from tests.hosts.reader import Call, Reader, ShownTool, order
from tests.hosts.served import Served, files_in

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CATALOGUE = Path(__file__).parents[1] / "contract" / "catalogues" / "sora2api.json"
PUBLISHED: list[dict[str, Any]] = json.loads(CATALOGUE.read_text())["tools"]
WITH_DEFAULTS = {
    name: schema["default"] for name, schema in PUBLISHED[0]["inputSchema"]["properties"].items() if name != "prompt"
}


async def shown_by(connect: Connect, server: Served, **options: Any) -> dict[str, ShownTool]:
    """The tools as the model is shown them."""
    reader = Reader(Call(tool="get_task_status", arguments={"task_id": "none"}))
    async with connect(server, **options) as host:
        await host.run(reader)
    return reader.tools


def assert_nothing_is_lost(shown: dict[str, ShownTool], *, types: dict[str, str]) -> None:
    """Every tool and parameter is there with its text, type, choices and kind of items."""
    assert list(shown) == [tool["name"] for tool in PUBLISHED]
    for tool in PUBLISHED:
        assert shown[tool["name"]].description == tool["description"]
        parameters = shown[tool["name"]].parameters
        assert parameters["type"] == types["object"]
        found = {name: essence(schema) for name, schema in parameters["properties"].items()}
        expected = {name: essence(schema, types) for name, schema in tool["inputSchema"]["properties"].items()}
        assert found == expected


def essence(schema: dict[str, Any], types: dict[str, str] | None = None) -> dict[str, Any]:
    """What a model must know of a parameter; ``types``: what the framework calls them."""
    kept: dict[str, Any] = {word: schema[word] for word in ("description", "enum") if word in schema}
    kept["type"] = types[schema["type"]] if types else schema["type"]
    return kept | ({"items": essence(schema["items"], types)} if "items" in schema else {})


AS_THEY_ARE = {name: name for name in ("object", "string", "integer", "array")}
AS_GEMINI_HAS_THEM = {name: name.upper() for name in AS_THEY_ARE}


async def test_openai_agents_strict_mode_takes_every_tool_and_loses_nothing(server: Served) -> None:
    shown = await shown_by(openai_host.over_stdio, server, strict=True)

    assert_nothing_is_lost(shown, types=AS_THEY_ARE)
    for tool in shown.values():
        assert tool.strict
        assert tool.parameters["additionalProperties"] is False
        assert tool.parameters["required"] == list(tool.parameters["properties"])


async def test_gemini_takes_every_tool_and_loses_nothing(server: Served) -> None:
    assert_nothing_is_lost(await shown_by(gemini_host.over_stdio, server), types=AS_GEMINI_HAS_THEM)


async def test_langchain_loses_nothing(server: Served) -> None:
    assert_nothing_is_lost(await shown_by(langchain_host.in_one_session, server), types=AS_THEY_ARE)


async def test_a_model_in_strict_mode_which_may_leave_nothing_out_is_understood(server: Served) -> None:
    reader = Reader(order("A kitten", **WITH_DEFAULTS))
    async with openai_host.over_stdio(server, strict=True) as host:
        answer = await host.run(reader)

    assert set(reader.calls[0].arguments) == set(reader.tools["generate_video"].parameters["required"])
    assert files_in(answer)
    assert server.service.bodies() == [{"prompt": "A kitten", "aspectRatio": "landscape", "quality": "standard"}]
