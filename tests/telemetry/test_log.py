"""Each log line says which request, whose, and which task it is about."""

import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry.trace import get_tracer

from sora2_mcp.domain.task import Task
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.tasks.tasks import Tasks
from sora2_mcp.telemetry.context import ContextFilter, bind_task, request_context
from sora2_mcp.telemetry.logs import JsonFormatter, TextFormatter
from tests.clocks import START, FakeClock, eventually
from tests.server.reached import UNHURRIED
from tests.servers import agent, settings_in
from tests.tasks.core import CAT, orders, until
from tests.telemetry.exported import exporting
from tests.telemetry.site import site
from tests.web import client_of, in_process

pytestmark = pytest.mark.anyio

ANN, BOB = "anns-token-0123456789", "bobs-token-0123456789"
TOKENS = f"ann:{ANN},bob:{BOB}"
OURS = re.compile(r"[0-9a-f]{16}")


class Log:
    """What this program has logged, line by line, as JSON."""

    def __init__(self, text: StringIO) -> None:
        self._text = text

    @property
    def lines(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._text.getvalue().splitlines()]
        return [line for line in lines if "simulator" not in line["logger"]]

    def saying(self, words: str) -> list[tuple[str, str, str]]:
        """Request, principal and task of the lines with these words."""
        names = ("request_id", "principal", "task_id")
        return [tuple(line.get(name, "") for name in names) for line in self.lines if words in line["message"]]


@pytest.fixture
def log() -> Iterator[Log]:
    text = StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(ContextFilter())
    logger = logging.getLogger("sora2_mcp")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield Log(text)
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(scope="module")
async def http(shared_folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server on HTTP."""
    async with in_process(settings_in(shared_folder, auth_tokens=TOKENS)) as http:
        yield http


async def test_two_requests_at_once_each_keep_their_own_lines_and_an_order_outlives_its_call_with_them(
    tmp_path: Path, clock: FakeClock, log: Log
) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, faults=["order-slow=8*2"])
    results: dict[str, str] = {}

    async def order(base: str, name: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}", "x-request-id": f"request-of-{name}"}
        async with (
            client_of(headers=headers) as http,
            Client(streamable_http_client(f"{base}/mcp", http_client=http)) as one,
        ):
            content = (await one.call_tool("generate_video", {"prompt": f"A cat of {name}"})).structured_content or {}
            results[name] = str(content["task_id"])

    async with site(tmp_path, simulator, clock, auth_tokens=TOKENS) as base:
        async with anyio.create_task_group() as group:
            group.start_soon(order, base, "ann", ANN)
            group.start_soon(order, base, "bob", BOB)
            await eventually(lambda: len(orders(simulator)) == 2)
            await clock.advance(3)
        assert all(id.startswith("local-") for id in results.values())
        assert not log.saying("ordered as")
        await clock.advance(6)
        await eventually(lambda: len(log.saying("ordered as")) == 2)

    bound = {str((order.body or {})["prompt"]).removeprefix("A cat of "): order.task_id for order in orders(simulator)}
    assert sorted(log.saying("ordered as")) == [
        ("request-of-ann", "token:ann", bound["ann"]),
        ("request-of-bob", "token:bob", bound["bob"]),
    ]


async def test_one_order_has_one_line_for_each_state_it_comes_to(tmp_path: Path, clock: FakeClock, log: Log) -> None:
    simulator = Simulator(seconds_per_task=40, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator, **UNHURRIED) as me:
        task_id = (await me.content("generate_video", prompt="A cat"))["task_id"]
        await me.content("get_task_status", task_id=task_id)
        await clock.advance(40)
        await me.content("get_task_status", task_id=task_id)
        await me.content("get_task_status", task_id=task_id)
        await me.content("download_video", task_id=task_id)

    told = [line for line in log.lines if line["level"] == "INFO"]
    assert [re.sub(r"local-\w+", "local-…", line["message"]) for line in told] == [
        f"task {task_id} ordered as local-…",
        f"task {task_id} has succeeded",
        f"the video of task {task_id} is saved, {clip_of('A cat', 'landscape').stat().st_size} bytes",
    ]
    assert {line["task_id"] for line in told} == {task_id}
    assert {line["principal"] for line in told} == {"local"}
    ids = [line["request_id"] for line in told]
    assert len(set(ids)) == 3
    assert all(OURS.fullmatch(id) for id in ids)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A cat [sim:generation-failure]", "has failed (generation, code 501)"),
        ("A cat [sim:creation-failure]", "has failed (creation, code 500)"),
    ],
)
async def test_a_failed_video_is_told_with_its_code(
    tmp_path: Path, clock: FakeClock, log: Log, prompt: str, words: str
) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator, **UNHURRIED) as me:
        task_id = (await me.content("generate_video", prompt=prompt))["task_id"]
        await me.content("get_task_status", task_id=task_id)

    assert [task for _, _, task in log.saying(words)] == [task_id]


async def test_what_runs_by_itself_names_the_task_and_no_request(service: Tasks, clock: FakeClock, log: Log) -> None:
    with request_context("the-first"):
        task = (await service.submit(CAT, "token:ann")).task
    await until(clock, lambda: bool(log.saying("has succeeded")), step_seconds=5)

    assert log.saying("has succeeded") == [("", "token:ann", task.task_id)]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "two words",
        "x" * 65,
        "-leading",
        'quote"',
        "[bracket]",
        "task=1",
        "ünïcode".encode().decode("latin-1"),
        "a/b",
        "semi;colon",
    ],
)
async def test_a_request_id_that_could_be_taken_for_more_than_one_is_replaced(
    http: httpx2.AsyncClient, given: str
) -> None:
    answer = await http.get("/healthz", headers=[(b"x-request-id", given.encode("latin-1"))])

    assert OURS.fullmatch(answer.headers["x-request-id"])


async def test_a_harmless_request_id_comes_back_whatever_the_answer(http: httpx2.AsyncClient) -> None:
    given = {"x-request-id": "7f1c0a5e-93a4-4c1e-8a55-3b1f0e9d2c11"}
    answers = [
        await http.get("/healthz", headers=given),
        await http.get("/nowhere", headers=given),
        await http.post("/mcp", content=b"{}", headers=given),
        await http.post("/mcp", content=b"{}", headers={**given, "host": "evil.example"}),
        await http.post("/callbacks/unknown", headers=given),
    ]

    assert [answer.status_code for answer in answers] == [200, 404, 401, 421, 404]
    assert {answer.headers["x-request-id"] for answer in answers} == set(given.values())


async def test_of_two_request_ids_none_counts(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/healthz", headers=[("x-request-id", "one"), ("x-request-id", "two")])

    assert OURS.fullmatch(answer.headers["x-request-id"])


async def test_a_web_pages_script_can_read_the_request_id(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/mcp", content=b"{}", headers={"origin": "http://localhost:3000"})

    assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_a_line_for_people_ends_with_whose_work_it_is_and_only_where_that_is_known() -> None:
    def line(*, crashed: bool = False) -> str:
        record = logging.LogRecord("sora2_mcp", logging.INFO, "", 1, "done", (), None)
        if crashed:
            record.exc_text = "Traceback …"
        ContextFilter().filter(record)
        return TextFormatter("%(levelname)s %(message)s").format(record)

    assert line() == "INFO done"
    with request_context("r-1", "jwt:https://id.example|Ann of [Green] Gables"):
        assert line() == 'INFO done [request=r-1 principal="jwt:https://id.example|Ann of [Green] Gables"]'
    with request_context("r-2", "local"):
        bind_task(
            Task(id="1", principal="token:ann", service="s", request=CAT, created_at=START, task_id="sora2_task_1")
        )
        assert line(crashed=True) == "INFO done [request=r-2 principal=token:ann task=sora2_task_1]\\nTraceback …"
    assert line() == "INFO done"


def test_a_json_line_names_the_trace_it_belongs_to() -> None:
    record = logging.LogRecord("sora2_mcp", logging.INFO, "", 1, "done", (), None)
    with exporting() as exported, get_tracer("test").start_as_current_span("any"):
        line = json.loads(JsonFormatter().format(record))

    context = exported.one("any").context
    assert context is not None
    assert line["trace_id"] == f"{context.trace_id:032x}"
    assert "trace_id" not in json.loads(JsonFormatter().format(record))
