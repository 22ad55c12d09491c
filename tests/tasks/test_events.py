from contextlib import ExitStack

import anyio
import anyio.lowlevel
import pytest

from sora2_mcp.tasks.background import Signal
from sora2_mcp.tasks.events import EventBus
from tests.clocks import settle

pytestmark = pytest.mark.anyio


def test_every_listener_hears_every_event_in_order() -> None:
    bus, one, two = EventBus(), list[str](), list[str]()
    with bus.subscribed(one.append), bus.subscribed(two.append):
        bus.publish("a")
        bus.publish("b")

    assert one == two == ["a", "b"]


def test_who_has_left_hears_nothing_more() -> None:
    bus, heard = EventBus(), list[str]()
    with bus.subscribed(heard.append):
        pass
    bus.publish("a")

    assert heard == []


def test_a_listener_that_fails_does_not_keep_the_event_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    bus, heard = EventBus(), list[str]()

    def fail(_: str) -> None:
        raise ValueError("broken listener")

    with bus.subscribed(fail), bus.subscribed(heard.append):
        bus.publish("a")

    assert heard == ["a"]
    assert "a listener failed on a change of task a" in caplog.text


def test_a_listener_may_leave_while_it_is_told() -> None:
    bus, heard = EventBus(), list[str]()
    leaving = ExitStack()
    leaving.enter_context(bus.subscribed(lambda _: leaving.close()))
    with bus.subscribed(heard.append):
        bus.publish("a")
        bus.publish("b")

    assert heard == ["a", "b"]


async def test_an_event_between_looking_and_waiting_is_not_lost() -> None:
    bus = EventBus()
    with bus.watching("a") as watch:
        bus.publish("a")
        with anyio.fail_after(1):
            await watch.wait()


async def test_a_watch_wakes_for_its_own_task_and_once_for_each_return() -> None:
    bus, woken = EventBus(), list[str]()

    async def follow(watch: Signal) -> None:
        while True:
            await watch.wait()
            woken.append("a")

    with bus.watching("a") as watch:
        async with anyio.create_task_group() as group:
            group.start_soon(follow, watch)
            await settle()
            bus.publish("b")
            await settle()
            assert woken == []
            bus.publish("a")
            bus.publish("a")
            await settle()
            assert woken == ["a"]
            bus.publish("a")
            await settle()
            assert woken == ["a", "a"]
            group.cancel_scope.cancel()


async def test_all_can_be_woken_at_once() -> None:
    bus = EventBus()
    with bus.watching("a") as one, bus.watching("a") as two, bus.watching("b") as three:
        bus.wake_all()
        with anyio.fail_after(1):
            for watch in (one, two, three):
                await watch.wait()


def test_watches_leave_nothing_behind() -> None:
    bus = EventBus()
    with bus.watching("a"), bus.watching("a"):
        assert bus.waiters("a") == 2

    bus.publish("a")

    assert bus.waiters("a") == 0
