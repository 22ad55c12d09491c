"""Google's Gen AI SDK, given an MCP session as a tool; its answers come from the reader instead of Gemini."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
from google import genai
from google.genai import types
from mcp import ClientSession, StdioServerParameters, stdio_client

from tests.hosts.reader import Call, Reader, ShownTool
from tests.hosts.served import Served


class GeminiHost:
    """The SDK's automatic function calling with the server's tools."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def run(self, reader: Reader) -> str:
        """The model's last words."""

        def answer(request: httpx2.Request) -> httpx2.Response:
            body = json.loads(request.content)
            reader.sees([_shown(tool) for group in body["tools"] for tool in group["functionDeclarations"]])
            reply = _read(body["contents"][-1]["parts"][-1], reader)
            part = _called(reply) if isinstance(reply, Call) else {"text": reply}
            return httpx2.Response(200, json={"candidates": [{"content": {"role": "model", "parts": [part]}}]})

        options = types.HttpOptions(async_client_args={"transport": httpx2.MockTransport(answer)})
        client = genai.Client(api_key="none", http_options=options)
        # As a dict: the object would be copied deeply, which no session survives (google-genai 3.6).
        config: Any = {"tools": [self._session]}
        response = await client.aio.models.generate_content(
            model="gemini", contents="Make the video and save it.", config=config
        )
        return str(response.text)


def _shown(tool: dict[str, Any]) -> ShownTool:
    return ShownTool(name=tool["name"], description=tool["description"], parameters=tool["parameters"])


def _called(call: Call) -> dict[str, Any]:
    return {"functionCall": {"name": call.tool, "args": call.arguments}}


def _read(part: dict[str, Any], reader: Reader) -> Call | str:
    """What the reader says to the last of what was sent: after a call, the whole result or why there is none."""
    if "functionResponse" not in part:
        return reader.reply(None)
    ((kind, brought),) = part["functionResponse"]["response"].items()
    text = brought if isinstance(brought, str) else "\n".join(block["text"] for block in brought["content"])
    return reader.reply(text, is_error=kind == "error")


@asynccontextmanager
async def over_stdio(server: Served, *, cut_seconds: float | None = None) -> AsyncIterator[GeminiHost]:
    limit: Any = None if cut_seconds is None else timedelta(seconds=cut_seconds)
    async with (
        stdio_client(StdioServerParameters(**server.stdio)) as (read, write),
        ClientSession(read, write, read_timeout_seconds=limit) as session,
    ):
        await session.initialize()
        yield GeminiHost(session)
