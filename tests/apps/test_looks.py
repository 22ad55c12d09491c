"""When the player looks by itself, when it stops, and what it makes of a host's messages."""

from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, expect

from tests.apps.browser import playing
from tests.apps.hosts import App, Host, Refused, calls, given, host_of, wrong
from tests.apps.tasks import SEA, done, generating

pytestmark = pytest.mark.anyio

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""A page in headless Chromium is never hidden by itself."""


class Looks:
    """Answers looks with what ``result`` is at the time."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result

    async def __call__(self, _: dict[str, Any]) -> dict[str, Any]:
        return given(self.result)


async def looks_in(host: Host, seconds: int, step: int = 1) -> int:
    """How many looks begin in the next seconds of the page's clock, which moves on by ``step``."""
    before = len(calls(host))
    for _ in range(seconds // step):
        await host.page.clock.run_for(step * 1000)
        # The answer of a look is there before time moves on.
        await host.request("ping")
    return len(calls(host)) - before


async def test_the_pace_is_the_servers_between_one_second_and_thirty(browser: Browser, player: App) -> None:
    looks = Looks(generating(poll_after_seconds=4))
    async with host_of(browser, player, answers={"tools/call": looks}) as host:
        await host.page.clock.install()
        await host.show(generating(poll_after_seconds=4))

        assert await looks_in(host, 12) == 3
        looks.result = generating(poll_after_seconds=0.001)
        await looks_in(host, 4)
        assert 4 <= await looks_in(host, 5) <= 5
        looks.result = generating(poll_after_seconds=3600)
        await looks_in(host, 2)
        assert await looks_in(host, 62, step=2) == 2


async def test_nobody_looks_while_the_page_is_hidden_and_once_when_it_is_seen_again(
    browser: Browser, player: App
) -> None:
    async with host_of(browser, player, answers={"tools/call": Looks(generating())}) as host:
        await host.page.clock.install()
        await host.show(generating())
        await host.frame.evaluate(HIDE, True)

        assert await looks_in(host, 20, step=5) == 0
        await host.frame.evaluate(HIDE, False)
        await host.until_sent("tools/call")
        assert len(calls(host)) == 1


async def test_after_the_teardown_nothing_is_asked_shown_or_said(browser: Browser, player: App) -> None:
    has_ended = anyio.Event()

    async def call(_: dict[str, Any]) -> dict[str, Any]:
        await has_ended.wait()
        return given(done())

    async with host_of(browser, player, answers={"tools/call": call}) as host:
        await host.page.clock.install()
        await host.show(generating())
        await host.page.clock.run_for(1000)
        await host.until_sent("tools/call")

        assert (await host.request("ui/resource-teardown", reason="closed"))["result"] == {}
        has_ended.set()
        assert await looks_in(host, 30, step=5) == 0
        assert await host.frame.locator("video").count() == 0
        assert host.sent("ui/update-model-context") == []


async def test_a_video_that_plays_stops_with_the_teardown(browser: Browser, player: App) -> None:
    async with host_of(browser, player) as host:
        await host.show(done())
        video = await playing(host.frame)

        await host.request("ui/resource-teardown")
        assert await video.evaluate("video => video.paused")


async def test_a_task_that_never_gets_an_address_is_not_looked_at_for_ever(browser: Browser, player: App) -> None:
    looks = Looks(done(""))
    async with host_of(browser, player, answers={"tools/call": looks}) as host:
        await host.page.clock.install()
        await host.show(done(""))

        assert await looks_in(host, 300, step=10) == 12
        await expect(host.frame.get_by_text("it has no address yet that can be shown here")).to_be_visible()
        await host.frame.evaluate(HIDE, True)
        await host.frame.evaluate(HIDE, False)
        assert await looks_in(host, 120, step=10) == 0
        # Once a person had it saved, it plays.
        await host.show(done(SEA))
        await playing(host.frame)


async def test_looks_that_fail_are_said_become_rarer_and_end(browser: Browser, player: App) -> None:
    async def call(_: dict[str, Any]) -> dict[str, Any]:
        raise Refused("The server has gone.")

    async with host_of(browser, player, answers={"tools/call": call}) as host:
        await host.page.clock.install()
        await host.show(generating())

        assert await looks_in(host, 10) == 4
        await expect(host.frame.get_by_text("Looking failed: The server has gone.")).to_be_visible()
        assert await looks_in(host, 300, step=10) == 8
        await expect(
            host.frame.get_by_text("The player has stopped looking: ask how the video stands.")
        ).to_be_visible()
        await expect(host.frame.locator("#bar")).to_be_hidden()


async def test_a_look_that_failed_once_is_forgotten_when_the_next_one_works(browser: Browser, player: App) -> None:
    answers = iter([wrong("Not now."), given(done())])

    async def call(_: dict[str, Any]) -> dict[str, Any]:
        return next(answers)

    async with host_of(browser, player, answers={"tools/call": call}) as host:
        await host.show(generating())

        await playing(host.frame)
        await expect(host.frame.locator("#say")).to_have_text("")


async def test_messages_of_other_windows_than_the_parent_are_ignored(browser: Browser, player: App) -> None:
    forged = {"jsonrpc": "2.0", "method": "ui/notifications/tool-result", "params": given(done(prompt="Forged"))}
    async with host_of(browser, player) as host:
        await host.show(generating())
        await host.frame.evaluate("(message) => window.postMessage(message, '*')", forged)
        # A page beside the app, in a frame of the host's.
        await host.page.evaluate(
            """(message) => {
              const other = document.body.appendChild(document.createElement("iframe"));
              const script = other.contentDocument.createElement("script");
              script.textContent = `parent.frames[0].postMessage(${JSON.stringify(message)}, "*")`;
              other.contentDocument.body.append(script);
            }""",
            forged,
        )

        await host.request("ping")
        assert "Forged" not in await host.frame.content()


async def test_what_is_no_message_of_ours_is_passed_over_and_unknown_requests_are_refused(
    browser: Browser, player: App
) -> None:
    async with host_of(browser, player) as host:
        for junk in (
            "null",
            "'text'",
            "[]",
            "{}",
            "{jsonrpc: '1.0', method: 'ping', id: 1}",
            "{jsonrpc: '2.0', id: 99}",
        ):
            await host.page.evaluate(f"send({junk})")
        for method in ("sampling/createMessage", "toString", "constructor", "__proto__"):
            answer = await host.request(method)
            assert answer["error"] == {"code": -32601, "message": "Method not found"}
        await host.notify("of-a-later-revision")
        await host.send(method="ui/notifications/tool-input", params=None)

        await expect(host.frame.get_by_role("status")).to_have_text("Looking")
        assert (await host.request("ping"))["result"] == {}


async def test_the_height_settles_with_few_messages(browser: Browser, player: App) -> None:
    async with host_of(browser, player, answers={"tools/call": Looks(done())}) as host:
        await host.show(generating())
        await host.height_fits()
        await playing(host.frame)
        await host.height_fits()

        heights = [size["height"] for size in host.sent("ui/notifications/size-changed")]
        assert len(heights) <= 4
        assert max(heights) < 600
        await host.page.set_viewport_size({"width": 320, "height": 900})
        await host.height_fits()
        assert len(host.sent("ui/notifications/size-changed")) <= len(heights) + 3
