"""The MCP tasks extension: a call becomes a task of the protocol, which is a task of ours under its own id.

For clients that declare it, on protocol 2026-07-28 and later. They ask by ``tasks/get``, which counts as waiting, or
listen; a task that has ended holds the result that ``wait_for_video`` gives.

Source: https://github.com/modelcontextprotocol/ext-tasks, specification/draft/tasks.md (SEP-2663).
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    ClientCapabilities,
    Notification,
    NotificationParams,
    RequestParams,
    SubscriptionFilter,
    TextContent,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ConfigDict

from sora2_mcp.domain.task import Task
from sora2_mcp.errors import Sora2Error, UnauthorizedError, UnknownTaskError
from sora2_mcp.runtime import Runtime
from sora2_mcp.server import errors, texts
from sora2_mcp.server.principal import current_principal
from sora2_mcp.server.views import iso
from sora2_mcp.tasks.tasks import Tasks

MCP_TASKS = "io.modelcontextprotocol/tasks"
"""The extension's identifier."""

TASK_IDS = "taskIds"
"""Where a stream names the tasks that it is to tell of."""

ANSWERED_AT_ONCE_SECONDS = 3
"""A wait this short is answered by itself; a longer one becomes a task where the video is not done by then."""

_DONE = {"resultType": "complete"}
_ORDER, _WAIT = "generate_video", "wait_for_video"

Request = ServerRequestContext[Any, Any]
Answer = TypeVar("Answer")


class TaskParams(RequestParams):
    """Which task a request is about."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers to what the task has asked."""

    input_responses: dict[str, Any]


class _NotificationParams(NotificationParams):
    """A whole task, as ``tasks/get`` gives it."""

    model_config = ConfigDict(extra="allow")


class _Notification(Notification[_NotificationParams, Literal["notifications/tasks"]]):
    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: _NotificationParams


@dataclass(frozen=True)
class McpTaskChanged:
    """A task that a client listens to by its id has changed."""

    task_id: str


def declares_tasks(version: str | None, capabilities: ClientCapabilities | None) -> bool:
    """Whether a request's client takes a task for an answer."""
    declared = capabilities.extensions if capabilities is not None else None
    return version in MODERN_PROTOCOL_VERSIONS and MCP_TASKS in (declared or {})


class McpTasks:
    """The extension over one runtime; ``ended`` makes the result of a task that has ended."""

    def __init__(self, runtime: Runtime, ended: Callable[[Tasks, Task], CallToolResult]) -> None:
        self._runtime = runtime
        self._ended = ended

    def add_to(self, server: Server[Any]) -> None:
        """Adds the methods of the extension."""
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", UpdateParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    def shortened(self, ctx: Request, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call that becomes a task if it would take long: with a short wait."""
        if tool != _WAIT or not _may_become_task(ctx, tool, arguments):
            return arguments
        return {**arguments, "timeout_seconds": ANSWERED_AT_ONCE_SECONDS}

    async def taken(
        self, ctx: Request, tool: str, arguments: dict[str, Any], result: CallToolResult
    ) -> CallToolResult | dict[str, Any]:
        """The result of a call, or in its place the task that goes on."""
        content = result.structured_content or {}
        if content.get("status") != "generating" or not _may_become_task(ctx, tool, arguments):
            return result
        task_id = content["task_id"]
        task = await (await self._runtime.tasks()).find(task_id, current_principal())
        return {"resultType": "task", **self._shown(task, task_id, status="working", statusMessage=content["message"])}

    async def known(self, task_id: str) -> None:
        """Returns if the caller has such a task.

        Raises:
            UnknownTaskError, StoreError.
        """
        await (await self._runtime.tasks()).find(task_id, current_principal())

    async def detailed(self, task_id: str) -> dict[str, Any]:
        """A task as it stands, in the protocol's shape, with its result if it has ended; counts as waiting for it.

        Raises:
            UnknownTaskError, StoreError.
        """
        tasks = await self._runtime.tasks()
        task = await tasks.find(task_id, current_principal())
        if tasks.is_settled(task):
            return self._shown(task, task_id, status="completed", result=_on_the_wire(self._ended(tasks, task)))
        tasks.want(task)
        if self._is_refused(task):
            # A wait ends with this at once, as no look can work before a person acts.
            price_unit = self._runtime.upstream.capabilities().price_unit
            words = errors.described(UnauthorizedError(), _WAIT, price_unit=price_unit)
            refused = CallToolResult(content=[TextContent(type="text", text=words)], is_error=True)
            return self._shown(task, task_id, status="completed", result=_on_the_wire(refused))
        message = texts.described(task, self._runtime.clock.now()).message
        return self._shown(task, task_id, status="working", statusMessage=message)

    def _is_refused(self, task: Task) -> bool:
        """The latest look met a key that is not accepted. An old one may be of before the key was corrected."""
        if task.look_failed_at is None or task.look_error_code != UnauthorizedError.code:
            return False
        return self._runtime.clock.now() - task.look_failed_at <= timedelta(seconds=2 * self._poll_seconds)

    def listened(self, ctx: Request, asked: SubscriptionFilter) -> list[str]:
        """The ids of the tasks that a stream is to tell of.

        Raises:
            MCPError: the client does not declare the extension, or this is no list of ids.
        """
        ids = (asked.model_extra or {}).get(TASK_IDS)
        if ids is None:
            return []
        check_declared(ctx)
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
            raise MCPError(INVALID_PARAMS, f"{TASK_IDS} must be a list of texts.")
        return list(dict.fromkeys(ids))

    async def notification(self, event: McpTaskChanged, meta: dict[str, Any]) -> Any:
        """What a stream is told of a task.

        Raises:
            UnknownTaskError, StoreError.
        """
        return _Notification(params=_NotificationParams(_meta=meta, **await self.detailed(event.task_id)))

    async def get(self, ctx: Request, params: TaskParams) -> HandlerResult:
        """The task as it stands."""
        return {**_DONE, **await self._checked(ctx, params, self.detailed)}

    async def update(self, ctx: Request, params: UpdateParams) -> HandlerResult:
        """Nothing is ever outstanding, as a person is asked before there is a task: the answers are left aside."""
        await self._checked(ctx, params, self.known)
        return _DONE

    async def cancel(self, ctx: Request, params: TaskParams) -> HandlerResult:
        """The client waits no longer. The video cannot be cancelled, so the task goes on."""
        await self._checked(ctx, params, self.known)
        return _DONE

    async def _checked(self, ctx: Request, params: TaskParams, ask: Callable[[str], Awaitable[Answer]]) -> Answer:
        """What ``ask`` gives for the task that a request names.

        Raises:
            MCPError: the client does not declare the extension, names another task in its header, or no known one.
        """
        check_declared(ctx)
        # The SDK compares this header for its own methods only.
        if ctx.request is not None and ctx.request.headers.get("mcp-name", params.task_id) != params.task_id:
            raise MCPError(HEADER_MISMATCH, "The header Mcp-Name names another task than taskId does.")
        try:
            return await ask(params.task_id)
        except Sora2Error as error:
            code = INVALID_PARAMS if isinstance(error, UnknownTaskError) else INTERNAL_ERROR
            raise MCPError(code, f"{error}. {error.hint}") from error

    def _shown(self, task: Task, task_id: str, **state: Any) -> dict[str, Any]:
        """``task_id`` as the client calls it: each task has two."""
        updated_at = max(filter(None, (task.created_at, task.last_look_at, task.look_failed_at, task.finished_at)))
        return {
            "taskId": task_id,
            "createdAt": iso(task.created_at),
            "lastUpdatedAt": iso(updated_at),
            # Tasks are kept for good.
            "ttlMs": None,
            "pollIntervalMs": self._poll_seconds * 1000,
            **state,
        }

    @property
    def _poll_seconds(self) -> int:
        return math.ceil(max(1.0, self._runtime.settings.poll_seconds))


def _may_become_task(ctx: Request, tool: str, arguments: dict[str, Any]) -> bool:
    """Whether the client takes a task for an answer to this call: an order, or a wait that may be long."""
    if not _declares(ctx) or tool not in (_ORDER, _WAIT):
        return False
    seconds = arguments.get("timeout_seconds", texts.DEFAULT_WAIT_SECONDS)
    return tool == _ORDER or (isinstance(seconds, int) and seconds > ANSWERED_AT_ONCE_SECONDS)


def _on_the_wire(result: CallToolResult) -> dict[str, Any]:
    content: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return content


def check_declared(ctx: Request) -> None:
    """Refuses a client that does not know the extension.

    Raises:
        MCPError: it does not declare it.
    """
    if not _declares(ctx):
        needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {MCP_TASKS: {}}}}
        words = f"This needs a client that declares {MCP_TASKS}."
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, words, needed)


def _declares(ctx: Request) -> bool:
    return declares_tasks(ctx.protocol_version, ctx.session.client_capabilities)
