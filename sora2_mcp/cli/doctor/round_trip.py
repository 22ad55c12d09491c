"""A trial run: a whole job on the simulator, with a server process of its own, as a host and an agent do it."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sora2_mcp.cli.agent import SIMULATED_SERVER, Agent, AgentError, employ
from sora2_mcp.cli.doctor.report import Result, fine, problem, skipped
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.settings import PREFIX

_TOOLS = {"generate_video", "wait_for_video", "download_video"}
_PROMPT = "A kitten that rehearses [sim:seconds=0.5]"
_WORDS_LIMIT = 300


async def check_round_trip(setup: Setup, *, command: Sequence[str] = SIMULATED_SERVER) -> Sequence[Result]:
    """Starts a server over stdio that orders, waits for and saves a video in a temporary folder.

    The server inherits the environment without our settings.
    """
    if not setup.round_trip:
        return [skipped("Not tried, because of --no-round-trip.")]
    began, summary = setup.clock.monotonic(), ""

    async def job(agent: Agent) -> None:
        nonlocal summary
        tools = await agent.tools()
        started_seconds = setup.clock.monotonic() - began
        if missing := _TOOLS.difference(tools):
            raise AgentError(f"it lacks the tools {', '.join(sorted(missing))}")
        await _make_video(agent)
        summary = (
            f"A server started over stdio in {started_seconds:.1f} s (MCP {agent.protocol_version}, {len(tools)} tools)"
            " and on the simulator ordered, waited for and saved a video, all in"
            f" {setup.clock.monotonic() - began:.1f} s."
        )

    with tempfile.TemporaryDirectory(prefix="sora2-mcp-doctor-", ignore_cleanup_errors=True) as name:
        log = Path(name) / "stderr.txt"
        try:
            with log.open("w") as stderr:
                await employ(job, _environment(setup.variables, Path(name)), command=command, stderr=stderr)
        except AgentError as error:
            lines = log.read_text(errors="replace").strip().splitlines()
            said = f"; it said: {lines[-1][:_WORDS_LIMIT]}" if lines else ""
            what = f"The server did not do a whole job on the simulator: {error}{said}"
            hint = "Try it by hand, with more to read: SORA2_LOG_LEVEL=DEBUG sora2-mcp demo"
            return [problem(setup.redact(what), hint)]
    return [fine(summary)]


async def _make_video(agent: Agent) -> None:
    await agent.until_ready()
    task_id = (await _call(agent, "generate_video", prompt=_PROMPT))["task_id"]
    await _call(agent, "wait_for_video", task_id=task_id)
    saved = await _call(agent, "download_video", task_id=task_id)
    if not _is_mp4(Path(saved["file_path"])):
        raise AgentError("what was saved is no MP4 file")


def _is_mp4(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[4:8] == b"ftyp"


async def _call(agent: Agent, tool: str, **arguments: str) -> Mapping[str, Any]:
    answer = await agent.call(tool, **arguments)
    if not answer.content or answer.content["status"] not in ("generating", "succeeded"):
        raise AgentError(f"{tool} says: {answer.text.splitlines()[0]}")
    return answer.content


def _environment(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in variables.items() if not name.upper().startswith(PREFIX)},
        "SORA2_DATABASE_URL": f"sqlite:///{folder / 'tasks.db'}",
        "SORA2_VIDEO_DIR": str(folder / "videos"),
        "SORA2_POLL_SECONDS": "0.2",
        "SORA2_LOG_LEVEL": "ERROR",
    }
