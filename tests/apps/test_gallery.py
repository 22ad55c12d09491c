"""The gallery in a host, in Chromium: cards, pages, filters, and one video at a time."""

import base64
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, Locator, expect

from sora2_mcp.server.apps import GALLERY
from sora2_mcp.simulator.motifs import CLIPS
from tests.apps.browser import playing
from tests.apps.hosts import CAPABILITIES, App, Host, Refused, as_sent, calls, given, host_of, wrong
from tests.apps.tasks import DEAD, HOSTILE, PROMPT, SEA, at, done, failed, generating, many, pages
from tests.clocks import eventually
from tests.servers import agent

pytestmark = pytest.mark.anyio

CLIP = base64.b64encode((CLIPS / "sea-landscape.mp4").read_bytes()).decode()


class Shelf:
    """Answers the gallery's calls from a list of tasks, which may change."""

    def __init__(self, *tasks: dict[str, Any]) -> None:
        self.tasks = list(tasks)

    async def __call__(self, params: dict[str, Any]) -> dict[str, Any]:
        name, arguments = params["name"], params["arguments"]
        if name == "list_tasks":
            return given(pages(self.tasks, arguments))
        (task,) = (task for task in self.tasks if task["task_id"] == arguments["task_id"])
        if name == "download_video":
            task.update(download_url=SEA)
        return given(task)


def cards(host: Host) -> Locator:
    return host.frame.get_by_role("listitem")


async def shows_frame(video: Locator) -> None:
    """Returns once a frame of the video is there, though it does not play."""
    await eventually(lambda: video.evaluate("video => video.paused && video.readyState >= 2"))


async def show(host: Host, tasks: list[dict[str, Any]], **arguments: Any) -> None:
    """What the host shows of a call of ``list_tasks``."""
    await host.show(pages(tasks, arguments), **arguments)


async def test_what_a_server_lists_stands_on_cards_and_one_is_played(browser: Browser, tmp_path: Path) -> None:
    async with agent(tmp_path, simulate=True) as one:

        async def call(params: dict[str, Any]) -> dict[str, Any]:
            return as_sent(await one.call(params["name"], **params["arguments"]))

        for prompt in ("A bridge in autumn [sim:generation-failure]", "The sea at dusk"):
            ordered = await one.content("generate_video", prompt=prompt)
            await one.call("wait_for_video", task_id=ordered["task_id"])
        async with host_of(browser, await App.of(one, GALLERY), answers={"tools/call": call}) as host:
            await host.show(await one.call("list_tasks"))

            await expect(cards(host)).to_have_count(2)
            await expect(cards(host).get_by_role("heading")).to_have_text(
                ["The sea at dusk", "A bridge in autumn [sim:generation-failure]"]
            )
            await expect(cards(host).locator(".status")).to_have_text(["Done", "Failed"])
            await expect(cards(host).last).to_contain_text("could not be generated")
            await host.frame.get_by_role("button", name="Play: The sea at dusk").click()
            await playing(host.frame)
            await host.frame.get_by_role("button", name="Keep: The sea at dusk").click()
            await expect(host.frame.get_by_text("Saved.")).to_be_visible()
            assert one.simulator.fetched != ()


async def test_a_card_shows_frame_status_prompt_age_and_what_is_about_to_be_deleted(
    browser: Browser, gallery: App
) -> None:
    tasks = [
        generating(task_id="task-0", created_at=at(-30)),
        done(created_at=at(-3 * 3600), video_expires_at=at(86_400 + 60)),
        done(None, task_id="task-2", created_at=at(-15 * 86_400), video_expires_at=at(-60)),
        done(task_id="task-3", created_at=at(-86_400 * 3), video_expires_at=at(86_400), download_url=SEA),
        failed(task_id="task-4"),
    ]
    async with host_of(browser, gallery) as host:
        await show(host, tasks)

        await expect(cards(host)).to_have_count(5)
        await expect(cards(host).nth(0)).to_contain_text(re.compile(r"Generating\s?3\d s ago"))
        await expect(cards(host).nth(1)).to_contain_text("Done3 h ago")
        await expect(cards(host).nth(1)).to_contain_text(PROMPT)
        await expect(cards(host).nth(1)).to_contain_text("Not saved; the service deletes it in 24 h.")
        await expect(cards(host).nth(2)).to_contain_text("15 days ago")
        await expect(cards(host).nth(2)).to_contain_text("The service has deleted it.")
        await expect(cards(host).nth(2).get_by_role("button")).to_have_count(0)
        await expect(cards(host).nth(3)).not_to_contain_text("deletes")
        await expect(cards(host).nth(4)).to_contain_text("The prompt names a living person")
        await shows_frame(host.frame.locator("video").first)
        assert set(host.addresses.videos) == {SEA}


async def test_a_hundred_tasks_come_page_by_page_and_frames_are_loaded_as_they_are_seen(
    browser: Browser, gallery: App
) -> None:
    shelf = Shelf(*many(100))
    async with host_of(browser, gallery, answers={"tools/call": shelf}) as host:
        await show(host, shelf.tasks, limit=12)
        more = host.frame.get_by_role("button", name="Older ones")
        for count in (24, 36, 48, 60, 72, 84, 96, 100):
            await more.click()
            await expect(cards(host)).to_have_count(count)

        await expect(more).to_be_hidden()
        assert await host.frame.locator("video").count() == 75
        headings = await cards(host).get_by_role("heading").all_text_contents()
        assert headings == [task["prompt"] for task in shelf.tasks]
        last = host.frame.locator("video").last
        await last.scroll_into_view_if_needed()
        await shows_frame(last)


async def test_only_frames_that_are_seen_are_loaded(browser: Browser, gallery: App) -> None:
    async with host_of(browser, gallery) as host:
        await show(host, many(50), limit=50)
        await host.height_fits()
        await shows_frame(host.frame.locator("video").first)

        assert await host.frame.locator("video[src]").count() < await host.frame.locator("video").count() / 2


async def test_a_status_is_chosen_and_paging_goes_on_within_it(browser: Browser, gallery: App) -> None:
    shelf = Shelf(*many(200))
    async with host_of(browser, gallery, answers={"tools/call": shelf}) as host:
        await show(host, shelf.tasks)
        await host.frame.get_by_label("Show").select_option("failed")
        await expect(cards(host)).to_have_count(12)
        await host.frame.get_by_role("button", name="Older ones").click()

        await expect(cards(host)).to_have_count(24)
        await expect(cards(host).locator(".status")).to_have_text(["Failed"] * 24)
        await host.frame.get_by_label("Show").select_option("generating")
        await expect(host.frame.get_by_text("No such videos.")).to_be_visible()
        await expect(cards(host)).to_have_count(0)


async def test_the_filter_begins_as_the_agent_asked(browser: Browser, gallery: App) -> None:
    async with host_of(browser, gallery) as host:
        await show(host, many(16), status="failed")

        await expect(host.frame.get_by_label("Show")).to_have_value("failed")
        await expect(cards(host)).to_have_count(2)


async def test_the_answer_to_an_earlier_filter_does_not_replace_that_of_the_later(
    browser: Browser, gallery: App
) -> None:
    shelf, may_answer = Shelf(*many(16)), anyio.Event()

    async def call(params: dict[str, Any]) -> dict[str, Any]:
        if params["arguments"]["status"] == "succeeded":
            await may_answer.wait()
        return await shelf(params)

    async with host_of(browser, gallery, answers={"tools/call": call}) as host:
        await show(host, shelf.tasks)
        await host.frame.get_by_label("Show").select_option("succeeded")
        await host.frame.get_by_label("Show").select_option("failed")
        await expect(cards(host)).to_have_count(2)
        may_answer.set()

        await host.request("ping")
        await expect(cards(host).locator(".status")).to_have_text(["Failed"] * 2)


async def test_tasks_of_one_second_and_older_ones_keep_up_with_what_becomes_of_them(
    browser: Browser, gallery: App
) -> None:
    same = at(-90)
    shelf = Shelf(*(generating(task_id=f"task-{number}", created_at=same) for number in range(20)))
    async with host_of(browser, gallery, answers={"tools/call": shelf}) as host:
        await show(host, shelf.tasks, limit=12)
        await host.frame.get_by_role("button", name="Older ones").click()
        await expect(cards(host)).to_have_count(20)

        shelf.tasks = [done(task_id=f"task-{number}", created_at=same) for number in range(20)]
        # It looks again by itself while anything is unfinished.
        await expect(cards(host).locator(".status")).to_have_text(["Done"] * 20)
        await host.page.clock.install()
        count = len(calls(host))
        await host.page.clock.run_for(60_000)
        assert len(calls(host)) == count


async def test_one_video_plays_at_a_time_and_goes_on_while_the_list_changes(browser: Browser, gallery: App) -> None:
    shelf = Shelf(*many(3))
    async with host_of(browser, gallery, answers={"tools/call": shelf}) as host:
        await show(host, shelf.tasks)
        play = host.frame.get_by_role("button", name="Play")
        await play.nth(0).click()
        await expect(play).to_have_count(2)
        await play.nth(1).click()
        await expect(play).to_have_count(2)
        video = await playing(host.frame)

        shelf.tasks.insert(0, generating(task_id="task-new"))
        await host.frame.get_by_role("button", name="Refresh").click()
        await expect(cards(host)).to_have_count(4)
        assert await video.evaluate("video => video.isConnected && !video.paused")
        assert await host.frame.locator("video[controls]").count() == 1


async def test_a_dead_link_is_made_fresh_once_and_one_that_stays_dead_is_named(browser: Browser, gallery: App) -> None:
    shelf = Shelf(done(SEA), done(DEAD, task_id="task-2", prompt="Dead"))
    async with host_of(browser, gallery, answers={"tools/call": shelf}) as host:
        await show(host, [done(DEAD), done(DEAD, task_id="task-2", prompt="Dead")])
        await host.frame.get_by_role("button", name=f"Play: {PROMPT}").click()
        await playing(host.frame)

        await host.frame.get_by_role("button", name="Play: Dead").click()
        await expect(cards(host).nth(1)).to_contain_text(f"The video cannot be shown here. It is at {DEAD}")
        assert calls(host) == [("get_task_status", {"task_id": "task-1"}), ("get_task_status", {"task_id": "task-2"})]


async def test_a_saved_video_without_an_address_is_played_from_its_bytes(browser: Browser, gallery: App) -> None:
    async def read(params: dict[str, Any]) -> dict[str, Any]:
        return {"contents": [{"uri": params["uri"], "mimeType": "video/mp4", "blob": CLIP}]}

    async with host_of(browser, gallery, answers={"resources/read": read}, media=("blob:",)) as host:
        await show(host, [done("", file_path="/videos/one.mp4")])
        await host.frame.get_by_role("button", name="Play").click()

        await playing(host.frame)
        assert host.sent("resources/read") == [{"uri": "sora2://tasks/task-1/video"}]


async def test_a_video_is_opened_and_saved_through_the_host_and_kept_by_the_server(
    browser: Browser, gallery: App
) -> None:
    shelf = Shelf(done(SEA))
    async with host_of(browser, gallery, answers={"tools/call": shelf}) as host:
        await show(host, [done(SEA)])
        await host.frame.get_by_role("button", name="Open").click()
        assert await host.until_sent("ui/open-link") == [{"url": SEA}]
        await host.frame.get_by_role("button", name="Save").click()
        (saved,) = await host.until_sent("ui/download-file")
        assert [link["uri"] for link in saved["contents"]] == [SEA]

        keep = host.frame.get_by_role("button", name="Keep")
        await keep.focus()
        await host.page.keyboard.press("Enter")
        await expect(host.frame.get_by_text("Saved.")).to_be_visible()
        await expect(keep).to_have_count(0)
        # Who works with the keyboard stays at this card.
        await expect(host.frame.get_by_role("button", name="Play")).to_be_focused()


async def test_without_server_tools_the_gallery_shows_what_was_listed_and_offers_nothing_else(
    browser: Browser, gallery: App
) -> None:
    can = {name: value for name, value in CAPABILITIES.items() if name != "serverTools"}
    async with host_of(browser, gallery, capabilities=can) as host:
        await host.page.clock.install()
        await show(host, [generating(task_id="task-new"), *many(11)], limit=5)

        await expect(cards(host)).to_have_count(5)
        await expect(host.frame.get_by_label("Show")).to_be_hidden()
        for name in ("Older ones", "Keep", "Refresh"):
            await expect(host.frame.get_by_role("button", name=name)).to_have_count(0)
        await host.page.clock.run_for(60_000)
        assert calls(host) == []


async def test_an_error_is_said_and_what_was_shown_stays(browser: Browser, gallery: App) -> None:
    async def call(_: dict[str, Any]) -> dict[str, Any]:
        raise Refused("The server has gone.")

    async with host_of(browser, gallery, answers={"tools/call": call}) as host:
        await show(host, many(3))
        await host.frame.get_by_role("button", name="Refresh").click()

        await expect(host.frame.get_by_role("alert")).to_have_text("The server has gone.")
        await expect(cards(host)).to_have_count(3)


async def test_an_error_of_the_call_itself_and_an_empty_list_are_said(browser: Browser, gallery: App) -> None:
    async with host_of(browser, gallery) as host:
        await expect(host.frame.locator("#empty")).to_be_hidden()
        await host.notify("tool-result", **wrong("The store cannot be opened."))
        await expect(host.frame.get_by_role("alert")).to_have_text("The store cannot be opened.")
        await show(host, [])
        await expect(host.frame.get_by_text("No videos yet.")).to_be_visible()


async def test_markup_is_text_and_no_address_but_https_is_followed(browser: Browser, gallery: App) -> None:
    tasks = [
        done("javascript:alert(1)", task_id=HOSTILE, prompt=HOSTILE, caller=HOSTILE, status="succeeded"),
        done("data:text/html,<script>alert(1)</script>", task_id="task-2", file_path=HOSTILE, prompt=HOSTILE),
        failed(HOSTILE, task_id="task-3", prompt=HOSTILE),
        done(SEA, task_id="task-4", prompt=HOSTILE, status=HOSTILE),
    ]
    async with host_of(browser, gallery, capabilities={"openLinks": {}, "downloadFile": {}}) as host:
        await show(host, tasks)

        await expect(cards(host).get_by_role("heading")).to_have_text([HOSTILE] * 4)
        await expect(cards(host).nth(2)).to_contain_text(HOSTILE)
        assert await host.frame.locator("img, svg, b").count() == 0
        for number in range(3):
            await expect(cards(host).nth(number).get_by_role("button")).to_have_count(0)


async def test_the_teardown_ends_what_plays_and_what_was_to_come(browser: Browser, gallery: App) -> None:
    shelf = Shelf(done(SEA), generating(task_id="task-2"))
    async with host_of(browser, gallery, answers={"tools/call": shelf}) as host:
        await host.page.clock.install()
        await show(host, shelf.tasks)
        await host.frame.get_by_role("button", name="Play").click()
        video = await playing(host.frame)
        await host.request("ui/resource-teardown")

        assert await video.evaluate("video => video.paused")
        await host.page.clock.run_for(60_000)
        assert calls(host) == []
