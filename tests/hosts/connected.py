"""The frameworks, and the ways each of them reaches a server."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from tests.hosts import gemini_host, langchain_host, openai_host
from tests.hosts.reader import Reader


class Host(Protocol):
    """An agent in a framework, with the server's tools."""

    async def run(self, reader: Reader) -> str:
        """Lets the reader be its model until it has no more calls to make; gives its last words."""
        ...


Connect = Callable[..., AbstractAsyncContextManager[Host]]

HOSTS: dict[str, Connect] = {
    "openai-stdio": openai_host.over_stdio,
    "openai-http": openai_host.over_http,
    "openai-structured": partial(openai_host.over_stdio, use_structured_content=True),
    "langchain-processes": langchain_host.a_process_each_call,
    "langchain-session": langchain_host.in_one_session,
    "langchain-http": langchain_host.over_http,
    "gemini-stdio": gemini_host.over_stdio,
}
