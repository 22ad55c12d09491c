"""Callbacks: a post to the address that an order named, once its task has ended."""

import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal

import anyio
import httpx2
from anyio.abc import TaskGroup

from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.world import Task

CallbackShape = Literal["full", "short"]
LIMIT_SECONDS: Final = 15.0
PAUSES_SECONDS: Final = (1.0, 5.0)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What a dialect may know when it spells a callback: `secret` "" means unsigned, `tasks` are all of the dialect."""

    at: datetime
    shape: CallbackShape = "full"
    secret: str = field(default="", repr=False)
    tasks: Iterable[Task] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What is posted."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_bytes(content: dict[str, Any]) -> bytes:
    """JSON as it goes over the wire."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(kw_only=True, eq=False)
class CallbackSender:
    """Delivers callbacks, each until a 2xx answer or for three tries; a restart tries again."""

    tasks: TaskFolder
    spell: Callable[[Task, datetime], Callback]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    transport: httpx2.AsyncBaseTransport | None = None
    _group: TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Delivers for the block, beginning with what is still owed."""
        async with plain_task_group() as group:
            # A process that ended before it had posted left these behind.
            for task in self.tasks.undelivered():
                group.start_soon(self.deliver, task)
            self._group = group
            try:
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def schedule(self, task: Task) -> None:
        """Delivers the callback of a task that has just been accepted, if it wants one."""
        # Without a group the simulator is ending; the next one on this folder finds what is owed.
        if task.callback_url and self._group is not None:
            self._group.start_soon(self.deliver, task)

    async def deliver(self, task: Task) -> None:
        """Waits for the end of the task, then posts; nothing is posted that another process delivered meanwhile."""
        try:
            await self._deliver(task)
        except Exception:  # the border of one callback: a full disk must not stop the server
            logger.exception("Callback for task %s given up", task.task_id)

    async def _deliver(self, task: Task) -> None:
        # A loop, as a clock that tests move may be behind when the sleep ends.
        while (remaining := (task.ends_at - self.now()).total_seconds()) > 0:
            await self.sleep(remaining)
        for pause in (0.0, *PAUSES_SECONDS):
            if pause:
                await self.sleep(pause)
            # Asked before each try: simulators on the same folder all owe the callback after a restart.
            if self.tasks.callback_delivered(task.task_id):
                return
            if await self._post(task):
                self.tasks.mark_callback_delivered(task)
                logger.info("Callback for task %s delivered", task.task_id)
                return
        logger.warning("Callback for task %s not delivered", task.task_id)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Takes 20 ms to make, in which nothing else gets its turn.
        return httpx2.create_ssl_context()

    def _client(self, url: str) -> httpx2.AsyncClient:
        # A stand-in on this machine must not send its callbacks through the proxy of the environment.
        verify = self._tls if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        headers = {"user-agent": "sora2-mcp-simulator", "content-type": "application/json"}
        return httpx2.AsyncClient(
            headers=headers, timeout=None, trust_env=False, verify=verify, transport=self.transport
        )

    async def _post(self, task: Task) -> bool:
        callback = self.spell(task, self.now())
        try:
            with anyio.fail_after(LIMIT_SECONDS):
                async with self._client(task.callback_url) as client:
                    answer = await client.post(task.callback_url, content=callback.body, headers=callback.headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            logger.debug("Callback for task %s: %s", task.task_id, type(error).__name__)
            return False
        return answer.is_success


@asynccontextmanager
async def plain_task_group() -> AsyncIterator[TaskGroup]:
    """A task group that ends with the error itself when there is just one, as `async with` of anything else would."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        # A test that fails inside of `running` must fail with its own error, not with a group around it.
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        raise
