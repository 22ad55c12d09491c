"""The whole server, assembled."""

import logging
from base64 import b64encode
from functools import cached_property
from typing import Any

import anyio
from mcp.server import NotificationOptions, Server
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import (
    ResourceError,
    ResourceNotFoundError,
    ToolError,
    UnexpectedResourceError,
)
from mcp.server.mcpserver.tools import Tool, ToolManager
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    GetPromptRequestParams,
    GetPromptResult,
    Icon,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    NotificationParams,
    PaginatedRequestParams,
    PromptReference,
    PromptsCapability,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourcesCapability,
    ServerCapabilities,
    TextContent,
    TextResourceContents,
    ToolsCapability,
)
from mcp_types import Tool as ListedTool

from sora2_mcp import __version__
from sora2_mcp.domain.task import Status
from sora2_mcp.errors import ArgumentError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server import errors
from sora2_mcp.server.apps import EXTENSION, app_resources, read_app
from sora2_mcp.server.arguments import in_words, left_aside, sorted_out
from sora2_mcp.server.mcp_tasks import MCP_TASKS, McpTasks
from sora2_mcp.server.middleware import Request, explain_late_answers, observed, with_own_words
from sora2_mcp.server.notifications import Notifications
from sora2_mcp.server.offered import wording
from sora2_mcp.server.prompts import REVIEW, build_prompts
from sora2_mcp.server.resources import add_templates, build_resources, completed_ids, recent_tasks
from sora2_mcp.server.tools import Tools, build_tools, noted
from sora2_mcp.server.unread import note_call
from sora2_mcp.telemetry.spans import tool_call
from sora2_mcp.words import quoted

logger = logging.getLogger(__name__)

NAME = "sora2-mcp"
INSTRUCTIONS = """\
Make AI videos with {maker}: text-to-video and image-to-video generation.
Order with generate_video{it_costs}, then call wait_for_video until the video is done: it takes \
one to several minutes. "Still generating" is a normal answer: call wait_for_video again, or tell the user and come \
back later; nothing is lost meanwhile. Never order again because a video is not ready yet. Give the same \
idempotency_key whenever you repeat the same order. {deleted} download_video. An \
unconfirmed task {charged}: ask the user before ordering it again. list_tasks finds every earlier video. \
Read sora2://guide for advice on prompts."""

# One, and as an address: modern protocols repeat it in every result.
_ICON = Icon(
    src=f"https://raw.githubusercontent.com/sora2-mcp/sora2-mcp/v{__version__}/packaging/icon.png",
    mime_type="image/png",
    sizes=["512x512"],
)
_HANDSHAKE = ("initialize", "server/discover", "ping")
_INITIALIZED = "notifications/initialized"
_LISTING_SECONDS = 1.0
"""For so long after the handshake a host may ask what there is before the store is opened all the same."""

_WRITING_SECONDS = 0.05
"""An answer is written after its handler has ended; imports in a thread would hold it up."""

# Only another configuration changes the first; every task changes the second.
_FIXED = CacheHint(ttl_ms=3_600_000, scope="public")
_LIVE = CacheHint(ttl_ms=0, scope="private")


class Sora2Server(Server[Any]):
    """The handlers over one runtime, with own words for every error an agent can cause."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._mcp_tasks = McpTasks(runtime, Tools(runtime).waited)
        self._notifications = Notifications(runtime, self._mcp_tasks)
        self._open_since: dict[object, float] = {}
        self._idle = anyio.Event()
        super().__init__(
            NAME,
            title="Sora 2 video",
            description="Makes AI videos: order, wait, keep the file.",
            icons=[_ICON],
            instructions=INSTRUCTIONS.format_map(wording(runtime.upstream.capabilities())),
            version=__version__,
            cache_hints={
                "server/discover": _FIXED,
                "tools/list": _FIXED,
                "prompts/list": _FIXED,
                "resources/templates/list": _FIXED,
                "resources/list": _LIVE,
                "resources/read": _LIVE,
            },
            # For arguments in HTTP headers, which the SDK checks before any middleware runs.
            get_tool_input_schema=self._input_schema,
            on_list_tools=self._list_tools,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._notifications.subscribe,
            on_unsubscribe_resource=self._notifications.unsubscribe,
            on_subscriptions_listen=self._notifications.listen,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
        )
        self.extensions = {**EXTENSION, MCP_TASKS: {}}
        # Not an option of the base: its result may be a task, which is no result of a tool.
        self.add_request_handler("tools/call", CallToolRequestParams, self._call_tool)
        self._mcp_tasks.add_to(self)
        self.add_notification_handler(_INITIALIZED, NotificationParams, self._notifications.initialized)

    @cached_property
    def tools(self) -> ToolManager:
        """Made when they are first needed: their schemas take 20 ms, which no handshake needs."""
        return ToolManager(tools=build_tools(self._runtime))

    @cached_property
    def library(self) -> MCPServer[Any]:
        """Resources and prompts, made when they are first needed: the SDK's high-level server reads and renders."""
        library = MCPServer[Any](
            NAME, resources=build_resources(self._runtime), log_level=self._runtime.settings.log_level
        )
        add_templates(library, self._runtime)
        for prompt in build_prompts(self._runtime):
            library.add_prompt(prompt)
        return library

    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> ServerCapabilities:
        """In both eras alike: the list of resources changes, those of tools and prompts never do."""
        capabilities = super().get_capabilities(
            notification_options, experimental_capabilities, extensions, protocol_version=protocol_version
        )
        changes = {
            "tools": ToolsCapability(list_changed=False),
            "prompts": PromptsCapability(list_changed=False),
            "resources": ResourcesCapability(subscribe=True, list_changed=True),
        }
        return capabilities.model_copy(update=changes)

    async def idle(self) -> None:
        """Returns when no request is being worked on."""
        if self._open_since:
            await self._idle.wait()

    @property
    def oldest_call_seconds(self) -> float:
        """For how long the oldest request has been worked on; 0 if there is none."""
        return self._runtime.clock.monotonic() - next(iter(self._open_since.values())) if self._open_since else 0.0

    async def open_after_handshake(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """Opens the store once the host has its first answers: no host waits for a database to see the tools."""
        note_call()
        request = object()
        self._open_since[request] = self._runtime.clock.monotonic()
        try:
            result = await call_next(ctx)
            if ctx.method == "tools/call":
                await self._notifications.delivered(ctx)
        finally:
            del self._open_since[request]
            if not self._open_since:
                self._idle.set()
                self._idle = anyio.Event()
        if ctx.method not in _HANDSHAKE and not self._runtime.settings.missing:
            self._runtime.begin_in(_LISTING_SECONDS if ctx.method == _INITIALIZED else _WRITING_SECONDS)
        return result

    def _input_schema(self, name: str) -> dict[str, Any] | None:
        tool = self.tools.get_tool(name)
        return tool.parameters if tool else None

    async def _list_tools(self, _ctx: Request, _params: PaginatedRequestParams | None) -> ListToolsResult:
        listed = [
            ListedTool(
                name=tool.name,
                title=tool.title,
                description=tool.description,
                input_schema=tool.parameters,
                output_schema=tool.output_schema,
                annotations=tool.annotations,
                _meta=tool.meta,
            )
            for tool in self.tools.list_tools()
        ]
        return ListToolsResult(tools=listed)

    async def _call_tool(self, ctx: Request, params: CallToolRequestParams) -> HandlerResult:
        """Calls a tool; every failure reads as the table in ``server/errors.py`` says.

        Raises:
            MCPError: there is no such tool.
        """
        tool = self.tools.get_tool(params.name)
        if tool is None:
            names = ", ".join(known.name for known in self.tools.list_tools())
            raise MCPError(INVALID_PARAMS, f"Unknown tool {quoted(params.name[:60])}; there are {names}.")
        try:
            with tool_call(tool.name, self._runtime.clock):
                given = params.arguments or {}
                arguments = self._mcp_tasks.shortened(ctx, tool.name, given)
                result = await self._called(tool, arguments, self._context(ctx, params))
                if not isinstance(result, CallToolResult):
                    return result
                return await self._mcp_tasks.taken(ctx, tool.name, given, result)
        except ToolError as error:
            # No more than the class: the words may quote what the service says.
            logger.info("%s failed: %s", tool.name, type(error.__cause__).__name__)
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)

    async def _called(
        self, tool: Tool, arguments: dict[str, Any], context: Context[Any, Any]
    ) -> CallToolResult | InputRequiredResult:
        price_unit = self._runtime.upstream.capabilities().price_unit
        given = sorted_out(arguments, tool.fn_metadata.arg_model.model_fields)
        if problem := errors.argument_problem(tool, given, price_unit=price_unit):
            # The client reads the words; spans and metrics show the cause's class only.
            raise ToolError(problem) from ArgumentError("arguments", "do not fit")
        note = left_aside(given.extras, tool.name)
        try:
            result: CallToolResult | InputRequiredResult = await tool.run(given.known, context, convert_result=True)
        except ToolError as error:
            if isinstance(error.__cause__, Sora2Error):
                has_key = bool(given.known.get("idempotency_key"))
                words = errors.described(error.__cause__, tool.name, note, price_unit=price_unit, has_key=has_key)
                raise ToolError(words) from error.__cause__
            logger.exception("tool %s failed unexpectedly", tool.name)
            raise ToolError(errors.crashed(tool.name, price_unit=price_unit)) from error.__cause__
        return noted(result, note) if note and isinstance(result, CallToolResult) else result

    async def _list_resources(self, _ctx: Request, _params: PaginatedRequestParams | None) -> ListResourcesResult:
        """The fixed resources, then the newest tasks by name."""
        fixed = await self.library.list_resources()
        return ListResourcesResult(resources=[*fixed, *app_resources(), *await recent_tasks(self._runtime)])

    async def _list_templates(
        self, _ctx: Request, _params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=await self.library.list_resource_templates())

    async def _read_resource(
        self, ctx: Request, params: ReadResourceRequestParams
    ) -> ReadResourceResult | InputRequiredResult:
        uri = params.uri
        if (page := await read_app(uri, self._runtime)) is not None:
            return page
        try:
            read = await self.library.read_resource(uri, self._context(ctx, params))
        except ResourceError as error:
            if isinstance(error, UnexpectedResourceError):
                logger.exception("a resource could not be read")
            code = INVALID_PARAMS if isinstance(error, ResourceNotFoundError) else INTERNAL_ERROR
            raise MCPError(code, str(error), {"uri": uri}) from None
        if isinstance(read, InputRequiredResult):
            return read
        return ReadResourceResult(
            contents=[
                TextResourceContents(uri=uri, mime_type=item.mime_type, text=item.content)
                if isinstance(item.content, str)
                else BlobResourceContents(uri=uri, mime_type=item.mime_type, blob=b64encode(item.content).decode())
                for item in read
            ]
        )

    async def _list_prompts(self, _ctx: Request, _params: PaginatedRequestParams | None) -> ListPromptsResult:
        return ListPromptsResult(prompts=await self.library.list_prompts())

    async def _get_prompt(self, ctx: Request, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
        """A prompt, filled in.

        Raises:
            MCPError: unknown prompt or missing argument, as invalid parameters and in words.
        """
        name = params.name
        prompts = {prompt.name: prompt for prompt in await self.library.list_prompts()}
        if name not in prompts:
            raise MCPError(INVALID_PARAMS, f"There is no prompt {quoted(name[:60])}; there are {', '.join(prompts)}.")
        expected = {argument.name: argument for argument in prompts[name].arguments or []}
        given = sorted_out(params.arguments or {}, expected)
        for other, meant in given.meant.items():
            raise MCPError(INVALID_PARAMS, f"{in_words([other])} is not an argument of {name}; did you mean {meant}?")
        for argument in expected.values():
            if argument.required and not str(given.known.get(argument.name, "")).strip():
                raise MCPError(INVALID_PARAMS, f"{argument.name} is missing: {argument.description}")
        result = await self.library.get_prompt(name, given.known, self._context(ctx, params))
        if given.extras and isinstance(result, GetPromptResult):
            result.description = f"{result.description or ''} {left_aside(given.extras, name)}".strip()
        return result

    async def _complete(self, _ctx: Request, params: CompleteRequestParams) -> CompleteResult:
        if params.argument.name != "task_id":
            return CompleteResult(completion=Completion(values=[]))
        failed = isinstance(params.ref, PromptReference) and params.ref.name == REVIEW
        status = Status.FAILED if failed else None
        return CompleteResult(completion=await completed_ids(self._runtime, params.argument.value, status))

    def _context(
        self, ctx: Request, params: CallToolRequestParams | ReadResourceRequestParams | GetPromptRequestParams
    ) -> Context[Any, Any]:
        return Context(request_context=ctx, input_params=params)


def build_server(runtime: Runtime) -> Sora2Server:
    """The server over a runtime; the caller has entered the runtime, or does before the first request."""
    server = Sora2Server(runtime)
    keys = runtime.settings.sealing_keys
    # With these keys any replica takes the answer to a question that another one asked; without, this process alone.
    security = RequestStateSecurity(keys=keys) if keys else RequestStateSecurity.ephemeral()
    [span] = server.middleware
    # From the outside in.
    server.middleware[:] = [
        explain_late_answers,
        with_own_words,
        span,
        observed,
        # It turns an answer that comes too late away before any handler sees it.
        RequestStateBoundary(security, default_audience=NAME),
        server.open_after_handshake,
    ]
    return server
