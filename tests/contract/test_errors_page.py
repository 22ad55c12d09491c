"""What docs/errors.md shows is what an agent reads of the real server, word by word but for ids and addresses."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from sora2_mcp.errors import SERVICE_ERRORS
from sora2_mcp.server.texts import Answer
from sora2_mcp.server.tools import _result
from sora2_mcp.server.views import TaskView
from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.servers import Agent, agent, text_of
from tools.docs.files import ROOT
from tools.docs.occasions import TASK, TASK_ID

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
PROMPT = TASK.request.prompt
REFUSED = {f"order-{code}": code for code in SERVICE_ERRORS if code not in (400, 404, 429, 433, 451, 455)}


def shown(section: str) -> list[str]:
    """The texts of a section, as an agent reads them."""
    (body,) = re.findall(rf"^### {section}\n(.*?)^(?:##|<!--)", PAGE, re.MULTILINE | re.DOTALL)
    return [text for block in re.findall(r"```text\n(.*?)\n```", body, re.DOTALL) for text in block.split("\n\n")]


def as_shown(text: str) -> str:
    text = re.sub(r"http://127\.0\.0\.1:\d+/videos/\w+\.mp4", "https://cdn.example.com/x.mp4", text)
    return re.sub(r"local-[0-9a-f]+", f"local-{TASK.id}", re.sub(r"sora2_task_\w+", TASK_ID, text))


UNHURRIED = {"poll_seconds": 86_400, "idle_poll_seconds": 86_400}
"""Nobody looks but who is asked to: a look of the poller's, begun earlier, would be joined."""


@asynccontextmanager
async def ready(folder: Path, **values: Any) -> AsyncIterator[Agent]:
    """An agent whose server has opened its store, however busy the machine is."""
    async with agent(folder, **values) as me:
        await me.runtime.tasks(patience_seconds=30)
        yield me


async def read(me: Agent, tool: str, **arguments: Any) -> tuple[bool, str]:
    result = await me.call(tool, **arguments)
    return result.is_error, as_shown(text_of(result))


async def refuse(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001
    return ElicitResult(action="decline")


def timed(clock: FakeClock, *faults: str, seconds_per_task: float = 130) -> Simulator:
    return Simulator(seconds_per_task=seconds_per_task, faults=faults, now=clock.now, sleep=clock.sleep)


@pytest.mark.parametrize(("fault", "code"), [("refused-prompt", 400), *REFUSED.items()])
async def test_the_services_refusals_read_as_shown(tmp_path: Path, fault: str, code: int) -> None:
    async with ready(tmp_path, simulator=Simulator(faults=[fault])) as me:
        assert await read(me, "generate_video", prompt=PROMPT) == (True, *shown(SERVICE_ERRORS[code].__name__))


async def test_wrong_arguments_read_as_shown(tmp_path: Path) -> None:
    empty, no_address = shown("ArgumentError")
    async with ready(tmp_path) as me:
        assert await read(me, "generate_video", prompt=" ") == (True, empty)
        assert await read(me, "generate_video", prompt=PROMPT, image_urls=["ftp://example.com/kitten.png"]) == (
            True,
            no_address,
        )
        misfit = await read(me, "generate_video", prompt=PROMPT, quality="4k", aspectRatio="portrait", seed=7)
        assert misfit == (True, *shown("Arguments that do not fit"))


async def test_a_missing_key_a_host_that_cannot_ask_and_a_person_who_says_no_read_as_shown(tmp_path: Path) -> None:
    async with agent(tmp_path, api_key="") as me:
        assert await read(me, "generate_video", prompt=PROMPT) == (True, *shown("MissingKeyError"))
    async with ready(tmp_path, confirm="always") as me:
        assert await read(me, "generate_video", prompt=PROMPT) == (True, *shown("CannotAskError"))
    async with ready(tmp_path, confirm="always", person=refuse) as me:
        assert await read(me, "generate_video", prompt=PROMPT) == (False, *shown("Declined"))


async def test_keys_and_repeats_read_as_shown(tmp_path: Path, clock: FakeClock) -> None:
    other_arguments, of_a_failed_task = shown("KeyReusedError")
    simulator = timed(clock, "generation-failure*1")
    async with ready(tmp_path, simulator=simulator, clock=clock, **UNHURRIED) as me:
        assert await read(me, "generate_video", prompt=PROMPT, idempotency_key="spring-1") == (False, *shown("Ordered"))
        assert await read(me, "generate_video", prompt="A puppy", idempotency_key="spring-1") == (True, other_arguments)
        await clock.advance(130)
        (failed,) = (await me.content("list_tasks"))["tasks"]
        assert await read(me, "get_task_status", task_id=failed["task_id"]) == (False, shown("Failed")[0])
        assert await read(me, "generate_video", prompt=PROMPT, idempotency_key="spring-1") == (True, of_a_failed_task)
    async with ready(tmp_path / "other", simulator=timed(clock), clock=clock, **UNHURRIED) as me:
        await me.content("generate_video", prompt=PROMPT)
        await clock.advance(20)
        assert await read(me, "generate_video", prompt=PROMPT) == (False, *shown("Joined a repeat"))


@pytest.mark.parametrize(("limits", "place"), [({"daily_limit": 20}, 0), ({"max_active_tasks": 5}, 1)])
async def test_limits_read_as_shown(tmp_path: Path, clock: FakeClock, limits: dict[str, Any], place: int) -> None:
    async with ready(tmp_path, simulator=timed(clock), clock=clock, **limits) as me:
        for number in range(sum(limits.values())):
            await me.content("generate_video", prompt=f"Kitten {number}")
        assert await read(me, "generate_video", prompt=PROMPT) == (True, shown("LimitError")[place])


async def test_a_task_on_its_way_reads_as_shown(tmp_path: Path, clock: FakeClock) -> None:
    async with ready(tmp_path, simulator=timed(clock), clock=clock, **UNHURRIED) as me:
        task_id = (await me.content("generate_video", prompt=PROMPT))["task_id"]
        await clock.advance(48)
        assert await read(me, "get_task_status", task_id=task_id) == (False, shown("Still generating")[0])
        assert await read(me, "download_video", task_id=task_id) == (True, shown("NoVideoError")[0])
        await clock.advance(82)
        assert await read(me, "get_task_status", task_id=task_id) == (False, *shown("Done"))


async def test_looks_that_fail_read_as_shown(tmp_path: Path) -> None:
    for fault, section in (
        ("look-429=9", "RateLimitedError"),
        ("look-455", "MaintenanceError"),
        ("look-html", "LostAnswerError"),
    ):
        async with ready(tmp_path / fault, simulator=Simulator(faults=[fault]), poll_seconds=600) as me:
            task_id = (await me.content("generate_video", prompt=PROMPT))["task_id"]
            assert await read(me, "get_task_status", task_id=task_id) == (True, *shown(section))


async def test_a_lost_answer_reads_as_shown(tmp_path: Path, clock: FakeClock) -> None:
    (example,) = shown("Unconfirmed")
    async with ready(tmp_path, simulator=timed(clock, "order-drop"), clock=clock) as me:
        is_error, text = await read(me, "generate_video", prompt=PROMPT)

        assert not is_error
        assert text == example


FACTS = re.compile(
    r"nothing (?:new )?was (?:spent|ordered|sent)|may have been charged|charge[sd]|costs? credits|Next: [\w(]+"
    r"|(?:kept until|before|on) [\d-]{10}",
    re.IGNORECASE,
)
"""What a text says of money, of a video's end, and of what to do."""

TEXTS = [text for block in re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL) for text in block.split("\n\n")]
RESULTS = [text for text in TEXTS if "\nRepeating the same call" not in text and "\nNext: " in text]


def test_the_page_shows_more_than_fifty_texts_and_each_says_what_comes_next() -> None:
    assert len(TEXTS) > 50
    assert [text for text in TEXTS if "Next: " not in text and not text.startswith("sora2-mcp: ")] == []


@pytest.mark.parametrize("text", RESULTS, ids=lambda text: text[:40])
def test_a_host_that_shows_the_data_only_tells_the_model_what_the_text_says(text: str) -> None:
    message, _, following = text.rpartition("\nNext: ")
    result = _result(
        Answer(message, following), TaskView(task_id=TASK_ID, status="generating", created_at=TASK.created_at)
    )

    data = json.dumps(result.structured_content, ensure_ascii=False).replace('"next": "', "Next: ")
    assert text_of(result) == text
    assert FACTS.findall(text)
    assert sorted(FACTS.findall(data)) == sorted(FACTS.findall(text))
