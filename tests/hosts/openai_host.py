"""OpenAI Agents with its own MCP adapter and its own defaults, but for the model."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.mcp import MCPServer, MCPServerStdio, MCPServerStreamableHttp
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from tests.hosts.reader import Call, Reader, ShownTool
from tests.hosts.served import Served

set_tracing_disabled(disabled=True)

ITS_OWN_ERROR = "An error occurred while running the tool. Please try again."
"""All a model is shown of a call that was cut; in openai-agents 0.24."""


class ReadingModel(Model):
    """The reader, behind the framework's interface for models."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get_response(
        self,
        system_instructions: str | None,  # noqa: ARG002 - the framework's signature
        input: str | list[Any],
        model_settings: object,  # noqa: ARG002
        tools: list[Any],
        *others: object,  # noqa: ARG002
        **more: object,  # noqa: ARG002
    ) -> ModelResponse:
        self._reader.sees([_shown(tool) for tool in tools])
        reply = self._reader.reply(_last_output(input))
        item = self._called(reply) if isinstance(reply, Call) else _said(reply)
        return ModelResponse(output=[item], usage=Usage(), response_id=None)

    def stream_response(self, *arguments: object, **more: object) -> AsyncIterator[Any]:
        raise NotImplementedError

    def _called(self, call: Call) -> ResponseFunctionToolCall:
        return ResponseFunctionToolCall(
            type="function_call",
            call_id=f"call_{len(self._reader.calls)}",
            name=call.tool,
            arguments=json.dumps(call.arguments),
        )


def _shown(tool: Any) -> ShownTool:
    return ShownTool(
        name=tool.name,
        description=tool.description,
        parameters=tool.params_json_schema,
        strict=tool.strict_json_schema,
    )


def _said(text: str) -> ResponseOutputMessage:
    content = ResponseOutputText(type="output_text", text=text, annotations=[])
    return ResponseOutputMessage(id="said", type="message", role="assistant", status="completed", content=[content])


def _last_output(input: str | list[Any]) -> str | None:
    """What the last tool call brought, as the framework would send it to OpenAI."""
    if isinstance(input, str) or input[-1].get("type") != "function_call_output":
        return None
    output = input[-1]["output"]
    return output if isinstance(output, str) else "\n".join(part["text"] for part in output)


class OpenAIHost:
    """An agent with the server's tools."""

    def __init__(self, server: MCPServer, *, strict: bool) -> None:
        self.server = server
        self._strict = strict

    async def run(self, reader: Reader) -> str:
        """The agent's last words."""
        agent = Agent(
            name="Film maker",
            mcp_servers=[self.server],
            mcp_config={"convert_schemas_to_strict": self._strict},
            model=ReadingModel(reader),
        )
        result = await Runner.run(agent, "Make the video and save it.")
        return str(result.final_output)


@asynccontextmanager
async def over_stdio(
    server: Served, *, strict: bool = False, cut_seconds: float | None = None, **options: Any
) -> AsyncIterator[OpenAIHost]:
    async with MCPServerStdio(params=server.stdio, **_limits(cut_seconds), **options) as connected:
        yield OpenAIHost(connected, strict=strict)


@asynccontextmanager
async def over_http(
    server: Served, *, strict: bool = False, cut_seconds: float | None = None, **options: Any
) -> AsyncIterator[OpenAIHost]:
    with server.http() as url:
        async with MCPServerStreamableHttp(params={"url": url}, **_limits(cut_seconds), **options) as connected:
            yield OpenAIHost(connected, strict=strict)


def _limits(cut_seconds: float | None) -> dict[str, float]:
    """Nothing given means the framework's default: 5 s."""
    return {} if cut_seconds is None else {"client_session_timeout_seconds": cut_seconds}
