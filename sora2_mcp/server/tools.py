"""The tools: parameters in, a text that is enough alone and structured content that is enough alone out."""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, ImageContent, InputRequiredResult, TextContent, ToolAnnotations

from sora2_mcp.domain.preview import Preview
from sora2_mcp.domain.request import SORA2API, AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import TASK_ID_LIMIT, Status, Task
from sora2_mcp.errors import DeclinedError
from sora2_mcp.runtime import Runtime
from sora2_mcp.server import texts
from sora2_mcp.server.apps import GALLERY, PLAYER, shown_by
from sora2_mcp.server.confirm import consent, is_answered, must_ask
from sora2_mcp.server.links import shown
from sora2_mcp.server.listing import Filter, listed
from sora2_mcp.server.mcp_tasks import declares_tasks
from sora2_mcp.server.offered import offered, tellable, without, wording
from sora2_mcp.server.parameters import (
    CallbackUrl,
    Cursor,
    Filename,
    Frames,
    ImageUrls,
    Key,
    Limit,
    Prompt,
    QualityName,
    Ratio,
    Seconds,
    StatusFilter,
    TaskId,
    Timeout,
    Watermark,
)
from sora2_mcp.server.principal import current_principal
from sora2_mcp.server.progress import with_progress
from sora2_mcp.server.schema import tidied, with_optional_nullable, without_prose
from sora2_mcp.server.views import (
    SavedVideoView,
    TaskListView,
    TaskView,
    View,
    declined_view,
    saved_video_view,
    task_view,
)
from sora2_mcp.tasks.downloads import Download
from sora2_mcp.tasks.orders import Submission
from sora2_mcp.tasks.previews import is_available
from sora2_mcp.tasks.tasks import STATUS_SECONDS, Tasks

SAVING_SECONDS = 25.0
"""A download that takes longer goes on in the background, and the call ends normally."""

OPENING_PATIENCE_SECONDS = 2.5
"""An order's answer is due after three seconds, opening the store included."""

LOOKING_SECONDS = 9.5
"""A look's answer is due after ten seconds, opening the store included."""


_PREVIEW = "sora2-mcp/preview"
"""The key of what a preview says of its video, for programs."""

_OF_THE_END = ("cost", "download_url", "file_path", "finished_at", "video_expires_at")
_OF_THE_ORDER = ("prompt", "aspect_ratio", "quality", "image_urls", "watermark", "seconds", "elapsed_seconds")


class Tools:
    """The tools over one runtime; each method is one, and its docstring is what the agent reads."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._clock = runtime.clock
        self._settings = runtime.settings
        self._has_previews = is_available()

    async def generate_video(
        self,
        ctx: Context,
        prompt: Prompt,
        image_urls: ImageUrls = [],  # noqa: B006 - pydantic copies defaults
        aspect_ratio: Ratio = "landscape",
        quality: QualityName = "standard",
        watermark: Watermark = "",
        callback_url: CallbackUrl = "",
        seconds: Seconds = 0,
        idempotency_key: Key = "",
    ) -> CallToolResult | InputRequiredResult:
        """Order a new AI video ({maker}) from a text prompt, or from images plus a prompt.

        {costs} {fixed} If the user wants what is not offered here, say so before ordering. Gives a task_id within 3 s;
        the video takes one to several minutes: call wait_for_video next. Several may be under way at once. {refusals}
        Not to check or fetch a video ordered before (get_task_status, list_tasks), nor again because one is not ready.
        """
        request = VideoRequest(
            prompt=prompt,
            image_urls=tuple(image_urls),
            aspect_ratio=AspectRatio(aspect_ratio),
            quality=Quality(quality),
            watermark=watermark,
            callback_url=callback_url,
            seconds=seconds,
        ).validated(self._runtime.upstream.capabilities(Quality(quality)))

        called_at = self._clock.monotonic()
        agreed = await self._consent(ctx, request, idempotency_key)
        if not isinstance(agreed, str):
            return agreed

        async def order() -> Submission:
            tasks = await self._runtime.tasks(OPENING_PATIENCE_SECONDS)
            submission = await tasks.submit(
                request,
                current_principal(),
                key=idempotency_key,
                consent=agreed,
                needs_consent=must_ask(self._settings.confirm, request),
                # A person may have thought for minutes: the three seconds begin with the answer.
                called_at=None if agreed else called_at,
                joins_running=declares_tasks(ctx.protocol_version, ctx.client_capabilities),
            )
            return replace(submission, task=shown(self._runtime, submission.task))

        submission = await with_progress(ctx, self._clock, order, message=lambda _: "Ordering the video")
        return self._result_of(submission.task, texts.submitted(submission, self._clock.now()))

    async def get_task_status(self, task_id: TaskId) -> CallToolResult:
        """Look once at how a video task stands, without waiting.

        Free. Asks the service if the task is unfinished. Use it for a single check, or for a task ordered elsewhere. To
        wait for a video, call wait_for_video instead of repeating this. {kept}
        """
        called_at = self._clock.monotonic()
        tasks = await self._runtime.tasks()
        left = LOOKING_SECONDS - (self._clock.monotonic() - called_at)
        task = shown(self._runtime, await tasks.get(task_id, current_principal(), min(left, STATUS_SECONDS)))
        usual = None if task.finished else await tasks.usual_seconds(task)
        return self._result_of(task, texts.described(task, self._clock.now(), texts.Wait(usual_seconds=usual)))

    async def wait_for_video(
        self, ctx: Context, task_id: TaskId, timeout_seconds: Timeout = texts.DEFAULT_WAIT_SECONDS
    ) -> CallToolResult:
        """Wait until a video is finished, and get its address.

        Free, and the right call after generate_video. Returns as soon as the task ends; when the time is up first, a
        normal "still generating" result comes and nothing is lost: call it again, or tell the user to come back later.
        Should the call be cut short by an error or a time-out of your side, nothing is lost either: call it again with
        timeout_seconds=3. Not for a single check without waiting (get_task_status).
        """
        seconds = float(max(0, min(timeout_seconds, self._settings.max_wait_seconds)))

        async def wait() -> CallToolResult:
            tasks = await self._runtime.tasks()
            task = await tasks.wait(task_id, current_principal(), seconds)
            # The default need not be repeated.
            limit = None if timeout_seconds == texts.DEFAULT_WAIT_SECONDS else int(seconds)
            usual = None if task.finished else await tasks.usual_seconds(task)
            return self.waited(tasks, task, texts.Wait(timeout_seconds=limit, usual_seconds=usual))

        return await with_progress(
            ctx,
            self._clock,
            wait,
            message=lambda waited: f"Waiting for the video, {texts.duration(waited)} so far",
            total_seconds=seconds or None,
        )

    async def list_tasks(self, status: StatusFilter = "any", limit: Limit = 10, cursor: Cursor = "") -> CallToolResult:
        """List this user's video tasks, newest first, with their ids, states and video addresses.

        Free; shows what is known without asking the service. Use it to find a task_id again, to see orders whose
        outcome is not known (unconfirmed), or what was made lately. To see one task freshly, call get_task_status.
        """
        tasks = await self._runtime.tasks()
        wanted = None if status == "any" else Status(status)
        principal = current_principal()
        page = await tasks.page(principal, status=wanted, limit=limit, cursor=cursor)
        page = replace(page, tasks=tuple(shown(self._runtime, task) for task in page.tasks))
        now = self._clock.now()
        views = [task_view(task, now, self._settings.poll_seconds) for task in page.tasks]
        answer = listed(
            page,
            now,
            asked=Filter(status=status, limit=limit),
            total=await tasks.count(principal, wanted),
            usage=await tasks.usage(principal),
            daily_limit=self._settings.daily_limit,
        )
        return _result(answer, TaskListView(tasks=views, next_cursor=page.next_cursor))

    async def download_video(self, ctx: Context, task_id: TaskId, filename: Filename = "") -> CallToolResult:
        """Save a finished video as an MP4 file where this server runs, and get its path, or a link to it.

        Free. Use it when the user wants to keep the video: {deletes}. Asking again gives the
        same file. Only for succeeded tasks: call wait_for_video first. Not needed just to show the link.
        """
        download: Download | None = None

        async def save() -> tuple[Task, texts.Answer]:
            nonlocal download
            tasks = await self._runtime.tasks()
            task, download = await tasks.begin_download(task_id, current_principal(), filename)
            is_new = download is not None
            if download is not None:
                with self._clock.timeout(SAVING_SECONDS):
                    await download.done.wait()
                if not download.done.is_set():
                    return task, texts.saving(task, download)
                task = await download.result()
            task, now = shown(self._runtime, task), self._clock.now()
            if task.file is None:
                return task, texts.described(task, now)
            return task, texts.saved(task, task.file, now, is_new=is_new)

        task, answer = await with_progress(ctx, self._clock, save, message=lambda _: texts.saving_now(download))
        return _result(answer, saved_video_view(task, self._clock.now(), self._settings.poll_seconds))

    async def preview_video(self, ctx: Context, task_id: TaskId, frames: Frames = 4) -> CallToolResult:
        """See what a finished video shows: frames of it on one picture, each with its moment, and its length and size.

        Free. Use it to check a video against what the user asked for, before or instead of ordering again. Only for
        succeeded tasks: call wait_for_video first. To keep the file, call download_video.
        """

        async def look() -> tuple[Task, Preview]:
            return await (await self._runtime.tasks()).preview(task_id, current_principal(), frames)

        task, preview = await with_progress(ctx, self._clock, look, message=lambda _: "Looking at the video")
        # No structured content: hosts that show the model the data only would hide the picture.
        return CallToolResult(
            content=[
                ImageContent(type="image", data=b64encode(preview.jpeg).decode(), mime_type="image/jpeg"),
                TextContent(type="text", text=str(texts.previewed(task, preview))),
            ],
            _meta={_PREVIEW: {**asdict(preview.facts), "task_id": task.reference, "moments": list(preview.moments)}},
        )

    def waited(self, tasks: Tasks, task: Task, wait: texts.Wait | None = None) -> CallToolResult:
        """The result of a wait for the task."""
        task, problem, now = shown(self._runtime, task), tasks.saving_problem(task), self._clock.now()
        answer = texts.described(task, now, wait)
        if self._has_previews and (task.file or (task.link and not task.is_deleted(now))):
            answer = texts.with_preview(answer, task)
        return self._result_of(task, texts.unsaved(answer, problem) if problem else answer)

    async def _consent(
        self, ctx: Context, request: VideoRequest, key: str
    ) -> str | InputRequiredResult | CallToolResult:
        """A person's yes to an order that would be new, or the question; empty where none is needed.

        A no is a result of its own.
        """
        if not must_ask(self._settings.confirm, request):
            return ""
        tasks = await self._runtime.tasks(OPENING_PATIENCE_SECONDS)
        # An answer finds its order by itself, also when the limits have been reached since.
        asks = is_answered(ctx) or await tasks.is_new(request, current_principal(), key)
        if not asks:
            return ""
        price_unit = self._runtime.upstream.capabilities().price_unit
        try:
            return await consent(ctx, request, price_unit)
        except DeclinedError as error:
            answer = texts.declined(error, price_unit)
            return _result(answer, declined_view(request, self._clock.now(), price_unit))

    def _result_of(self, task: Task, answer: texts.Answer) -> CallToolResult:
        return _result(answer, task_view(task, self._clock.now(), self._settings.poll_seconds))


def build_tools(runtime: Runtime) -> list[Tool]:
    """The tools over one runtime, in the order they are listed."""
    tools = Tools(runtime)
    capabilities = runtime.upstream.capabilities()
    listed = [
        _tool(tools.generate_video, "Order a video", TaskView, PLAYER, read_only=False, repeats_harmlessly=False),
        _tool(tools.get_task_status, "Look at a video task", TaskView, PLAYER, read_only=True, repeats_harmlessly=True),
        _tool(tools.wait_for_video, "Wait for a video", TaskView, PLAYER, read_only=True, repeats_harmlessly=True),
        _tool(tools.list_tasks, "List video tasks", TaskListView, GALLERY, read_only=True, repeats_harmlessly=True),
        _tool(tools.download_video, "Save a video", SavedVideoView, read_only=False, repeats_harmlessly=True),
    ]
    if is_available():
        listed.append(_tool(tools.preview_video, "See a video", None, read_only=True, repeats_harmlessly=True))
    order = listed[0]
    order.parameters = offered(order.parameters, capabilities, takes_files=runtime.settings.image_dir is not None)
    for tool in listed:
        if "task_id" in tool.parameters["properties"] and capabilities != SORA2API:
            # The first service has no ids longer than those its catalogue always named.
            tool.parameters["properties"]["task_id"]["maxLength"] = TASK_ID_LIMIT
        # One flowing text: no gap where a word says nothing for this service, no indentation of the docstring.
        tool.description = " ".join(tool.description.format_map(wording(capabilities)).split())
        if tool.fn_metadata.output_schema:
            tool.fn_metadata.output_schema = tellable(tool.fn_metadata.output_schema, capabilities)
    # What is known once it has ended a new order's result does not tell, and its own arguments the caller knows.
    result = without(order.fn_metadata.output_schema or {}, *_OF_THE_END, *_OF_THE_ORDER)
    # Its parts stand in the schema of every other tool; once more they would cost more than they tell.
    result["properties"]["failure"] = {"type": "object"}
    order.fn_metadata.output_schema = result
    return listed


def _tool(
    function: Callable[..., Awaitable[CallToolResult | InputRequiredResult]],
    title: str,
    view: type[View] | None,
    page: str = "",
    *,
    read_only: bool,
    repeats_harmlessly: bool,
    destructive: bool = False,
) -> Tool:
    """A tool whose schemas every host can read; its structured content is what the view says, ``page`` shows it."""
    annotations = ToolAnnotations(
        read_only_hint=read_only,
        destructive_hint=destructive,
        idempotent_hint=repeats_harmlessly,
        # One video service is all they reach; some hosts ask a person to approve each result of a tool that says true.
        open_world_hint=False,
    )
    meta = shown_by(page) if page else None
    tool = Tool.from_function(function, title=title, annotations=annotations, meta=meta, structured_output=False)
    tool.parameters = with_optional_nullable(tidied(tool.parameters))
    if view is not None:
        # Given afterwards, so that the schema of a view is made once for all tools and processes' lives.
        tool.fn_metadata.output_model = view
        tool.fn_metadata.output_schema = _schema_of(view)
    return tool


@cache
def _schema_of(view: type[View]) -> dict[str, Any]:
    schema: dict[str, Any] = without_prose(tidied(view.model_json_schema()))
    return schema


def _result(answer: texts.Answer, view: View) -> CallToolResult:
    """The same words in the text and in the data: hosts differ in which they show the model."""
    content = view.model_copy(update={"message": answer.message, "next": answer.next or None}).content()
    return CallToolResult(content=[TextContent(type="text", text=str(answer))], structured_content=content)


def noted(result: CallToolResult, note: str) -> CallToolResult:
    """The same with a line more, in the text and in the data."""
    content = result.structured_content
    if content is None:
        return result.model_copy(update={"content": [*result.content, TextContent(type="text", text=note)]})
    answer = texts.Answer(f"{content['message']}\n{note}", content.get("next", ""))
    return CallToolResult(
        content=[TextContent(type="text", text=str(answer))], structured_content={**content, "message": answer.message}
    )
