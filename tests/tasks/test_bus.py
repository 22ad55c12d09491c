from contextlib import ExitStack

import anyio
import anyio.lowlevel
import pytest

from sora2_mcp.domain.events import TaskChanged, TaskEvent, TaskFinished
from sora2_mcp.tasks.bus import EventBus, Watch
from tests.clocks import START, settle

pytestmark = pytest.mark.anyio

FINISHED = TaskFinished(id="a", at=START)
CHANGED = TaskChanged(id="b", at=START)


def test_every_listener_hears_every_event_in_order() -> None:
    bus, one, two = EventBus(), list[TaskEvent](), list[TaskEvent]()
    with bus.subscribed(one.append), bus.subscribed(two.append):
        bus.publish(FINISHED, CHANGED)

    assert one == two == [FINISHED, CHANGED]


def test_who_has_left_hears_nothing_more() -> None:
    bus, heard = EventBus(), list[TaskEvent]()
    with bus.subscribed(heard.append):
        pass
    bus.publish(FINISHED)

    assert heard == []


def test_a_listener_that_fails_does_not_keep_the_event_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    bus, heard = EventBus(), list[TaskEvent]()

    def fail(_: TaskEvent) -> None:
        raise ValueError("broken listener")

    with bus.subscribed(fail), bus.subscribed(heard.append):
        bus.publish(FINISHED)

    assert heard == [FINISHED]
    assert "TaskFinished" in caplog.text


def test_a_listener_may_leave_while_it_is_told() -> None:
    bus, heard = EventBus(), list[TaskEvent]()
    leaving = ExitStack()
    leaving.enter_context(bus.subscribed(lambda _: leaving.close()))
    with bus.subscribed(heard.append):
        bus.publish(FINISHED, CHANGED)

    assert heard == [FINISHED, CHANGED]


async def test_an_event_between_looking_and_waiting_is_not_lost() -> None:
    bus = EventBus()
    with bus.watching("a") as watch:
        bus.publish(FINISHED)
        with anyio.fail_after(1):
            await watch.changed()


async def test_a_watch_wakes_for_its_own_task_and_once_for_each_return() -> None:
    bus, woken = EventBus(), list[str]()

    async def follow(watch: Watch) -> None:
        while True:
            await watch.changed()
            woken.append("a")

    with bus.watching("a") as watch:
        async with anyio.create_task_group() as group:
            group.start_soon(follow, watch)
            await settle()
            bus.publish(CHANGED)
            await settle()
            assert woken == []
            bus.publish(FINISHED, FINISHED)
            await settle()
            assert woken == ["a"]
            bus.publish(FINISHED)
            await settle()
            assert woken == ["a", "a"]
            group.cancel_scope.cancel()


async def test_all_can_be_woken_at_once() -> None:
    bus = EventBus()
    with bus.watching("a") as one, bus.watching("a") as two, bus.watching("b") as three:
        bus.wake_all()
        with anyio.fail_after(1):
            for watch in (one, two, three):
                await watch.changed()


def test_watches_leave_nothing_behind() -> None:
    bus = EventBus()
    with bus.watching("a"), bus.watching("a"):
        assert len(bus._watches["a"]) == 2

    bus.publish(FINISHED)

    assert dict(bus._watches) == {}


def test_whoever_listens_hears_that_something_may_have_been_missed(caplog: pytest.LogCaptureFixture) -> None:
    bus, gaps = EventBus(), list[str]()

    def fail() -> None:
        raise ValueError("broken listener")

    with bus.subscribed(lambda _: None, missed=fail), bus.subscribed(lambda _: None, missed=lambda: gaps.append("gap")):
        bus.wake_all()
    bus.wake_all()

    assert gaps == ["gap"]
    assert "a listener failed on a gap" in caplog.text
