"""What a text says must be true: about what was sent, what was spent, and what comes next."""

import stat
from pathlib import Path

import anyio
import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually
from tests.servers import agent, text_of
from tests.stores import file_in, store_in

pytestmark = pytest.mark.anyio


async def test_an_unreadable_answer_is_told_as_one(tmp_path: Path) -> None:
    async with agent(tmp_path, simulator=Simulator(faults=["order-html*1"])) as me:
        text = text_of(await me.call("generate_video", prompt="A kitten"))

        assert "but no readable answer came back (HTTP 502 with a web page)" in text


async def test_an_order_refused_after_its_id_was_shown_tells_what_helps_against_that_refusal(
    tmp_path: Path, clock: FakeClock
) -> None:
    simulator = Simulator(faults=["order-429=5*1", "order-402*1"], now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, simulator=simulator, clock=clock) as me:
        await me.content("list_tasks")
        told: list[str] = []

        async def order() -> None:
            told.append((await me.content("generate_video", prompt="A kitten"))["task_id"])

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(order)
                await eventually(lambda: len(simulator.received) == 1)
                await clock.advance(3)
        (local_id,) = told

        async def failed() -> bool:
            await clock.advance(1)
            return bool((await me.content("get_task_status", task_id=local_id))["status"] == "failed")

        await eventually(failed)
        text = text_of(await me.call("get_task_status", task_id=local_id))

        why = "The account has no credits left (402)"
        assert text.startswith(f"Failed before it was created (landscape, standard): {why}")
        assert "Nothing was spent." in text
        assert "Next: Ask the user to top up their account on the service" in text
        assert "change the prompt" not in text


async def test_a_fresh_task_that_the_service_does_not_know_yet_is_generating(tmp_path: Path) -> None:
    async with agent(tmp_path, simulator=Simulator(faults=["look-404"])) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        looked = await me.content("get_task_status", task_id=task_id)

        assert looked["status"] == "generating", "in its first 90 s a task may still be unknown to the service"


async def test_a_task_given_up_unseen_is_asked_about_once_more_before_it_is_paid_again(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=Simulator(faults=["look-404"]), clock=clock, idle_poll_seconds=60) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]

        async def failed() -> bool:
            await clock.advance(60)
            return bool((await me.content("list_tasks"))["tasks"][0]["status"] == "failed")

        await eventually(failed)
        given_up = await me.call("wait_for_video", task_id=task_id, timeout_seconds=0)

        assert text_of(given_up).splitlines() == [
            (
                "Failed before it was created (landscape, standard; code 404): "
                "the service has not known this task for ten minutes. It has probably been charged."
            ),
            (
                f'Next: get_task_status(task_id="{task_id}") asks the service once more; if it stays so, tell the '
                "user, and order again with generate_video only if they agree."
            ),
        ]


async def test_the_next_page_keeps_the_filter(tmp_path: Path) -> None:
    async with agent(tmp_path, poll_seconds=60) as me:
        for number in range(3):
            await me.content("generate_video", prompt=f"Kitten {number}")
        page = await me.call("list_tasks", status="generating", limit=2)
        cursor = (page.structured_content or {})["next_cursor"]

        assert f'Next: list_tasks(status="generating", limit=2, cursor="{cursor}")' in text_of(page)
        assert text_of(await me.call("list_tasks", status="failed")).startswith("No failed tasks.")


async def test_a_key_that_stopped_working_is_told_at_once_in_every_wait(tmp_path: Path) -> None:
    async with agent(tmp_path, simulator=Simulator(seconds_per_task=1000, faults=["look-401"])) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        for _ in range(2):
            with anyio.fail_after(30):
                error = await me.error("wait_for_video", task_id=task_id, timeout_seconds=100)

            assert error.startswith("Could not wait: The service does not accept the API key (401)")
            assert "the task goes on at the service" in error


async def test_what_no_database_can_hold_is_replaced(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        ordered = await me.content("generate_video", prompt="A \x00kitten 🐈", watermark="W\x00")

        assert (ordered["prompt"], ordered["watermark"]) == ("A kitten 🐈", "W")


@pytest.mark.posix
async def test_prompts_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    async with agent(tmp_path, database_url=file_in(tmp_path).url) as me:
        await me.content("generate_video", prompt="A kitten")

        assert stat.S_IMODE((tmp_path / "tasks.db").stat().st_mode) == 0o600


async def test_a_callback_address_is_sent_and_not_kept(tmp_path: Path) -> None:
    async with agent(tmp_path, poll_seconds=60) as me:
        await me.content("generate_video", prompt="A kitten", callback_url="https://example.com/hook?token=secret")

        assert (me.simulator.received[0].body or {})["callBackUrl"] == "https://example.com/hook?token=secret"
        assert "example.com/hook" not in store_in(tmp_path).contents()
