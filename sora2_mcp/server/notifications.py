"""Live notifications in both protocol eras: a client hears of a change when it happens, and reads anew.

Modern clients open a ``subscriptions/listen`` stream; legacy ones subscribe to resources, and hear of the list of
resources without asking. A client hears of its own principal's tasks only: the addresses of others are watched like
those of tasks that do not exist.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    ResourcesListChanged,
    ResourceUpdated,
    event_to_notification,
)
from mcp_types import (
    INTERNAL_ERROR,
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

from sora2_mcp.domain.task import Task
from sora2_mcp.errors import Sora2Error, StoreError, UnknownTaskError
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.mcp_tasks import TASK_IDS, McpTaskChanged, McpTasks
from sora2_mcp.server.principal import current_principal
from sora2_mcp.server.resources import LISTED_TASKS
from sora2_mcp.server.subscriptions import (
    LIST,
    TASKS,
    USAGE,
    Event,
    Subscriber,
    Topic,
    checked_topic,
    names_of,
    topic_of,
    topics_of,
)
from sora2_mcp.tasks.background import Signal, outlive_failures
from sora2_mcp.tasks.tasks import Tasks

logger = logging.getLogger(__name__)

CLIENTS_LIMIT = 500
"""How many clients and streams of one principal hear of changes at once."""

UNKNOWN_LIMIT = 1000
"""How many names that no task has are looked up for one principal while it watches them."""

_REMEMBERED_TASKS = 10_000
_SUBSCRIBER = "sora2-mcp/subscriber"

_TELLING_SECONDS = 0.25
"""The longest an answer waits until the session has heard what the call brought about."""

_CATCHING_UP_SECONDS = 1.0
"""The longest a subscription waits until what happened before it has reached the other clients."""

Request = ServerRequestContext[Any, Any]


class Notifications:
    """The handlers of subscriptions. Streams end by themselves when the runtime stops.

    A task that has changed is read once, however many clients watch it, and not at all while no client does.
    """

    def __init__(self, runtime: Runtime, mcp_tasks: McpTasks) -> None:
        self._runtime = runtime
        self._mcp_tasks = mcp_tasks
        self._subscribers: dict[Subscriber, None] = {}
        self._known: OrderedDict[str, Task] = OrderedDict()
        self._changed: dict[str, object] = {}
        self._wakeup = Signal()
        self._caught_up = anyio.Event()
        self._unknown: defaultdict[str, set[str]] = defaultdict(set)
        self._ended: set[tuple[str, str]] = set()
        self._looking_up = anyio.Lock()
        self._listening = ExitStack()
        self._has_begun = False

    async def listen(self, ctx: Request, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """One stream: its acknowledgement, notifications, and the result when the server ends it."""
        if ctx.request_id is None:
            raise MCPError(INVALID_REQUEST, "subscriptions/listen needs a request id")
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        subscriber = Subscriber(current_principal(), self._runtime.clock)
        honored = self._granted(ctx, subscriber, params.notifications)
        send = partial(ctx.session.send_notification, related_request_id=ctx.request_id)
        await self._catch_up()
        # Admitted before it is acknowledged: the client reads after that, and whatever comes later is sent.
        self._admit(subscriber)
        try:
            await self._learn(subscriber.principal, subscriber.topics)
            acknowledged = SubscriptionsAcknowledgedNotificationParams(notifications=honored, _meta=meta)
            await subscriber.in_time(send(SubscriptionsAcknowledgedNotification(params=acknowledged)))
            if not self._runtime.settings.missing and not subscriber.closed:
                # What other processes save is heard only while the store is open.
                self._runtime.begin()
            deliver = partial(self._send, send, meta)
            for event in subscriber.mcp_tasks:
                # How it stands: it may have ended before it was listened to.
                await subscriber.in_time(deliver(event))
            await subscriber.deliver(deliver)
        finally:
            self._dismiss(subscriber)
        return SubscriptionsListenResult(_meta=meta)

    def _granted(self, ctx: Request, subscriber: Subscriber, asked: SubscriptionFilter) -> SubscriptionFilter:
        """Notes what a stream asked for; gives what of it there is: tools and prompts never change.

        Raises:
            MCPError: it asks for too much, or for tasks without the extension.
        """
        if asked.resources_list_changed:
            subscriber.wish(ResourcesListChanged(), LIST)
        uris = [uri for uri in dict.fromkeys(asked.resource_subscriptions or ()) if topic_of(uri) is not None]
        for uri in uris:
            subscriber.wish(ResourceUpdated(uri), checked_topic(uri))
        task_ids = self._mcp_tasks.listened(ctx, asked)
        for task_id in task_ids:
            subscriber.wish(McpTaskChanged(task_id), Topic("task", task_id))
        return SubscriptionFilter(
            resources_list_changed=True if asked.resources_list_changed else None,
            resource_subscriptions=uris or None,
            **({TASK_IDS: task_ids} if task_ids else {}),
        )

    async def _send(self, send: Callable[[Any], Awaitable[None]], meta: dict[str, Any], event: Event) -> None:
        if not isinstance(event, McpTaskChanged):
            await send(event_to_notification(event, meta))
            return
        # One that is unknown, or another principal's, is heard of no more than it is shown.
        with suppress(Sora2Error):
            await send(await self._mcp_tasks.notification(event, meta))

    async def subscribe(self, ctx: Request, params: SubscribeRequestParams) -> EmptyResult:
        """Adds a resource to those that a legacy session hears of."""
        topic = checked_topic(params.uri)
        await self._catch_up()
        subscriber = self._session(ctx)
        await self._learn(subscriber.principal, [topic])
        subscriber.wish(ResourceUpdated(params.uri), topic)
        return EmptyResult()

    async def unsubscribe(self, ctx: Request, params: UnsubscribeRequestParams) -> EmptyResult:
        """Takes it away again; for one that was never added, nothing happens."""
        self._session(ctx).forget(ResourceUpdated(params.uri))
        return EmptyResult()

    async def initialized(self, ctx: Request, _params: NotificationParams) -> None:
        """From here on a legacy session hears of the list of resources."""
        try:
            self._session(ctx)
        except MCPError as error:
            logger.warning("a client is not told of changes: %s", error)

    async def delivered(self, ctx: Request) -> None:
        """Returns once a legacy session has heard of what happened up to now, or after a moment.

        Awaited before a call is answered: some hosts close the session at the answer, and the MCP Python client before
        2.0 takes whatever comes after that for a failure of the call.
        """
        subscriber = ctx.session._connection.state.get(_SUBSCRIBER)  # noqa: SLF001 - as in _session
        if isinstance(subscriber, Subscriber):
            with self._runtime.clock.timeout(_TELLING_SECONDS):
                await self._catch_up()
                await subscriber.emptied()

    async def _catch_up(self) -> None:
        """Returns once all that has happened up to now is in the mailboxes, or after a while."""
        with self._runtime.clock.timeout(_CATCHING_UP_SECONDS):
            while self._changed:
                await self._caught_up.wait()

    async def _learn(self, principal: str, topics: Iterable[Topic]) -> None:
        """Remembers how tasks stand, so that their next change shows what of them has changed. Never fails."""
        if self._runtime.settings.missing:
            return
        topics = set(topics)
        with self._runtime.clock.timeout(_CATCHING_UP_SECONDS), suppress(Sora2Error):
            tasks = await self._runtime.tasks(_CATCHING_UP_SECONDS)
            if not topics.isdisjoint((LIST, TASKS, USAGE)):
                for task in (await tasks.page(principal, limit=LISTED_TASKS)).tasks:
                    self._known.setdefault(task.id, task)
            for name in {topic.name for topic in topics if topic.name}:
                found = await self._found(tasks, principal, name)
                if found is not None:
                    self._known.setdefault(found.id, found)

    async def _found(self, tasks: Tasks, principal: str, name: str) -> Task | None:
        """The task of this name. An unknown one is looked up once: when it gets its task, that is a change."""
        unknown = self._unknown[principal]
        # One at a time, so that many streams that ask for the same name cost one look-up.
        async with self._looking_up:
            if name in unknown or len(unknown) >= UNKNOWN_LIMIT:
                return None
            try:
                return await tasks.find(name, principal)
            except UnknownTaskError:
                unknown.add(name)
                return None

    def _session(self, ctx: Request) -> Subscriber:
        """The session's subscriber, which lives as long as the session."""
        connection = ctx.session._connection  # noqa: SLF001 - the only way to what outlives a request
        known = connection.state.get(_SUBSCRIBER)
        if isinstance(known, Subscriber) and not known.closed:
            return known
        subscriber = Subscriber(current_principal(), self._runtime.clock)
        subscriber.wish(ResourcesListChanged(), LIST)
        self._admit(subscriber)
        connection.state[_SUBSCRIBER] = subscriber
        connection.exit_stack.callback(self._dismiss, subscriber)
        self._runtime.in_background(partial(self._serve, connection, subscriber))
        return subscriber

    async def _serve(self, connection: Connection, subscriber: Subscriber) -> None:
        async def send(event: Event) -> None:
            if isinstance(event, ResourceUpdated):
                await connection.send_resource_updated(event.uri)
            elif isinstance(event, ResourcesListChanged):
                await connection.send_resource_list_changed()

        try:
            await subscriber.deliver(send)
        except Exception:
            # One session's border: whatever its transport raises must not end the others.
            logger.exception("a session can be told nothing more")
        finally:
            self._dismiss(subscriber)

    def _admit(self, subscriber: Subscriber) -> None:
        """Lets a subscriber hear of what comes.

        Raises:
            MCPError: its principal has too many already.
        """
        if sum(other.principal == subscriber.principal for other in self._subscribers) >= CLIENTS_LIMIT:
            raise MCPError(INTERNAL_ERROR, f"At most {CLIENTS_LIMIT} clients can be told of changes; end some first.")
        self._subscribers[subscriber] = None
        if self._runtime.stopping.is_set():
            subscriber.close()
        elif not self._has_begun and not self._runtime.settings.missing:
            # From the first client to the end of the runtime; without its settings there are no tasks to hear of.
            self._has_begun = True
            self._listening.enter_context(self._runtime.bus.subscribed(self._note))
            self._runtime.in_background(self._run)

    def _dismiss(self, subscriber: Subscriber) -> None:
        subscriber.close()
        self._subscribers.pop(subscriber, None)
        if not self._subscribers:
            # From here on changes are not read, so what is known grows old.
            self._known.clear()

    def _note(self, id: str) -> None:
        if self._subscribers:
            self._changed[id] = object()
            self._wakeup.set()

    async def _run(self) -> None:
        clock = self._runtime.clock
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(outlive_failures, self._tell_next, clock, "notifications")
                group.start_soon(outlive_failures, self._keep_pace, clock, "watched tasks")
        finally:
            # The runtime stops: streams end with their result.
            for subscriber in list(self._subscribers):
                subscriber.close()

    async def _tell_next(self) -> None:
        while not self._changed:
            await self._wakeup.wait()
        id, change = next(iter(self._changed.items()))
        is_done = True
        try:
            await self._tell(await self._runtime.tasks(), id)
        except StoreError:
            is_done = False
            raise
        finally:
            # One that has changed again meanwhile is read again.
            if is_done and self._changed[id] is change:
                del self._changed[id]
            if not self._changed:
                self._caught_up.set()
                self._caught_up = anyio.Event()

    async def _tell(self, tasks: Tasks, id: str) -> None:
        now, before = await tasks.by_id(id), self._known.get(id)
        task = now or before
        if task is None or (now and _is_only_a_failed_look(before, now)):
            return
        hearing = [one for one in self._subscribers if one.principal == task.principal]
        hears_of_many = any(topic in (LIST, TASKS) for one in hearing for topic in one.topics)
        topics = topics_of(before, now, is_recent=hears_of_many and await _is_recent(tasks, task))
        self._remember(id, now)
        self._unknown[task.principal].difference_update(names_of(task))
        for subscriber in hearing:
            subscriber.hear(topics)

    def _remember(self, id: str, task: Task | None) -> None:
        self._known.pop(id, None)
        if task is not None and self._subscribers:
            self._known[id] = task
            if len(self._known) > _REMEMBERED_TASKS:
                self._known.popitem(last=False)

    async def _keep_pace(self) -> None:
        """Watching a task is waiting for it: it is looked at as often as for ``wait_for_video``."""
        watched = {(one.principal, topic.name) for one in self._subscribers for topic in one.topics if topic.name}
        for principal, unknown in self._unknown.items():
            unknown &= {name for watcher, name in watched if watcher == principal}
        self._ended &= watched
        for principal, name in watched - self._ended:
            tasks = await self._runtime.tasks()
            task = await self._found(tasks, principal, name)
            if task is not None and task.finished:
                self._ended.add((principal, name))
            elif task is not None:
                tasks.want(task)
        await self._runtime.clock.sleep(max(self._runtime.settings.poll_seconds, 1.0))


def _is_only_a_failed_look(before: Task | None, now: Task) -> bool:
    """Whether nothing else has changed. A failed look is announced for waits; no resource shows it."""
    is_same = before is None or (before.task_id, before.status) == (now.task_id, now.status)
    return now.look_failed_at is not None and not now.finished and is_same


async def _is_recent(tasks: Tasks, task: Task) -> bool:
    """Whether the task is, or was until it was hidden, among the newest ones, which are listed by name."""
    newest = (await tasks.page(task.principal, limit=LISTED_TASKS)).tasks
    if len(newest) < LISTED_TASKS:
        return True
    return (task.created_at, task.id) >= (newest[-1].created_at, newest[-1].id)
