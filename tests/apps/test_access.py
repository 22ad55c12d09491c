"""What people with a keyboard, a screen reader, a dark theme, a small screen or no taste for motion get."""

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, ElementHandle, Frame, Page, expect

from tests.apps.browser import complaints, playing
from tests.apps.hosts import CONTEXT, App, Host, given, host_of
from tests.apps.tasks import DEAD, PROMPT, done, failed, generating, many, pages, unconfirmed
from tests.apps.visits import ANN, BOB, OPERATOR, order, site, visit

pytestmark = pytest.mark.anyio

RING = "(element) => (({ outlineStyle: kind, outlineWidth: width }) => kind !== 'none' && parseFloat(width))"
RING += "(getComputedStyle(element))"
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
THEMES = ("light", "dark")


async def look_again(_: dict[str, Any]) -> dict[str, Any]:
    return given(done(DEAD))


async def list_many(params: dict[str, Any]) -> dict[str, Any]:
    return given(pages(many(100), params["arguments"]))


async def focused(frame: Frame | Page) -> str:
    """What has the focus: a button's name, else the element's."""
    name: str = await frame.evaluate(
        "(({ tagName, ariaLabel, textContent }) => ariaLabel || (tagName === 'BUTTON' ? textContent : tagName))"
        "(document.activeElement)"
    )
    return name


async def tab(host: Host, times: int) -> list[str]:
    """What has the focus after each press of the tab key."""
    found = []
    for _ in range(times):
        await host.page.keyboard.press("Tab")
        # The frame is a process of its own, so the focus comes to it a moment after the key.
        await host.frame.wait_for_function("document.activeElement !== document.body")
        found.append(await focused(host.frame))
    return found


async def ring_of(frame: Frame | Page) -> tuple[bool, bool]:
    """Whether what has the focus shows it, and nothing cuts the ring off."""
    element = await frame.evaluate_handle("document.activeElement")
    assert isinstance(element, ElementHandle)
    width = await element.evaluate(RING)
    inside = await element.evaluate(
        "(element) => !element.closest('.stage') || parseFloat(getComputedStyle(element).outlineOffset) < 0"
    )
    return bool(width), bool(inside)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    "task",
    [generating(), done(), failed(), unconfirmed(), done(DEAD), done(DEAD, video_expires_at=done()["created_at"])],
    ids=["waiting", "done", "failed", "unconfirmed", "dead link", "deleted"],
)
async def test_axe_has_no_complaint_about_the_player(
    browser: Browser, player: App, task: dict[str, Any], theme: str
) -> None:
    async with host_of(
        browser, player, context={**CONTEXT, "theme": theme}, answers={"tools/call": look_again}
    ) as host:
        await host.show(task)
        await expect(host.frame.get_by_role("heading")).to_have_text(PROMPT)
        await host.height_fits()

        assert await complaints(host.frame) == []


@pytest.mark.parametrize("theme", THEMES)
async def test_axe_has_no_complaint_about_the_gallery(browser: Browser, gallery: App, theme: str) -> None:
    async with host_of(
        browser, gallery, context={**CONTEXT, "theme": theme}, answers={"tools/call": list_many}
    ) as host:
        await host.show(pages([generating(task_id="new"), *many(30)], {}))
        assert await complaints(host.frame) == []

        await host.frame.get_by_role("button", name="Play").first.click()
        await playing(host.frame)
        assert await complaints(host.frame) == []


@pytest.mark.parametrize(("theme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(27, 27, 29)")])
async def test_the_hosts_theme_wins_over_the_systems_and_may_change(
    browser: Browser, player: App, theme: str, ground: str
) -> None:
    other = {"light": "dark", "dark": "light"}[theme]
    async with host_of(browser, player, context={**CONTEXT, "theme": theme}, color_scheme=other) as host:
        await host.show(generating())
        root = host.frame.locator("html")
        await expect(root).to_have_css("background-color", ground)

        await host.notify("host-context-changed", theme=other)
        await expect(root).not_to_have_css("background-color", ground)
        variables = {"--color-background-primary": "rgb(1, 2, 3)", "no-variable": "x", "--color-text-primary": 7}
        await host.notify("host-context-changed", styles={"variables": variables})
        await expect(root).to_have_css("background-color", "rgb(1, 2, 3)")


async def test_without_a_theme_of_the_host_the_systems_counts(browser: Browser, player: App) -> None:
    async with host_of(browser, player, context={}, color_scheme="dark") as host:
        await expect(host.frame.locator("html")).to_have_css("background-color", "rgb(27, 27, 29)")


@pytest.mark.parametrize("width", [320, 1200])
async def test_nothing_is_wider_than_the_frame(browser: Browser, player: App, gallery: App, width: int) -> None:
    long = "Donaudampfschifffahrt" * 30
    for task in (generating(prompt=long), failed(f"{long} {PROMPT * 5}"), done(f"{DEAD}?{long}"), done()):
        async with host_of(browser, player, width=width, answers={"tools/call": look_again}) as host:
            await host.show(task)
            await host.height_fits()

            assert not await host.frame.evaluate(WIDE)
            # A long reason is not cut off.
            assert await host.frame.evaluate(
                "(s => s.scrollHeight <= s.clientHeight)(document.getElementById('stage'))"
            )
    async with host_of(browser, gallery, width=width) as host:
        await host.show({"tasks": [done(prompt=long), failed(long, task_id="2"), *many(10)], "next_cursor": ""})
        await host.height_fits()

        assert not await host.frame.evaluate(WIDE)
        columns = await host.frame.evaluate("getComputedStyle(cards).gridTemplateColumns.split(' ').length")
        assert columns == {320: 1, 1200: 4}[width]


async def test_the_player_is_used_with_the_keyboard_alone(browser: Browser, player: App) -> None:
    async with host_of(browser, player) as host:
        await host.show(done())
        video = await playing(host.frame)

        assert await tab(host, 1) == [f"Video: {PROMPT}"]
        assert await ring_of(host.frame) == (True, True)
        await host.page.keyboard.press("Space")
        await video.wait_for_element_state("stable")
        assert await video.evaluate("video => video.paused")
        found = []
        while "Full screen" not in found:
            found += await tab(host, 1)
        # The browser's own buttons of the video come between.
        assert [name for name in found if name != f"Video: {PROMPT}"] == ["Open in browser", "Save", "Full screen"]
        assert await ring_of(host.frame) == (True, True)
        await host.page.keyboard.press("Shift+Tab")
        await host.page.keyboard.press("Enter")
        await host.until_sent("ui/download-file")


@pytest.mark.parametrize("key", ["Enter", "Space"])
async def test_the_gallery_is_used_with_the_keyboard_alone(browser: Browser, gallery: App, key: str) -> None:
    async with host_of(browser, gallery, answers={"tools/call": list_many}) as host:
        await host.show(pages(many(30), {"limit": 2}))
        await host.frame.evaluate("document.body.focus()")

        first, second = (f"Number {number}: {PROMPT}" for number in range(2))
        assert await tab(host, 10) == [
            "SELECT",
            "Refresh",
            *(f"{what}: {prompt}" for prompt in (first, second) for what in ("Play", "Keep", "Save", "Open")),
        ]
        for _ in range(3):
            await host.page.keyboard.press("Shift+Tab")
        assert await focused(host.frame) == f"Play: {second}"
        assert await ring_of(host.frame) == (True, True)
        await host.page.keyboard.press(key)

        video = await playing(host.frame)
        assert await focused(host.frame) == f"Video: {second}"
        await host.page.keyboard.press("Space")
        assert await video.evaluate("video => video.paused")


async def test_a_screen_reader_hears_how_a_task_stands_and_names_of_all_there_is(browser: Browser, player: App) -> None:
    async with host_of(browser, player, answers={"tools/call": look_again}) as host:
        await host.show(done(DEAD))
        await expect(host.frame.locator("#problem")).to_be_visible()

        await expect(host.frame.locator("body")).to_match_aria_snapshot(f"""
            - main:
              - heading "{PROMPT}" [level=1]
              - paragraph:
                - status: Done
                - text: took 1 min 1 s
              - alert: "/The video cannot be shown here/"
              - paragraph:
                - button "Open in browser"
                - button "Save"
                - button "Full screen"
        """)


async def test_where_less_motion_is_asked_for_nothing_moves_by_itself(browser: Browser, player: App) -> None:
    async with host_of(browser, player, reduced_motion="reduce") as host:
        await host.show(generating())
        bar = await host.frame.evaluate("getComputedStyle(document.getElementById('bar'), '::after').animationName")
        assert bar == "none"

        await host.show(done())
        video = await host.frame.wait_for_selector("video")
        assert video is not None
        await video.evaluate(
            "video => new Promise((done) => { video.oncanplay = done; if (video.readyState > 2) done(); })"
        )
        assert await video.evaluate("video => video.paused && video.controls")


@pytest.mark.parametrize("theme", THEMES)
async def test_axe_has_no_complaint_about_the_page_and_it_fits_every_screen(
    browser: Browser, tmp_path: Path, theme: Literal["light", "dark"]
) -> None:
    async with site(tmp_path, daily_limit=50) as base:
        await order(base, ANN, "Ann's lighthouse", "Ann's tea house [sim:generation-failure]")
        await order(base, BOB, "Bob's harbour [sim:seconds=3600]", ends=False)
        for width in (320, 1200):
            async with visit(browser, base, width=width, color_scheme=theme) as person:
                await expect(person.page.get_by_label("Access token")).to_be_focused()
                assert await complaints(person.page) == []
                assert not await person.page.evaluate(WIDE)
                for token in (ANN, OPERATOR):
                    await person.signed_in(token)
                    await expect(person.cards.first).to_be_visible()
                    assert await complaints(person.page) == []
                    assert not await person.page.evaluate(WIDE)
                    await person.button("Sign out").click()


async def test_the_page_is_used_with_the_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        await order(base, ANN, "Ann's lighthouse")
        await person.page.get_by_label("Access token").press_sequentially(ANN)
        assert await ring_of(person.page) == (True, True)
        await person.page.keyboard.press("Enter")
        await expect(person.page.get_by_label("Show")).to_be_focused()

        await person.page.keyboard.press("Tab")
        assert await focused(person.page) == "Play: Ann's lighthouse"
        assert await ring_of(person.page) == (True, True)
        await person.page.keyboard.press("Enter")
        video = await playing(person.page)
        assert await focused(person.page) == "Video: Ann's lighthouse"
        await person.page.keyboard.press("Space")
        assert await video.evaluate("video => video.paused")
        await person.button("Keep").press("Enter")
        await expect(person.page.get_by_text("Saved.")).to_be_visible()
        await person.button("Sign out").press("Space")
        await expect(person.page.get_by_label("Access token")).to_be_focused()
