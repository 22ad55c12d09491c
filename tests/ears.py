"""What clients of either era are told without asking again, and as whom they listen."""

import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from mcp.client import Client
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import ResourceListChangedNotification, ResourceUpdatedNotification

from tests.clocks import eventually, settle

LIST = "resources/list"


class Ear:
    """A client's ear: give ``on_message`` to a client, then let it listen. ``heard`` holds addresses, and LIST."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.ended = anyio.Event()
        self._has_streams = False

    async def on_message(self, message: Any) -> None:
        """Takes in what a legacy client is told; what a modern one is told comes out of its streams as well."""
        if self._has_streams:
            return
        if isinstance(message, ResourceUpdatedNotification):
            self.heard.append(message.params.uri)
        elif isinstance(message, ResourceListChangedNotification):
            self.heard.append(LIST)

    @asynccontextmanager
    async def listening(self, client: Client, *uris: str, lists: bool = True) -> AsyncIterator[None]:
        """Listens as the client's era has it, until the block ends."""
        if client.protocol_version != "2026-07-28":
            for uri in uris:
                await subscribe(client, uri)
            yield
            return
        self._has_streams = True
        async with (
            client.listen(resources_list_changed=lists, resource_subscriptions=uris) as stream,
            anyio.create_task_group() as group,
        ):

            async def collect() -> None:
                async for event in stream:
                    self.heard.append(getattr(event, "uri", LIST))
                self.ended.set()

            group.start_soon(collect)
            yield
            group.cancel_scope.cancel()

    async def hears(self, *expected: str) -> None:
        """Waits until exactly this was heard, each as often as it is named, in any order; then forgets it."""
        await eventually(lambda: Counter(self.heard) >= Counter(expected))
        await settle()
        assert Counter(self.heard) == Counter(expected), self.heard
        self.heard.clear()


async def subscribe(client: Client, uri: str) -> None:
    """Subscribes as legacy clients do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await client.subscribe_resource(uri)


async def unsubscribe(client: Client, uri: str) -> None:
    """Takes a legacy subscription back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await client.unsubscribe_resource(uri)


@contextmanager
def acting_as(principal: str) -> Iterator[None]:
    """Lets calls come with a token that was given to this principal."""
    user = AuthenticatedUser(AccessToken(token=f"secret of {principal}", client_id=principal, scopes=[]))
    token = auth_context_var.set(user)
    try:
        yield
    finally:
        auth_context_var.reset(token)
