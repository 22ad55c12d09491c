"""What hosts see, as a published contract: any change of it is a decision.

One for each service, in ``catalogues``; ``make docs`` writes them anew.
"""

import json
import re
from typing import Any

import pytest

from sora2_mcp.domain.request import SORA2API
from sora2_mcp.server.app import INSTRUCTIONS
from sora2_mcp.server.offered import wording
from tools.docs.catalogue import SERVICES, catalogue, published

TOOLS = [tool["name"] for tool in catalogue()["tools"]]
COMBINED = ("anyOf", "oneOf", "allOf", "not", "$ref", "$defs", "if")

pytestmark = pytest.mark.anyio


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.fixture(params=SERVICES)
async def tools(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await published(request.param))["tools"]
    return found


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_catalogue_is_the_published_one(mode: str, service: str) -> None:
    assert await published(service, mode) == catalogue(service), "run `make docs`: every change of it is a decision"


async def test_all_tools_together_cost_a_model_less_than_3000_tokens(
    tools: list[dict[str, Any]],
) -> None:
    assert len(compact(tools)) / 4 < 3000


async def test_no_tool_alone_costs_600_tokens(tools: list[dict[str, Any]]) -> None:
    assert max(len(compact(tool)) / 4 for tool in tools) < 600


async def test_the_tools_come_in_a_fixed_order_under_short_names(tools: list[dict[str, Any]]) -> None:
    assert [tool["name"] for tool in tools] == TOOLS
    assert all(re.fullmatch(r"[a-z0-9_]{1,40}", name) for name in TOOLS)


async def test_every_tool_says_all_four_hints(tools: list[dict[str, Any]]) -> None:
    hints = {tool["name"]: tool["annotations"] for tool in tools}
    assert all(
        set(hint) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} for hint in hints.values()
    )
    assert {hint["openWorldHint"] for hint in hints.values()} == {False}
    assert not hints["generate_video"]["readOnlyHint"]
    assert not hints["generate_video"]["idempotentHint"]


async def test_every_parameter_is_flat_and_described(tools: list[dict[str, Any]]) -> None:
    for tool in tools:
        schema = tool["inputSchema"]
        # google-genai 1.74 to 3.6 breaks on a boolean there; hosts add arguments of their own.
        assert schema.keys() <= {"type", "properties", "required"}
        assert schema["type"] == "object"
        for parameter in schema["properties"].values():
            assert parameter["type"] in ("string", "integer", "boolean", "array")
            assert parameter.get("items", {"type": "string"}) == {"type": "string"}
            assert len(parameter["description"]) >= 20


async def test_every_parameter_that_may_be_left_out_says_nullable_and_is_bounded(tools: list[dict[str, Any]]) -> None:
    for tool in tools:
        schema = tool["inputSchema"]
        optional = schema["properties"].keys() - {*schema.get("required", [])}
        # smolagents demands what does not say so.
        assert {name for name, item in schema["properties"].items() if item.get("nullable")} == optional
        for name, item in schema["properties"].items():
            bounds = {"maxLength", "maxItems", "enum", "maximum"} & item.keys()
            assert bounds or name in ("cursor", "timeout_seconds"), name
            # Gemini knows no format of texts but enum and date-time, OpenAI's strict mode none of addresses.
            assert "format" not in item


async def test_nothing_is_combined_referenced_or_titled_anywhere(tools: list[dict[str, Any]]) -> None:
    for tool in tools:
        for schema in (tool["inputSchema"], tool.get("outputSchema", {})):
            text = compact(schema)
            assert not [word for word in COMBINED if f'"{word}":' in text]
            assert '"title":"' not in text
            assert '"null"' not in text


async def test_results_require_exactly_what_is_always_known(tools: list[dict[str, Any]]) -> None:
    required = ["task_id", "status", "created_at"]
    # A picture is no data, and hosts that show the model the data only would hide it.
    assert [tool["name"] for tool in tools if "outputSchema" not in tool] == ["preview_video"]
    for tool in tools:
        schema = tool.get("outputSchema")
        if schema is None:
            continue
        task = schema["properties"]["tasks"]["items"] if tool["name"] == "list_tasks" else schema
        assert task["required"] == required
        assert "additionalProperties" not in compact(schema)


async def test_every_text_names_the_other_tool_for_what_it_is_not_for(tools: list[dict[str, Any]]) -> None:
    for tool in tools:
        others = [name for name in TOOLS if name != tool["name"] and name in tool["description"]]
        assert others, tool["name"]
        says_price = re.search(r"cost|free", tool["description"], re.IGNORECASE)
        # An order at a server of one's own costs nothing that anybody knows of.
        assert says_price or (tool["name"] == "generate_video" and "configured server" in tool["description"])
        assert len(tool["description"]) < 2000


def test_the_instructions_fit_every_host_and_begin_with_what_people_search_for() -> None:
    told = INSTRUCTIONS.format_map(wording(SORA2API))
    assert len(told.encode()) < 1024
    first = told.split(".")[0].lower()
    assert all(word in first for word in ("video", "sora", "text-to-video", "image-to-video"))
