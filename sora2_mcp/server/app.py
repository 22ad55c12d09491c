"""The whole server, assembled."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import ToolManager
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    Completion,
    CompletionArgument,
    CompletionContext,
    GetPromptResult,
    Icon,
    InputRequiredResult,
    PromptReference,
    ResourceTemplateReference,
)
from mcp_types import Resource as ListedResource

from sora2_mcp import __version__
from sora2_mcp.domain.task import Status
from sora2_mcp.errors import ArgumentError, Sora2Error, quoted
from sora2_mcp.runtime import Runtime
from sora2_mcp.server import errors
from sora2_mcp.server.arguments import Arguments, left_aside, sorted_out, told
from sora2_mcp.server.confirm import too_late
from sora2_mcp.server.guide import INSTRUCTIONS
from sora2_mcp.server.notifications import Notifications, told_honestly
from sora2_mcp.server.observed import observed, said
from sora2_mcp.server.offered import wording
from sora2_mcp.server.prompts import REVIEW, build_prompts
from sora2_mcp.server.resources import add_templates, build_resources, completed_ids, recent_tasks
from sora2_mcp.server.tools import build_tools, noted
from sora2_mcp.server.unread import note_call
from sora2_mcp.telemetry.spans import tool_called

logger = logging.getLogger(__name__)

NAME = "sora2-mcp"
# One, and as an address: modern protocols repeat it in every result.
_ICON = Icon(
    src=f"https://raw.githubusercontent.com/sora2-mcp/sora2-mcp/v{__version__}/packaging/icon.png",
    mime_type="image/png",
    sizes=["512x512"],
)
_LATE_ANSWER = "Invalid or expired requestState"
_HANDSHAKE = ("initialize", "server/discover", "ping")
_INITIALIZED = "notifications/initialized"
_LISTING_SECONDS = 1.0
"""For so long after the handshake a host may ask what there is before the store is opened all the same."""

_WRITING_SECONDS = 0.05
"""An answer is written after its handler has ended; imports in a thread would hold it up."""
_FIXED = CacheHint(ttl_ms=3_600_000, scope="public")
_LIVE = CacheHint(ttl_ms=0, scope="private")


class Sora2Server(MCPServer[Any]):
    """An MCP server over one runtime, with own words for every error an agent can cause."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(
            NAME,
            title="Sora 2 video",
            description="Makes AI videos: order, wait, keep the file.",
            icons=[_ICON],
            instructions=INSTRUCTIONS.format_map(wording(runtime.upstream.capabilities())),
            version=__version__,
            # The SDK's own would let anybody watch everything; server/notifications.py does it by principal.
            subscriptions=False,
            cache_hints={
                "server/discover": _FIXED,
                "tools/list": _FIXED,
                "prompts/list": _FIXED,
                "resources/templates/list": _FIXED,
                "resources/list": _LIVE,
                "resources/read": _LIVE,
            },
            log_level=runtime.settings.log_level,
            request_state_security=_sealing(runtime.settings.sealing_keys),
            middleware=[self._open_after_handshake],
        )
        # The SDK's own: a span first, then what turns an answer that comes too late away before any handler sees it.
        span, *rest = self.middleware
        self.middleware[:] = [_explain_late_answers, said, span, observed, *rest]
        self._runtime = runtime
        self._open_since: dict[object, float] = {}
        self._idle = anyio.Event()
        self._has_tools = self._has_rest = False
        self._notifications = Notifications(runtime)
        self._notifications.register(self._lowlevel_server)
        self.completion()(self._complete)  # type: ignore[no-untyped-call]  # the SDK's decorator has no types

    @property
    def low_level(self) -> Server[Any]:
        """The SDK's server below, which the own runners drive."""
        return self._lowlevel_server

    def equip(self, method: str = "") -> None:
        """Adds, once, the tools for a method of tools, and resources and prompts for others; everything for none.

        Their schemas take 20 ms to make, which no handshake needs.
        """
        is_of_tools = method.startswith("tools/")
        if not self._has_tools and (is_of_tools or not method):
            self._has_tools = True
            self._tool_manager = ToolManager(tools=build_tools(self._runtime))
        if not self._has_rest and not is_of_tools:
            self._has_rest = True
            for resource in build_resources(self._runtime):
                self.add_resource(resource)
            add_templates(self, self._runtime)
            for prompt in build_prompts(self._runtime):
                self.add_prompt(prompt)

    async def idle(self) -> None:
        """Returns when no request is being worked on."""
        if self._open_since:
            await self._idle.wait()

    @property
    def oldest_call_seconds(self) -> float:
        """For how long the oldest request has been worked on; 0 if there is none."""
        return self._runtime.clock.monotonic() - next(iter(self._open_since.values())) if self._open_since else 0.0

    @contextmanager
    def _counted(self) -> Iterator[None]:
        request = object()
        self._open_since[request] = self._runtime.clock.monotonic()
        try:
            yield
        finally:
            del self._open_since[request]
            if not self._open_since:
                self._idle.set()
                self._idle = anyio.Event()

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Calls a tool; every failure reads as the table in ``server/errors.py`` says.

        Raises:
            MCPError: there is no such tool.
        """
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            names = ", ".join(known.name for known in self._tool_manager.list_tools())
            raise MCPError(INVALID_PARAMS, f"Unknown tool {quoted(name[:60])}; there are {names}.")
        given = sorted_out(arguments, tool.fn_metadata.arg_model.model_fields)
        with tool_called(name, self._runtime.clock):
            if problem := errors.argument_problem(tool, given, price_unit=self._price_unit):
                raise ToolError(problem) from ArgumentError("arguments", "do not fit")
            return await self._called(name, given, context)

    @property
    def _price_unit(self) -> str:
        return self._runtime.upstream.capabilities().price_unit

    async def _called(
        self, name: str, given: Arguments, context: Context[Any, Any] | None
    ) -> CallToolResult | InputRequiredResult:
        note = left_aside(given.extras, name)
        try:
            result = await super().call_tool(name, given.known, context)
        except ToolError as error:
            if isinstance(error.__cause__, Sora2Error):
                words = errors.described(error.__cause__, name, note, price_unit=self._price_unit)
                raise ToolError(words) from error.__cause__
            logger.exception("tool %s failed unexpectedly", name)
            raise ToolError(errors.crashed(name, price_unit=self._price_unit)) from error.__cause__
        return noted(result, note) if note and isinstance(result, CallToolResult) else result

    async def list_resources(self) -> list[ListedResource]:
        """The fixed resources, then the newest tasks by name."""
        return [*await super().list_resources(), *await recent_tasks(self._runtime)]

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """A prompt, filled in.

        Raises:
            MCPError: unknown prompt or missing argument, as invalid parameters and in words.
        """
        prompts = {prompt.name: prompt for prompt in await self.list_prompts()}
        if name not in prompts:
            raise MCPError(INVALID_PARAMS, f"There is no prompt {quoted(name[:60])}; there are {', '.join(prompts)}.")
        expected = {argument.name: argument for argument in prompts[name].arguments or []}
        given = sorted_out(arguments or {}, expected)
        for other, meant in given.meant.items():
            raise MCPError(INVALID_PARAMS, f"{told([other])} is not an argument of {name}; did you mean {meant}?")
        for argument in expected.values():
            if argument.required and not str(given.known.get(argument.name, "")).strip():
                raise MCPError(INVALID_PARAMS, f"{argument.name} is missing: {argument.description}")
        result = await super().get_prompt(name, given.known, context)
        if given.extras and isinstance(result, GetPromptResult):
            result.description = f"{result.description or ''} {left_aside(given.extras, name)}".strip()
        return result

    async def _complete(
        self,
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,  # noqa: ARG002 - the SDK's signature
    ) -> Completion | None:
        if argument.name != "task_id":
            return None
        failed = isinstance(ref, PromptReference) and ref.name == REVIEW
        return await completed_ids(self._runtime, argument.value, Status.FAILED if failed else None)

    async def _open_after_handshake(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Opens the store once the host has its first answers: no host waits for a database to see the tools."""
        note_call()
        handshake = ctx.method in _HANDSHAKE
        if not handshake and ctx.method != _INITIALIZED:
            self.equip(ctx.method)
        with self._counted():
            result = await call_next(ctx)
            if ctx.method == "tools/call":
                await self._notifications.told(ctx)
        if not handshake and not self._runtime.settings.missing:
            self._runtime.begin_in(_LISTING_SECONDS if ctx.method == _INITIALIZED else _WRITING_SECONDS)
        return told_honestly(result) if handshake else result


def _sealing(keys: Sequence[str]) -> RequestStateSecurity | None:
    """Any replica with these keys takes the answer to a question that another one asked; None: this process alone."""
    return RequestStateSecurity(keys=keys) if keys else None


async def _explain_late_answers(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Says of an answer that comes too late what it means for the order.

    It stays an error of the protocol: a state that fails its check must be refused, not answered.
    """
    try:
        return await call_next(ctx)
    except MCPError as error:
        if ctx.method != "tools/call" or error.message != _LATE_ANSWER:
            raise
        raise MCPError(error.code, errors.described(too_late(), "generate_video"), error.data) from error


def build_server(runtime: Runtime, *, equipped: bool = True) -> Sora2Server:
    """The server over a runtime; the caller has entered the runtime, or does before the first request.

    Not ``equipped``, it gets its tools with the first request after the handshake.
    """
    server = Sora2Server(runtime)
    if equipped:
        server.equip()
    return server
