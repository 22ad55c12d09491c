"""Live notifications in both protocol eras: a client hears of a change when it happens, and reads anew.

Modern clients open a ``subscriptions/listen`` stream; legacy ones subscribe to resources, and hear of the list of
resources without asking. Nobody hears of another principal's tasks: their addresses are watched like those of tasks
that do not exist.
"""

import logging
from functools import partial
from typing import Any

from mcp.server import Server
from mcp.server.connection import Connection
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    ResourcesListChanged,
    ResourceUpdated,
    event_to_notification,
)
from mcp_types import (
    INVALID_REQUEST,
    EmptyResult,
    NotificationParams,
    SubscribeRequestParams,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.news import News
from sora2_mcp.server.principal import current_principal
from sora2_mcp.server.subscriber import Event, Subscriber, Topic, checked_topic, topic_of

logger = logging.getLogger(__name__)

_SUBSCRIBER = "sora2-mcp/subscriber"

_TELLING_SECONDS = 0.25
"""The longest an answer waits until the session has been told what the call brought about."""

Request = ServerRequestContext[Any, Any]


class Notifications:
    """The handlers of subscriptions, for both eras. Streams end by themselves when the runtime stops."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._news = News(runtime)

    def register(self, server: Server[Any]) -> None:
        """Adds the handlers; the SDK's own would let anybody watch everything."""
        server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)
        server.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        server.add_notification_handler("notifications/initialized", NotificationParams, self._initialized)

    async def told(self, ctx: Request) -> None:
        """Returns once a legacy session has been told what happened up to now, or after a moment.

        Awaited before a call is answered: some hosts close the session at the answer, and the MCP Python client before
        2.0 takes whatever comes after that for a failure of the call.
        """
        known = ctx.session._connection.state.get(_SUBSCRIBER)  # noqa: SLF001 - as below
        if isinstance(known, Subscriber):
            with self._runtime.clock.timeout(_TELLING_SECONDS):
                await self._news.caught_up()
                await known.told()

    async def _listen(self, ctx: Request, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """One stream: its acknowledgement, notifications, and the result when the server ends it."""
        if ctx.request_id is None:
            raise MCPError(INVALID_REQUEST, "subscriptions/listen needs a request id")
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        subscriber = Subscriber(current_principal(), self._runtime.clock)
        honored = _granted(subscriber, params.notifications)
        send = partial(ctx.session.send_notification, related_request_id=ctx.request_id)
        self._news.admit(subscriber)
        try:
            await self._news.look_up(subscriber.principal, subscriber.topics)
            subscriber.open()
            acknowledged = SubscriptionsAcknowledgedNotificationParams(notifications=honored, _meta=meta)
            await subscriber.in_time(send(SubscriptionsAcknowledgedNotification(params=acknowledged)))
            await subscriber.deliver(lambda event: send(event_to_notification(event, meta)))
        finally:
            self._news.dismiss(subscriber)
        return SubscriptionsListenResult(_meta=meta)

    async def _subscribe(self, ctx: Request, params: SubscribeRequestParams) -> EmptyResult:
        topic = checked_topic(params.uri)
        subscriber = self._session(ctx)
        await self._news.look_up(subscriber.principal, [topic])
        subscriber.wish(ResourceUpdated(params.uri), topic)
        return EmptyResult()

    async def _unsubscribe(self, ctx: Request, params: UnsubscribeRequestParams) -> EmptyResult:
        self._session(ctx).forget(ResourceUpdated(params.uri))
        return EmptyResult()

    async def _initialized(self, ctx: Request, _params: NotificationParams) -> None:
        try:
            self._session(ctx)
        except MCPError as error:
            logger.warning("a client is not told of changes: %s", error)

    def _session(self, ctx: Request) -> Subscriber:
        """The session's subscriber, which lives as long as the session; every session hears of list changes."""
        connection = ctx.session._connection  # noqa: SLF001 - the only way to what outlives a request
        known = connection.state.get(_SUBSCRIBER)
        if isinstance(known, Subscriber) and not known.closed:
            return known
        subscriber = Subscriber(current_principal(), self._runtime.clock)
        self._news.admit(subscriber)
        subscriber.wish(ResourcesListChanged(), Topic("list", asked=False))
        subscriber.open()
        connection.state[_SUBSCRIBER] = subscriber
        connection.exit_stack.callback(self._news.dismiss, subscriber)
        self._runtime.in_background(partial(self._serve, connection, subscriber))
        return subscriber

    async def _serve(self, connection: Connection, subscriber: Subscriber) -> None:
        try:
            await subscriber.deliver(partial(_send, connection))
        except Exception:
            # One session's border: whatever its transport raises must not end the others.
            logger.exception("a session can be told nothing more")
        finally:
            self._news.dismiss(subscriber)


async def _send(connection: Connection, event: Event) -> None:
    if isinstance(event, ResourceUpdated):
        await connection.send_resource_updated(event.uri)
    else:
        await connection.send_resource_list_changed()


def _granted(subscriber: Subscriber, asked: SubscriptionFilter) -> SubscriptionFilter:
    """Notes what a stream asked for; gives what of it there is: tools and prompts never change."""
    if asked.resources_list_changed:
        subscriber.wish(ResourcesListChanged(), Topic("list"))
    uris = [uri for uri in dict.fromkeys(asked.resource_subscriptions or ()) if topic_of(uri) is not None]
    for uri in uris:
        subscriber.wish(ResourceUpdated(uri), checked_topic(uri))
    return SubscriptionFilter(
        resources_list_changed=True if asked.resources_list_changed else None, resource_subscriptions=uris or None
    )


def told_honestly(result: HandlerResult) -> HandlerResult:
    """A handshake's result that announces the changes we tell, and no others, in the era it belongs to.

    The SDK announces no changes in the one era, and in the other all it knows of.
    """
    if not isinstance(result, dict) or "capabilities" not in result:
        return result
    told = {name: {"listChanged": False} for name in ("tools", "prompts")}
    told["resources"] = {"subscribe": True, "listChanged": True}
    capabilities: dict[str, Any] = result["capabilities"]
    honest = {name: {**value, **told.get(name, {})} for name, value in capabilities.items()}
    return {**result, "capabilities": honest}
