"""LangChain's agent with LangChain's MCP adapter."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

from tests.hosts.reader import Call, Reader, ShownTool
from tests.hosts.served import Served


class ReadingChatModel(BaseChatModel):
    """The reader, behind the framework's interface for chat models."""

    reader: Any

    @property
    def _llm_type(self) -> str:
        return "reader"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> "ReadingChatModel":  # noqa: ARG002
        self.reader.sees([_shown(tool) for tool in tools])
        return self

    def _generate(self, messages: list[BaseMessage], *others: object, **more: object) -> ChatResult:  # noqa: ARG002
        last = messages[-1]
        if isinstance(last, ToolMessage):
            reply = self.reader.reply(last.text, is_error=last.status == "error")
        else:
            reply = self.reader.reply(None)
        said = AIMessage(content="", tool_calls=[self._called(reply)]) if isinstance(reply, Call) else AIMessage(reply)
        return ChatResult(generations=[ChatGeneration(message=said)])

    def _called(self, call: Call) -> dict[str, Any]:
        number = len(self.reader.calls)
        return {"name": call.tool, "args": call.arguments, "id": f"call_{number}", "type": "tool_call"}


def _shown(tool: BaseTool) -> ShownTool:
    function = convert_to_openai_tool(tool)["function"]
    return ShownTool(name=function["name"], description=function["description"], parameters=function["parameters"])


class LangChainHost:
    """An agent with the server's tools; ``tells_errors``: what a tool raises is told to the model."""

    def __init__(self, tools: list[BaseTool], *, tells_errors: bool) -> None:
        self._tools = tools
        self._middleware = [ToolErrorMiddleware(lambda error, _: f"Error: {error}")] if tells_errors else []

    async def run(self, reader: Reader) -> str:
        """The agent's last words."""
        agent = create_agent(ReadingChatModel(reader=reader), tools=self._tools, middleware=self._middleware)
        result = await agent.ainvoke({"messages": [("user", "Make the video and save it.")]})
        return str(result["messages"][-1].text)


@asynccontextmanager
async def a_process_each_call(
    server: Served, *, tells_errors: bool = True, cut_seconds: float | None = None
) -> AsyncIterator[LangChainHost]:
    """The adapter's default: every call starts the server anew."""
    client = _client({"transport": "stdio", **server.stdio}, cut_seconds)
    yield LangChainHost(await client.get_tools(), tells_errors=tells_errors)


@asynccontextmanager
async def in_one_session(
    server: Served, *, tells_errors: bool = True, cut_seconds: float | None = None
) -> AsyncIterator[LangChainHost]:
    client = _client({"transport": "stdio", **server.stdio}, cut_seconds)
    async with client.session("sora2") as session:
        yield LangChainHost(await load_mcp_tools(session), tells_errors=tells_errors)


@asynccontextmanager
async def over_http(
    server: Served, *, tells_errors: bool = True, cut_seconds: float | None = None
) -> AsyncIterator[LangChainHost]:
    with server.http() as url:
        client = _client({"transport": "streamable_http", "url": url}, cut_seconds)
        yield LangChainHost(await client.get_tools(), tells_errors=tells_errors)


def _client(connection: dict[str, Any], cut_seconds: float | None) -> MultiServerMCPClient:
    limits = {} if cut_seconds is None else {"read_timeout_seconds": timedelta(seconds=cut_seconds)}
    return MultiServerMCPClient({"sora2": {**connection, "session_kwargs": limits}})
