"""Tells an order's `callBackUrl` that its task has ended."""

import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal

import anyio
import httpx2

from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.world import Task, record

CallbackShape = Literal["full", "short"]
LIMIT_SECONDS: Final = 15.0
PAUSES_SECONDS: Final = (1.0, 5.0)
logger = logging.getLogger(__name__)


def callback_body(task: Task, shape: CallbackShape) -> dict[str, Any]:
    """What the service posts once the task has ended; on failure `code` and `msg` say why."""
    ended = record(task, task.ends_at, task.origin)
    return {
        "code": ended["errorCode"] or 200,
        "msg": ended["errorMessage"] or "success",
        "data": ended if shape == "full" else _short(ended),
    }


class CallbackSender:
    """Delivers callbacks, each until a 2xx answer or for three tries; a restart tries again."""

    def __init__(
        self,
        *,
        tasks: TaskFolder,
        shape: CallbackShape,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = transport
        self._tasks = tasks
        self._shape = shape
        self._now = now
        self._sleep = sleep

    async def deliver(self, task: Task) -> None:
        """Waits for the end of the task, then posts; nothing is posted that another process delivered meanwhile."""
        try:
            await self._deliver(task)
        except Exception:  # the border of one callback: a full disk must not stop the server
            logger.exception("Callback for task %s given up", task.task_id)

    async def _deliver(self, task: Task) -> None:
        while (remaining := (task.ends_at - self._now()).total_seconds()) > 0:
            await self._sleep(remaining)
        for pause in (0.0, *PAUSES_SECONDS):
            if pause:
                await self._sleep(pause)
            if self._tasks.callback_delivered(task.task_id):
                return
            if await self._post(task):
                self._tasks.mark_callback_delivered(task)
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
        headers = {"user-agent": "sora2-mcp-simulator"}
        return httpx2.AsyncClient(
            headers=headers, timeout=None, trust_env=False, verify=verify, transport=self._transport
        )

    async def _post(self, task: Task) -> bool:
        try:
            with anyio.fail_after(LIMIT_SECONDS):
                async with self._client(task.callback_url) as client:
                    answer = await client.post(task.callback_url, json=callback_body(task, self._shape))
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            logger.debug("Callback for task %s: %s", task.task_id, type(error).__name__)
            return False
        return answer.is_success


def _short(ended: dict[str, Any]) -> dict[str, Any]:
    url = (ended["response"] or {}).get("imageUrl")
    return {"taskId": ended["taskId"], "promptJson": ended["paramJson"], "resultUrls": [url] if url else []}
