"""People who share one server process, each with a token of their own."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.session import ElicitationFnT
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import TextResourceContents
from pydantic import BaseModel

from tests.e2e.processes import Process
from tests.ears import Ear
from tests.faults.hosts import Service
from tests.servers import text_of
from tests.stores import file_in

ANN, BOB = "ann-0123456789abcdef", "bob-0123456789abcdef"
TOKENS = {"SORA2_AUTH_TOKENS": f"ann:{ANN},bob:{BOB}"}
Way = tuple[str, str]
"""A transport, and the era of the protocol that a client asks for."""

WAYS: list[Way] = [("streamable-http", "auto"), ("streamable-http", "legacy"), ("sse", "auto"), ("sse", "legacy")]

_OTHERS = str.maketrans("0123456789abcdefghijklmnopqrstuvwxyz", "1234567890bcdefaghijklmnopqrstuvwxyz")
_READY = r"serving MCP at (http://127\.0\.0\.1:\d+)/mcp"


@contextmanager
def http_server(folder: Path, sora: Service, *, home: str = "http", **variables: str) -> Iterator[str]:
    """A server process on the file in ``folder`` that looks at nothing unless asked to; gives its address."""
    (folder / home).mkdir(exist_ok=True)
    places = {"SORA2_DATABASE_URL": file_in(folder).url, "SORA2_VIDEO_DIR": str(folder / "videos")}
    access = {"SORA2_API_BASE_URL": sora.base_url, "SORA2_API_KEY": "any"}
    pace = {"SORA2_POLL_SECONDS": "3600", "SORA2_IDLE_POLL_SECONDS": "3600", "SORA2_MAX_REQUESTS_PER_SECOND": "1000"}
    port = variables.pop("port", "0")
    arguments = ("serve", "--transport", "streamable-http", "--port", port)
    with Process(folder / home, *arguments, **{**places, **access, **pace, **variables}) as process:
        yield process.logged(_READY).group(1)


@contextmanager
def reachable_server(folder: Path, sora: Service, **variables: str) -> Iterator[str]:
    """The same, where the service can call back."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = str(probe.getsockname()[1])
    public = {"SORA2_PUBLIC_URL": f"http://127.0.0.1:{port}", "port": port}
    with http_server(folder, sora, **public, **variables) as base:
        yield base


@dataclass(frozen=True)
class Person:
    """Somebody with a client."""

    client: Client
    ear: Ear

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured content of a call that worked."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        content: dict[str, Any] = result.structured_content or {}
        return content

    async def order(self, prompt: str, **arguments: Any) -> str:
        """Orders a video; gives its id."""
        return str((await self.call("generate_video", prompt=prompt, **arguments))["task_id"])

    async def tasks(self, **arguments: Any) -> list[str]:
        """The ids of a page of ``list_tasks``."""
        page = await self.call("list_tasks", **arguments)
        return [str(task["task_id"]) for task in page["tasks"]]

    async def page(self, **arguments: Any) -> str:
        """A page of ``list_tasks`` as it comes."""
        return await answer(self.client.call_tool("list_tasks", arguments))

    async def content(self, uri: str) -> Any:
        """What stands in a resource."""
        [content] = (await self.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        return json.loads(content.text)

    async def listed(self) -> list[str]:
        """The addresses of the resources that are listed."""
        return [resource.uri for resource in (await self.client.list_resources()).resources]


async def answer(asked: Awaitable[BaseModel]) -> str:
    """All that a request is answered with, whether it worked or not."""
    try:
        return (await asked).model_dump_json()
    except MCPError as error:
        return error.error.model_dump_json()


@asynccontextmanager
async def person(
    base: str, token: str, kind: str = "streamable-http", mode: str = "auto", answers: ElicitationFnT | None = None
) -> AsyncIterator[Person]:
    """Somebody connected with this token, or with none where it is empty."""
    ear = Ear()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
        streams = (
            sse_client(f"{base}/sse", headers=headers)
            if kind == "sse"
            else streamable_http_client(f"{base}/mcp", http_client=http)
        )
        async with Client(streams, mode=mode, message_handler=ear.on_message, elicitation_callback=answers) as client:
            yield Person(client, ear)


@dataclass(frozen=True)
class Store:
    """What is kept of a principal's tasks, and what the service was asked."""

    folder: Path
    sora: Service

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """Every column of every task of theirs."""
        principals = [principal for (principal,) in file_in(self.folder).rows("principal")]
        rows = file_in(self.folder).rows("*")
        return [row for row, principal in zip(rows, principals, strict=True) if principal == name]

    def ids(self, name: str) -> list[str]:
        """All the names their tasks go by."""
        rows = [row for row in file_in(self.folder).rows("principal", "id", "task_id") if row[0] == name]
        return [f"local-{id}" for _, id, _ in rows] + [task_id for *_, task_id in rows if task_id]

    def requests(self) -> tuple[int, list[str]]:
        """How many orders the service received, and the tasks it was asked about."""
        return len(self.sora.posts()), self.sora.looks()


def unknown_like(id: str) -> str:
    """An id of the same shape that nobody has."""
    mark = id.rindex("_" if "_" in id else "-") + 1
    return id[:mark] + id[mark:].translate(_OTHERS)
