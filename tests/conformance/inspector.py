"""Goes through a whole job with the Inspector's command line: a client that is not ours, in another language."""

import base64
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.conformance.node import INSPECTOR, run_node
from tests.e2e.processes import Process
from tools.docs.catalogue import kept

SECONDS = 60.0
"""The longest one call may take."""

_CONNECT_MILLISECONDS = "50000"

Era = Literal["legacy", "modern"]
ERAS: tuple[Era, ...] = ("legacy", "modern")

REFUSED, TOOL_ERROR = 1, 5
"""How the Inspector ends after an error of the protocol, and after a tool's own."""

_OPENING = "is still being opened"
"""What a program that has just started says on a busy machine; the call is to be repeated then, as it says too."""

_TRIES = 15
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"


class Surprise(Exception):  # noqa: N818 - it is what the referee saw
    """Something is not as it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One way to a server, in one era; ``target`` is how the Inspector is told where it is."""

    transport: str
    era: Era
    target: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """How far a lane was gone, and what ended it too early, if anything did."""

    lane: Lane
    calls: int
    seconds: float
    problem: str = ""


STDIO = (sys.executable, "-m", "sora2_mcp", "serve", "--simulate", "-e", "SORA2_POLL_SECONDS=0.1")
"""A server process for each call; what they share is on disk."""


@contextmanager
def over_http(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A server process over HTTP; gives its address and the target."""
    with Process(folder, "serve", "--simulate", "--transport", "streamable-http", "--port", "0") as process:
        url = process.logged(r"serving MCP at (http\S+/mcp) ")[1]
        yield url, ("--transport", "http", "--server-url", url)


async def travelled(lane: Lane, folder: Path) -> Journey:
    """The whole job on one lane; programs keep what they keep below ``folder``."""
    inspector, began, problem = _Inspector(lane, folder), time.monotonic(), ""
    try:
        await _lists(inspector)
        task_id, file = await _makes_a_video(inspector)
        await _reads(inspector, task_id, file)
        await _prompts(inspector)
        await _errs(inspector)
    except (Surprise, TimeoutError, ValueError, LookupError) as error:
        problem = f"{type(error).__name__}: {error}"
    return Journey(lane=lane, calls=inspector.calls, seconds=time.monotonic() - began, problem=problem)


class _Inspector:
    def __init__(self, lane: Lane, folder: Path) -> None:
        self._lane = lane
        self._folder = folder
        self.calls = 0
        # In the modern era the Inspector declares MCP tasks, and asks after one until it has ended.
        self.sees_to_the_end = lane.era == "modern"

    async def ask(self, method: str, *arguments: str) -> dict[str, Any]:
        """The result of a call that works, and about which the Inspector has nothing to say."""
        code, stdout, stderr = await self._run(method, *arguments)
        if code or stderr.strip():
            raise Surprise(f"{method} {arguments} ended with {code}: {(stdout + stderr).strip()[-800:]}")
        envelope: dict[str, Any] = json.loads(stdout)
        # Of a tool with an app it also tells of the app.
        expect(envelope.keys() - {"appInfo"} == {"result"}, f"{method} gives nothing but a result", envelope)
        result: dict[str, Any] = envelope["result"]
        return result

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured content of a tool call that works."""
        result = await self.ask("tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        # Only the modern era says in every result whose it is; what a task brought is no answer of its own.
        is_of_task = self.sees_to_the_end and tool == "generate_video"
        modern = _SERVER_INFO in result.get("_meta", {}) or is_of_task
        expect(modern == (self._lane.era == "modern"), f"{tool} answers in the {self._lane.era} era", result)
        expect(result["isError"] is False, f"{tool} works", result)
        content: dict[str, Any] = result["structuredContent"]
        return content

    async def fail(self, code: int, words: str, method: str, *arguments: str) -> None:
        """A call that must end with this code and these words."""
        ended, stdout, stderr = await self._run(method, *arguments)
        said = (stdout + stderr).replace('\\"', '"')
        expect(ended == code and words in said, f"{method} {arguments} ends with {code} and {words!r}", (ended, said))

    async def _run(self, method: str, *arguments: str) -> tuple[int, str, str]:
        self.calls += 1
        options = ("--protocol-era", self._lane.era, "--connect-timeout", _CONNECT_MILLISECONDS)
        shown = ("--format", "json", "--quiet")
        command = ("--cli", *self._lane.target, *options, *shown, "--method", method, *arguments)
        for _ in range(_TRIES):
            code, stdout, stderr = await run_node(INSPECTOR, *command, home=self._folder, seconds=SECONDS)
            if _OPENING not in stdout:
                break
        return code, stdout, stderr


def expect(fact: bool, what: str, seen: Any) -> None:  # noqa: FBT001 - it is what is expected
    """Raises Surprise with what was seen where ``fact`` is false."""
    if not fact:
        raise Surprise(f"expected: {what}; seen: {str(seen)[:800]}")


async def _lists(inspector: _Inspector) -> None:
    """The published catalogue, word for word, and not one finding about its schemas."""
    catalogue = json.loads(kept("sora2api").read_text())
    tools = await inspector.ask("tools/list", "--strict")
    expect(tools["tools"] == catalogue["tools"], "the published tools", tools)
    templates = await inspector.ask("resources/templates/list")
    expect(templates["resourceTemplates"] == catalogue["resourceTemplates"], "the published templates", templates)
    prompts = await inspector.ask("prompts/list")
    expect(prompts["prompts"] == catalogue["prompts"], "the published prompts", prompts)


async def _makes_a_video(inspector: _Inspector) -> tuple[str, Path]:
    # Opens the store for the first time, which may take longer than an order may.
    none = await inspector.call("list_tasks")
    expect(none["tasks"] == [], "no task yet", none)
    ordered = await inspector.call("generate_video", prompt="A kitten [sim:seconds=0]", aspect_ratio="portrait")
    status = "succeeded" if inspector.sees_to_the_end else "generating"
    expect(ordered["status"] == status, "an order under way, or as a task seen to its end", ordered)
    task_id = ordered["task_id"]
    done = await inspector.call("wait_for_video", task_id=task_id, timeout_seconds=30)
    expect(done["status"] == "succeeded" and done["video_url"].startswith("http"), "a video", done)
    looked = await inspector.call("get_task_status", task_id=task_id)
    # Only a wait's end offers a look at the video.
    expect("preview_video(" in done["next"], "a look is offered", done)
    expect({**looked, "next": ""} == {**done, "next": ""}, "the same seen again", (looked, done))
    saved = await inspector.call("download_video", task_id=task_id)
    file = Path(saved["file_path"])
    expect(hashlib.sha256(file.read_bytes()).hexdigest() == saved["sha256"], "a file as described", saved)
    listed = await inspector.call("list_tasks", limit=1)
    expect([task["task_id"] for task in listed["tasks"]] == [task_id], "the newest task", listed)
    return task_id, file


async def _reads(inspector: _Inspector, task_id: str, file: Path) -> None:
    catalogue, uri = json.loads(kept("sora2api").read_text()), f"sora2://tasks/{task_id}"
    listed = (await inspector.ask("resources/list"))["resources"]
    fixed = len(catalogue["resources"])
    expect(listed[:fixed] == catalogue["resources"] and listed[fixed]["uri"] == uri, "the newest task, listed", listed)
    [task] = (await inspector.ask("resources/read", "--uri", uri))["contents"]
    expect(json.loads(task["text"])["status"] == "succeeded", "the task as a resource", task)
    [video] = (await inspector.ask("resources/read", "--uri", f"{uri}/video"))["contents"]
    expect(base64.b64decode(video["blob"]) == file.read_bytes(), "the file as a resource", video["mimeType"])
    for fixed_uri in ("sora2://tasks", "sora2://guide", "sora2://usage"):
        [text] = (await inspector.ask("resources/read", "--uri", fixed_uri))["contents"]
        expect(bool(text["text"]), f"the text of {fixed_uri}", text)


async def _prompts(inspector: _Inspector) -> None:
    for name, argument in (("write_video_prompt", "idea=a lighthouse"), ("storyboard", "idea=a lighthouse")):
        got = await inspector.ask("prompts/get", "--prompt-name", name, "--prompt-args", argument)
        expect("a lighthouse" in got["messages"][0]["content"]["text"], "a prompt filled in", got)
    got = await inspector.ask("prompts/get", "--prompt-name", "review_failed_task", "--prompt-args", "task_id=nope")
    expect('There is no task "nope"' in got["messages"][0]["content"]["text"], "a prompt that says so", got)


async def _errs(inspector: _Inspector) -> None:
    wrong = ("--tool-name", "generate_video", "--tool-args-json", '{"prompt": "x", "quality": "best"}')
    await inspector.fail(TOOL_ERROR, "Not ordered: quality", "tools/call", *wrong)
    unknown = ("--tool-name", "wait_for_video", "--tool-args-json", '{"task_id": "nope"}')
    await inspector.fail(TOOL_ERROR, 'There is no task "nope". Nothing was spent.', "tools/call", *unknown)
    await inspector.fail(REFUSED, 'There is no task "nope".', "resources/read", "--uri", "sora2://tasks/nope")
    await inspector.fail(REFUSED, "idea is missing", "prompts/get", "--prompt-name", "storyboard")
