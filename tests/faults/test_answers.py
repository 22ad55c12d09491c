"""A service, or whatever stands before it, that answers orders and looks as no service should."""

import gzip
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.errors import Sora2Error
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from sora2_mcp.tasks.store.interface import Outcome
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.faults.front import Treatment, Visit, in_front
from tests.tasks.core import CAT, listed, looks, opened, orders, settings_for

pytestmark = pytest.mark.anyio

BOMB = gzip.compress(b" " * 50_000_000, compresslevel=9)
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


async def reset_at_once(visit: Visit, answer: bytes) -> None:  # noqa: ARG001 - one of many with the same shape
    visit.reset()


async def reset_in_the_status_line(visit: Visit, answer: bytes) -> None:
    await visit.send(answer[:11])
    visit.reset()


async def reset_in_the_headers(visit: Visit, answer: bytes) -> None:
    await visit.send(answer[: answer.index(b"content-type") + 7])
    visit.reset()


async def reset_in_the_body(visit: Visit, answer: bytes) -> None:
    await visit.send(answer[:-10])
    visit.reset()


async def hang_up_in_the_headers(visit: Visit, answer: bytes) -> None:
    await visit.send(answer[: answer.index(b"content-type") + 7])


async def promise_more_than_comes(visit: Visit, answer: bytes) -> None:
    body = answer.partition(b"\r\n\r\n")[2]
    await visit.send(JSON_HEAD + b"content-length: %d\r\n\r\n" % (len(body) + 5) + body)


async def break_off_the_last_chunk(visit: Visit, answer: bytes) -> None:
    body = answer.partition(b"\r\n\r\n")[2]
    await visit.send(JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n")


async def speak_no_http(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    await visit.send(b"SSH-2.0-OpenSSH_9.9\r\n")


async def compress_badly(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    await visit.send(JSON_HEAD + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!")


async def send_a_bomb(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    await visit.send(JSON_HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB) + BOMB)


async def never_end(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    await visit.send(JSON_HEAD + b"\r\n{")
    while True:
        await visit.send(b" " * 65_536)


async def send_headers_without_end(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    await visit.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await visit.send(b"x-more: " + b"x" * 8_000 + b"\r\n")


async def redirect_elsewhere(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    await visit.send(b"HTTP/1.1 301 Moved Permanently\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")


async def redirect_to_itself(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    path = visit.request.split(b" ")[1]
    await visit.send(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: " + path + b"\r\ncontent-length: 0\r\n\r\n")


async def show_a_page(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    page = b"<html>Please log in to the hotel's network</html>"
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(page) + page)


async def answer_with_a_list(visit: Visit, answer: bytes) -> None:  # noqa: ARG001
    await visit.send(JSON_HEAD + b'content-length: 15\r\n\r\n[{"code": 200}]')


SPOILT = [
    reset_at_once,
    reset_in_the_status_line,
    reset_in_the_headers,
    reset_in_the_body,
    hang_up_in_the_headers,
    promise_more_than_comes,
    break_off_the_last_chunk,
    speak_no_http,
    compress_badly,
    send_a_bomb,
    never_end,
    send_headers_without_end,
    redirect_elsewhere,
    redirect_to_itself,
    show_a_page,
    answer_with_a_list,
]
Spoil = Callable[[Visit, bytes], Awaitable[None]]


def treated(spoils: list[Spoil], *, order: bool) -> Treatment:
    """Spoils the answers to orders, or those to looks, as long as there is a spoil in the list."""

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if spoils and visit.is_order == order:
            await spoils[0](visit, answer)
        else:
            await visit.send(answer)

    return treat


def drip(clock: FakeClock) -> Spoil:
    """A byte each second."""

    async def one_by_one(visit: Visit, answer: bytes) -> None:
        for byte in answer:
            await visit.send(bytes([byte]))
            await clock.sleep(1)

    return one_by_one


def named(spoil: Spoil) -> str:
    return getattr(spoil, "__name__", "")


async def only_task(service: Tasks) -> Task:
    [task] = await listed(service)
    return task


@pytest.mark.parametrize("spoil", SPOILT, ids=named)
async def test_an_accepted_order_whose_answer_is_spoilt_is_unconfirmed_and_never_sent_again(
    tmp_path: Path, simulator: Simulator, clock: FakeClock, spoil: Spoil
) -> None:
    spoils = [spoil]
    async with (
        running(simulator) as behind,
        in_front(behind, treated(spoils, order=True)) as url,
        opened(settings_for(tmp_path, url), clock, None) as service,
    ):
        with anyio.fail_after(PATIENCE_SECONDS):
            ordered = (await service.submit(CAT, "local", key="cat-1")).task
        spoils.clear()
        await clock.advance(600)
        same_key = await service.submit(CAT, "local", key="cat-1")
        exact = await service.submit(CAT, "local")

        assert (ordered.status, ordered.task_id, bool(ordered.unclear_because)) == (Status.UNCONFIRMED, "", True)
        assert (same_key.outcome, exact.outcome) == (Outcome.SAME_KEY, Outcome.REPEAT)
        assert [same_key.task, exact.task, await only_task(service)] == [ordered] * 3
        assert (await service.usage("local")).all_today == 1
    assert [post.path for post in orders(simulator)] == ["/api/v1/sora2/generate"]


async def test_an_order_answered_byte_by_byte_is_unconfirmed_after_its_limit(
    tmp_path: Path, simulator: Simulator, clock: FakeClock
) -> None:
    given: list[Task] = []
    async with (
        running(simulator) as behind,
        in_front(behind, treated([drip(clock)], order=True)) as url,
        opened(settings_for(tmp_path, url), clock, None) as service,
        anyio.create_task_group() as group,
    ):

        async def order() -> None:
            given.append((await service.submit(CAT, "local")).task)

        group.start_soon(order)
        await eventually(lambda: len(orders(simulator)) == 1)
        await clock.advance(3)
        await eventually(lambda: len(given) == 1)
        assert (given[0].status, given[0].reference) == (Status.GENERATING, f"local-{given[0].id}")

        for _ in range(28):
            await clock.advance(1)

        async def unconfirmed() -> bool:
            return (await only_task(service)).status is Status.UNCONFIRMED

        await eventually(unconfirmed)
        assert (await only_task(service)).unclear_because == "no answer within 30 s"
    assert len(orders(simulator)) == 1


async def test_an_answer_after_early_hints_is_the_answer(
    tmp_path: Path, simulator: Simulator, clock: FakeClock
) -> None:
    async def hint(visit: Visit, answer: bytes) -> None:
        await visit.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + answer)

    async with (
        running(simulator) as behind,
        in_front(behind, treated([hint], order=True)) as url,
        opened(settings_for(tmp_path, url), clock, None) as service,
    ):
        ordered = (await service.submit(CAT, "local")).task

    assert (ordered.status, ordered.task_id) == (Status.GENERATING, orders(simulator)[0].task_id)


@pytest.mark.parametrize("spoil", SPOILT, ids=named)
async def test_a_spoilt_look_ends_no_task_and_the_next_good_one_sees_the_video(
    tmp_path: Path, simulator: Simulator, clock: FakeClock, spoil: Spoil
) -> None:
    spoils = [spoil]
    async with (
        running(simulator) as behind,
        in_front(behind, treated(spoils, order=False)) as url,
        opened(settings_for(tmp_path, url), clock, None) as service,
    ):
        ordered = (await service.submit(CAT, "local")).task

        async def failed_now() -> bool:
            seen = await looked_at(service, ordered)
            assert (seen.status, seen.doubts) == (Status.GENERATING, ())
            # One of the poller's own, begun while the clock ran, is joined at first and of an earlier instant.
            return seen.look_failed_at == clock.now()

        # Many looks over many minutes: whatever they show must not add up to an end.
        for _ in range(3):
            await clock.advance(601)
            await eventually(failed_now)
        spoils.clear()

        await clock.advance(601)

        async def done() -> bool:
            # The clock may have run over a look of the poller's own, which was given up then.
            return (await looked_at(service, ordered)).status is Status.SUCCEEDED

        await eventually(done)
    assert len(orders(simulator)) == 1
    assert set(looks(simulator)) == {ordered.task_id}


async def looked_at(service: Tasks, task: Task) -> Task:
    """The task after a look at the present instant."""
    with suppress(Sora2Error):
        await service.get(task.task_id, "local")
    return await service.find(task.task_id, "local")


async def test_a_look_answered_byte_by_byte_holds_nobody_up_and_changes_nothing(
    tmp_path: Path, simulator: Simulator, clock: FakeClock
) -> None:
    seen: list[Task] = []
    async with (
        running(simulator) as behind,
        in_front(behind, treated([drip(clock)], order=False)) as url,
        opened(settings_for(tmp_path, url), clock, None) as service,
        anyio.create_task_group() as group,
    ):
        ordered = (await service.submit(CAT, "local")).task

        async def ask() -> None:
            seen.append(await service.get(ordered.task_id, "local"))

        group.start_soon(ask)
        await eventually(lambda: len(looks(simulator)) == 1)
        await clock.advance(8)
        await eventually(lambda: len(seen) == 1)
        assert (seen[0].status, seen[0].look_failed_at) == (Status.GENERATING, None)

        await clock.advance(13)

        async def failed() -> bool:
            return (await only_task(service)).look_failed_at is not None

        await eventually(failed)
        assert (await only_task(service)).status is Status.GENERATING
    assert looks(simulator) == [ordered.task_id]
