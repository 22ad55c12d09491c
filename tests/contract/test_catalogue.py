"""What hosts see, as a published contract: any change of it is a decision.

One for each service. ``python -m tests.contract.test_catalogue`` writes the files anew.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from pydantic import BaseModel

from sora2_mcp.domain.request import SORA2API
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.guide import INSTRUCTIONS
from sora2_mcp.server.offered import wording
from tests.servers import settings_in

SERVICES: dict[str, dict[str, str]] = {
    "sora2api": {},
    "kie": {},
    "openai": {"api_base_url": "http://gpu.example:8000/v1"},
    "openrouter": {"model": "google/veo-3.1"},
}
"""Every service, and what it needs to be set beside its key."""

TOOLS = ["generate_video", "get_task_status", "wait_for_video", "list_tasks", "download_video"]
COMBINED = ("anyOf", "oneOf", "allOf", "not", "$ref", "$defs", "if")

pytestmark = pytest.mark.anyio


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plain(models: list[Any]) -> list[dict[str, Any]]:
    def dumped(model: BaseModel) -> dict[str, Any]:
        return model.model_dump(mode="json", by_alias=True, exclude_none=True)

    return [dumped(model) for model in models]


def kept(service: str) -> Path:
    """Where the catalogue of a service is kept."""
    return Path(__file__).parent / "catalogues" / f"{service}.json"


async def published(folder: Path, mode: str, service: str = "sora2api") -> dict[str, Any]:
    settings = settings_in(folder, api_key="", service=service, **SERVICES[service])
    async with Runtime(settings) as runtime, Client(build_server(runtime), mode=mode) as client:
        return {
            "instructions": client.instructions,
            "tools": plain((await client.list_tools()).tools),
            "prompts": plain((await client.list_prompts()).prompts),
            "resources": plain((await client.list_resources()).resources),
            "resourceTemplates": plain((await client.list_resource_templates()).resource_templates),
        }


@pytest.fixture(params=SERVICES)
async def tools(request: pytest.FixtureRequest, tmp_path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await published(tmp_path, "auto", request.param))["tools"]
    return found


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_catalogue_is_the_published_one(tmp_path: Path, mode: str, service: str) -> None:
    assert await published(tmp_path, mode, service) == json.loads(kept(service).read_text())


async def test_all_tools_together_cost_a_model_less_than_3000_tokens(
    tools: list[dict[str, Any]],
) -> None:
    assert len(compact(tools)) / 4 < 3000


async def test_no_tool_alone_costs_much_more_than_600_tokens(tools: list[dict[str, Any]]) -> None:
    assert max(len(compact(tool)) / 4 for tool in tools) < 650


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
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            text = compact(schema)
            assert not [word for word in COMBINED if f'"{word}":' in text]
            assert '"title":"' not in text
            assert '"null"' not in text


async def test_results_require_exactly_what_is_always_known(tools: list[dict[str, Any]]) -> None:
    required = ["task_id", "status", "created_at"]
    for tool in tools:
        schema = tool["outputSchema"]
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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for service in SERVICES:
            catalogue = anyio.run(published, Path(scratch), "auto", service)
            kept(service).write_text(json.dumps(catalogue, ensure_ascii=False, indent=1) + "\n")
