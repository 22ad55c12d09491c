"""A whole job on the simulator, with a server process of its own: what a host and an agent do."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sora2_mcp.cli.agent import SIMULATED_SERVER, Agent, AgentError, employ
from sora2_mcp.cli.doctor.finding import Finding, fine, problem
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.clock import Clock
from sora2_mcp.settings import PREFIX

NAME = "round_trip"

_TOOLS = {"generate_video", "wait_for_video", "download_video"}
_PROMPT = "A kitten that rehearses [sim:seconds=0.5]"
_WORDS_LIMIT = 300


async def check_round_trip(
    setup: Setup, given: Mapping[str, str], *, command: Sequence[str] = SIMULATED_SERVER
) -> Finding:
    """Starts a server over stdio, and has it order, wait for and save a video; nothing of it is left.

    ``given`` is the environment to start from; the settings in it are none of this server's business.
    """
    with tempfile.TemporaryDirectory(prefix="sora2-mcp-doctor-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        heard = folder / "stderr.txt"
        rehearsal = Rehearsal(setup.clock)
        try:
            with heard.open("w") as stderr:
                await employ(rehearsal.perform, _environment(given, folder), command=command, stderr=stderr)
        except AgentError as error:
            said = _last_words(heard)
            what = f"The server did not do a whole job on the simulator: {error}{said and f'; it said: {said}'}"
            hint = "Try it by hand, with more to read: SORA2_LOG_LEVEL=DEBUG sora2-mcp demo"
            return problem(NAME, setup.blot(what), hint)
    return fine(NAME, rehearsal.summary)


class Rehearsal:
    """An agent's job, timed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self.summary = ""

    async def perform(self, agent: Agent) -> None:
        """Raises:
        AgentError: a step did not end as it should.
        """
        tools = await agent.tools()
        started = self._seconds()
        if missing := _TOOLS.difference(tools):
            raise AgentError(f"it lacks the tools {', '.join(sorted(missing))}")
        await agent.until_ready()
        ordered = await _content(agent, "generate_video", prompt=_PROMPT)
        await _content(agent, "wait_for_video", task_id=ordered["task_id"])
        saved = await _content(agent, "download_video", task_id=ordered["task_id"])
        if not _is_video(Path(saved["file_path"])):
            raise AgentError("what was saved is no MP4 file")
        self.summary = (
            f"A server started over stdio in {started:.1f} s (MCP {agent.protocol_version}, {len(tools)} tools) and on "
            f"the simulator ordered, waited for and saved a video, all in {self._seconds():.1f} s."
        )

    def _seconds(self) -> float:
        return self._clock.monotonic() - self._began


def _environment(given: Mapping[str, str], folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in given.items() if not name.upper().startswith(PREFIX)}
    own = {
        "SORA2_DATABASE_URL": f"sqlite:///{folder / 'tasks.db'}",
        "SORA2_VIDEO_DIR": str(folder / "videos"),
        "SORA2_POLL_SECONDS": "0.2",
        "SORA2_LOG_LEVEL": "ERROR",
    }
    return {**inherited, **own}


async def _content(agent: Agent, tool: str, **arguments: str) -> Mapping[str, Any]:
    answer = await agent.call(tool, **arguments)
    if not answer.content or answer.content["status"] not in ("generating", "succeeded"):
        raise AgentError(f"{tool} says: {answer.text.splitlines()[0]}")
    return answer.content


def _is_video(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[4:8] == b"ftyp"


def _last_words(heard: Path) -> str:
    lines = heard.read_text(errors="replace").strip().splitlines()
    return lines[-1][:_WORDS_LIMIT] if lines else ""
