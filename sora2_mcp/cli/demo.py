"""``sora2-mcp demo``: an agent's whole job, through a real MCP client, against this server on the simulator."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sora2_mcp.cli.agent import Agent, AgentError, employ
from sora2_mcp.cli.display import Display
from sora2_mcp.settings import Settings, environment

# So that people who watch the demo wait no longer than they must; the environment's own values win.
_LOOK_OFTEN = {"SORA2_POLL_SECONDS": "1", "SORA2_LOG_LEVEL": "ERROR"}


async def demo(settings: Settings, prompt: str, aspect_ratio: str) -> int:
    """Orders, waits, saves and finds a video; the last line is the file's absolute path."""
    display = Display()
    display.title("sora2-mcp demo: what an agent does to make a video (simulator: no account, no cost)")
    job = partial(_make_video, display=display, prompt=prompt, aspect_ratio=aspect_ratio)
    await employ(job, {**_LOOK_OFTEN, **environment(), "SORA2_VIDEO_DIR": str(settings.videos)})
    return 0


async def _make_video(agent: Agent, *, display: Display, prompt: str, aspect_ratio: str) -> None:
    tools = await agent.tools()
    display.step("start", f"{agent.server} over stdio, MCP {agent.protocol_version}, {len(tools)} tools")
    await agent.until_ready()
    call = partial(_called, agent, display)
    ordered = await call("generate_video", prompt=prompt, aspect_ratio=aspect_ratio)
    task_id = ordered["task_id"]
    with display.waiting("generating", indent=10):
        done = await call("wait_for_video", task_id=task_id)
    if done["status"] != "succeeded":
        raise AgentError(f"The demo's task ended as {done['status']}")
    saved = await call("download_video", task_id=task_id)
    await call("list_tasks", limit=3)
    size = f"{saved['size_bytes'] / 1000:.0f} kB, SHA-256 {saved['sha256'][:12]}…"
    display.step("done", f"the video lies here ({size}):")
    display.line(saved["file_path"])


async def _called(agent: Agent, display: Display, tool: str, **arguments: Any) -> Mapping[str, Any]:
    """The result of a tool, which is shown together with the call."""
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    display.step("call", f"{tool}({shown})")
    answer = await agent.call(tool, **arguments)
    display.answer(answer.text)
    if not answer.content:
        raise AgentError(f"{tool} failed in the demo")
    return answer.content
