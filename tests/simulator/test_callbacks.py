import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.callbacks import Callback, CallbackSender, CallbackShape, Occasion
from sora2_mcp.simulator.dialects.sora2api import Sora2API
from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.serve import running
from sora2_mcp.simulator.world import Task
from tests.simulator.conftest import KEY
from tests.web import client_of

pytestmark = pytest.mark.anyio


@dataclass
class Receiver:
    """A small local server that keeps what is posted to it and answers with `codes`, then with 200."""

    url: str = ""
    codes: list[int] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)
    arrived: anyio.Event = field(default_factory=anyio.Event)

    async def answer(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received or not received.endswith(b"}}"):
                received += await stream.receive()
            head, _, body = received.partition(b"\r\n\r\n")
            assert head.startswith(b"POST /hook?order=7 HTTP/1.1\r\n")
            self.posted.append(json.loads(body))
            code = self.codes.pop(0) if self.codes else 200
            await stream.send(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % code)
            if code == 200:
                self.arrived.set()


@asynccontextmanager
async def receiving(*codes: int) -> AsyncIterator[Receiver]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  (anyio's, not Django's)
        receiver = Receiver(url=f"http://127.0.0.1:{port}/hook?order=7", codes=list(codes))
        group.start_soon(listener.serve, receiver.answer)
        yield receiver
        group.cancel_scope.cancel()


async def order(api: str, receiver: Receiver, word: str = "") -> str:
    async with client_of(api, headers=KEY) as client:
        request = {"prompt": f"A cat {word}", "callBackUrl": receiver.url}
        answer = await client.post("generate", json=request)
    return str(answer.json()["data"]["taskId"])


def failed(outcome: str) -> Task:
    return Task(
        task_id="sora2_task_abcdef123456",
        prompt="A cat",
        aspect_ratio="landscape",
        callback_url="http://127.0.0.1:9/hook",
        param_json="{}",
        accepted_at=datetime(2026, 3, 20, 10, 25, tzinfo=UTC),
        seconds=4,
        outcome=outcome,
        origin="http://127.0.0.1:8901/",
    )


def callback_body(task: Task, shape: CallbackShape) -> dict[str, Any]:
    posted: dict[str, Any] = json.loads(Sora2API().callback(task, Occasion(at=task.ends_at, shape=shape)).body)
    return posted


def sender(folder: Path, moments: list[datetime], slept: list[float]) -> CallbackSender:
    """A sender over the tasks of a folder whose waits move the clock and are over at once."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        moments.append(moments[-1] + timedelta(seconds=seconds))

    def spell(task: Task, at: datetime) -> Callback:
        return Sora2API().callback(task, Occasion(at=at))

    return CallbackSender(tasks=TaskFolder(folder), spell=spell, now=lambda: moments[-1], sleep=sleep)


async def test_the_end_of_a_task_is_posted_as_the_record(simulator: Simulator, slept: list[float]) -> None:
    async with receiving() as receiver, running(simulator) as api:
        task_id = await order(api, receiver)
        with anyio.fail_after(30):
            await receiver.arrived.wait()

    assert receiver.posted == [
        {
            "code": 200,
            "msg": "success",
            "data": {
                "taskId": task_id,
                "paramJson": json.dumps({"prompt": "A cat ", "callBackUrl": receiver.url}),
                "completeTime": "2026-03-20 10:25:04",
                "response": {"imageUrl": f"{api.removesuffix('/api/v1/sora2')}/videos/{task_id}.mp4"},
                "successFlag": 1,
                "errorCode": 0,
                "errorMessage": None,
                "createTime": "2026-03-20 10:25:00",
            },
        }
    ]
    assert slept == [4.0]


async def test_the_short_shape_holds_the_parameters_and_the_addresses() -> None:
    async with receiving() as receiver, running(Simulator(seconds_per_task=0, callback_shape="short")) as api:
        task_id = await order(api, receiver)
        with anyio.fail_after(30):
            await receiver.arrived.wait()

    assert receiver.posted == [
        {
            "code": 200,
            "msg": "success",
            "data": {
                "taskId": task_id,
                "promptJson": json.dumps({"prompt": "A cat ", "callBackUrl": receiver.url}),
                "resultUrls": [f"{api.removesuffix('/api/v1/sora2')}/videos/{task_id}.mp4"],
            },
        }
    ]


async def test_a_failure_says_why_in_both_shapes() -> None:
    full = callback_body(failed("generation-failure"), "full")
    short = callback_body(failed("generation-failure"), "short")

    assert (full["code"], full["msg"]) == (501, "The video could not be generated")
    assert (full["data"]["successFlag"], full["data"]["response"]) == (3, None)
    assert short == {
        "code": 501,
        "msg": "The video could not be generated",
        "data": {"taskId": "sora2_task_abcdef123456", "promptJson": "{}", "resultUrls": []},
    }


async def test_a_success_without_an_address_posts_none() -> None:
    assert callback_body(failed("no-url"), "short")["data"]["resultUrls"] == []


async def test_a_failed_callback_is_repeated_after_growing_pauses(simulator: Simulator, slept: list[float]) -> None:
    async with receiving(500, 404) as receiver, running(simulator) as api:
        await order(api, receiver)
        with anyio.fail_after(30):
            await receiver.arrived.wait()

    first, second, third = receiver.posted
    assert first == second == third
    assert slept == [4.0, 1.0, 5.0]


async def test_a_callback_is_given_up_after_three_tries_and_still_owed(
    moments: list[datetime], slept: list[float], tmp_path: Path
) -> None:
    async with receiving(500, 500, 500) as receiver:
        task = replace(failed("no-url"), callback_url=receiver.url)
        TaskFolder(tmp_path).save(task)
        await sender(tmp_path, moments, slept).deliver(task)

    assert len(receiver.posted) == 3
    assert slept == [4.0, 1.0, 5.0]
    assert TaskFolder(tmp_path).undelivered() == [task]


async def test_a_receiver_that_cannot_be_reached_is_a_failed_try(
    moments: list[datetime], slept: list[float], tmp_path: Path
) -> None:
    async with receiving() as receiver:
        task = replace(failed("no-url"), callback_url=receiver.url)

    await sender(tmp_path, moments, slept).deliver(task)

    assert slept == [4.0, 1.0, 5.0]


async def test_a_delivered_callback_is_owed_no_more_to_anybody(
    moments: list[datetime], slept: list[float], tmp_path: Path
) -> None:
    async with receiving() as receiver:
        task = replace(failed("no-url"), callback_url=receiver.url)
        TaskFolder(tmp_path).save(task)
        for _ in range(2):
            await sender(tmp_path, moments, slept).deliver(task)

    assert len(receiver.posted) == 1
    assert TaskFolder(tmp_path).undelivered() == []


async def test_a_restart_takes_up_the_callbacks_still_owed(moments: list[datetime], tmp_path: Path) -> None:
    async def sleep(_: float) -> None:
        await anyio.sleep_forever()

    async with receiving() as receiver:
        async with running(Simulator(state_folder=tmp_path, now=lambda: moments[-1], sleep=sleep)) as api:
            task_id = await order(api, receiver)
        posted_before_the_end = list(receiver.posted)
        moments.append(moments[-1] + timedelta(seconds=4))
        async with running(Simulator(state_folder=tmp_path, now=lambda: moments[-1], sleep=sleep)):
            with anyio.fail_after(30):
                await receiver.arrived.wait()

    assert posted_before_the_end == []
    assert [posted["data"]["taskId"] for posted in receiver.posted] == [task_id]


async def test_a_callback_address_may_be_dropped_without_a_word() -> None:
    simulator = Simulator(seconds_per_task=0)
    async with receiving() as receiver, running(simulator) as api:
        dropped = await order(api, receiver, "[sim:no-callback]")
        kept = await order(api, receiver)
        with anyio.fail_after(30):
            await receiver.arrived.wait()

    assert [posted["data"]["taskId"] for posted in receiver.posted] == [kept]
    assert [received.task_id for received in simulator.received] == [dropped, kept]
