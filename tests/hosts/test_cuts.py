"""Hosts that cut calls short: the video is got all the same, and paid once."""

import logging
import time
from collections.abc import Iterator

import pytest

from tests.hosts import langchain_host, openai_host
from tests.hosts.connected import HOSTS
from tests.hosts.openai_host import ITS_OWN_ERROR
from tests.hosts.reader import Call, Reader, again, as_described, give_up, look_it_up, order
from tests.hosts.served import POLL_SECONDS, Served, files_in

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

EARLIEST_LOOK = 0.88
"""Of the pace: it varies by 12 %."""


def assert_got_and_paid_once(server: Served, prompt: str, answer: str, seconds: float) -> None:
    """One order, one row, the file; and no more looks than one waiter costs, whatever waits were left behind."""
    (file,) = files_in(answer)
    ((_, status, stored),) = server.rows()
    assert (status, stored) == ("succeeded", str(file))
    assert server.service.orders() == [prompt]
    assert 1 <= server.service.looks() <= seconds / (POLL_SECONDS * EARLIEST_LOOK) + 1


@pytest.mark.parametrize("name", ["openai-stdio", "openai-http"])
async def test_the_five_seconds_of_openai_agents_are_enough_for_a_video_of_eight(server: Served, name: str) -> None:
    prompt = "A kitten [sim:seconds=8]"
    reader, began = Reader(order(prompt), trouble=again), time.monotonic()
    async with HOSTS[name](server) as host:
        answer = await host.run(reader)

    assert set(reader.troubles) == {ITS_OWN_ERROR}
    assert reader.tools_called[:3] == ["generate_video", "wait_for_video", "wait_for_video"]
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


async def test_a_model_that_heeds_the_description_is_cut_once_and_told_the_rest_normally(server: Served) -> None:
    prompt = "A kitten [sim:seconds=12]"
    reader, began = Reader(order(prompt), trouble=as_described), time.monotonic()
    async with openai_host.over_stdio(server) as host:
        answer = await host.run(reader)

    assert reader.troubles == [ITS_OWN_ERROR]
    assert any(shown.startswith("Still generating: ") for shown in reader.shown)
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


@pytest.mark.parametrize("name", ["langchain-processes", "langchain-session", "gemini-stdio"])
async def test_a_model_that_looks_it_up_after_each_cut_gets_the_video(server: Served, name: str) -> None:
    prompt = "A kitten [sim:seconds=12]"
    reader, began = Reader(order(prompt), trouble=look_it_up), time.monotonic()
    async with HOSTS[name](server, cut_seconds=5) as host:
        answer = await host.run(reader)

    assert reader.troubles
    assert all("Timed out while waiting for response" in trouble for trouble in reader.troubles)
    assert "list_tasks" in reader.tools_called
    assert reader.tools_called.count("generate_video") == 1
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


@pytest.mark.parametrize("name", ["openai-http", "langchain-http"])
async def test_an_order_that_was_cut_and_is_made_again_joins_the_first(server: Served, name: str) -> None:
    prompt = "A kitten [sim:order-slow=4]"
    reader, began = Reader(order(prompt), trouble=again), time.monotonic()
    async with HOSTS[name](server, cut_seconds=1) as host:
        answer = await host.run(reader)

    assert reader.tools_called[:2] == ["generate_video", "generate_video"]
    assert any("Nothing new was ordered" in shown for shown in reader.shown)
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


async def test_a_framework_that_repeats_a_cut_order_by_itself_pays_once(server: Served) -> None:
    prompt = "A kitten [sim:order-slow=4]"
    reader, began = Reader(order(prompt)), time.monotonic()
    async with openai_host.over_http(server, cut_seconds=1, max_retry_attempts=5) as host:
        answer = await host.run(reader)

    assert reader.tools_called.count("generate_video") == 1
    assert "Nothing new was ordered" in reader.shown[0]
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


async def test_an_order_is_answered_before_five_seconds_are_over_however_slow_the_service(server: Served) -> None:
    prompt = "A kitten [sim:order-slow=7]"
    reader, began = Reader(order(prompt)), time.monotonic()
    async with openai_host.over_stdio(server) as host:
        await host.run(Reader(Call(tool="get_task_status", arguments={"task_id": "opens the store"})))
        answer = await host.run(reader)

    assert reader.shown[0].startswith("Being ordered: task local-")
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


async def test_a_wait_that_is_shorter_than_the_hosts_patience_is_never_cut(server: Served) -> None:
    """As 25 s are to the 30 s of many hosts."""
    prompt = "A kitten [sim:seconds=5]"
    reader, began = Reader(order(prompt)), time.monotonic()
    async with openai_host.over_stdio(server.having(SORA2_MAX_WAIT_SECONDS="2"), cut_seconds=4) as host:
        answer = await host.run(reader)

    assert reader.troubles == []
    assert any(shown.startswith("Still generating: ") for shown in reader.shown)
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


@pytest.mark.parametrize("name", ["openai-stdio", "langchain-session", "gemini-stdio"])
async def test_a_model_that_gives_up_waiting_leaves_cleanly_and_finds_the_video_later(
    server: Served, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    prompt = "A kitten [sim:seconds=8]"
    first, second = Reader(order(prompt), trouble=give_up), Reader(Call(tool="list_tasks"))
    began = time.monotonic()
    async with HOSTS[name](server, cut_seconds=5) as host:
        assert await host.run(first) == "Come back later."
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    async with HOSTS[name](server) as host:
        answer = await host.run(second)

    assert second.tools_called == ["list_tasks", "wait_for_video", "download_video"]
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


async def test_a_run_that_a_cut_has_ended_is_taken_up_by_the_next_one(server: Served) -> None:
    """LangChain does not tell the model of a call that was cut, but ends the agent's run, unless asked to."""
    prompt = "A kitten [sim:seconds=8]"
    first, second = Reader(order(prompt)), Reader(Call(tool="list_tasks"))
    began = time.monotonic()
    with pytest.raises(ExceptionGroup) as ended:
        async with langchain_host.in_one_session(server, tells_errors=False, cut_seconds=5) as host:
            await host.run(first)
    assert any("Timed out while waiting for response" in text for text in texts_of(ended.value))
    async with langchain_host.in_one_session(server) as host:
        answer = await host.run(second)

    assert second.tools_called == ["list_tasks", "wait_for_video", "download_video"]
    assert_got_and_paid_once(server, prompt, answer, time.monotonic() - began)


def texts_of(error: BaseException) -> Iterator[str]:
    """What each of a nested group's members says."""
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from texts_of(member)
    yield str(error)
