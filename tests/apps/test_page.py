"""The page of the HTTP server in Chromium: who sees what, and what people do there."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from sora2_mcp.simulator.app import Simulator
from tests.apps.browser import playing
from tests.apps.tasks import HOSTILE, SEA, at, done, failed, generating, many, pages
from tests.apps.visits import ANN, BOB, OPERATOR, agent_of, order, site, visit
from tests.clocks import eventually
from tests.web import client_of

pytestmark = pytest.mark.anyio

INLINE = """() => {
  window.ran = [];
  const script = document.createElement("script");
  script.textContent = "ran.push('script')";
  document.body.append(script);
  document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\\"ran.push('handler')\\">");
  const link = document.createElement("a");
  link.href = "javascript:ran.push('link')";
  document.body.append(link);
  link.click();
  // From a task of the page's own: what the test calls directly may use eval.
  return new Promise((done) => setTimeout(() => {
    try { new Function("ran.push('eval')")(); } catch {}
    setTimeout(() => done(ran), 100);
  }));
}"""
"""What markup of a stranger would do, were it ever markup."""

UNENDED = """
([asked, breaks]) => {
  const usual = window.fetch;
  window.fetch = async (path, options) => {
    if (!options.body.includes(asked)) return usual(path, options);
    return new Response(new ReadableStream({
      start(body) {
        if (breaks) body.error(new TypeError("network error"));
        const cut = () => body.error(new DOMException("The user aborted a request.", "AbortError"));
        options.signal.addEventListener("abort", cut);
      },
    }), { headers: { "content-type": "text/event-stream" } });
  };
}
"""
"""The server's answer to what was asked has no end: its connection breaks, or only the page ends it; errors as browsers
make them."""

STORED = """async () => JSON.stringify([
  location.href, history.state, document.cookie, document.referrer, window.name, {...localStorage}, {...sessionStorage},
  await indexedDB.databases(), await caches.keys(), document.documentElement.outerHTML,
])"""


async def test_two_people_in_two_browsers_see_their_own_tasks_only(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base:
        await order(base, ANN, "Ann's lighthouse", "Ann's tea house")
        await order(base, BOB, "Bob's harbour")
        async with visit(browser, base) as ann, visit(browser, base) as bob:
            await ann.signed_in(ANN)
            await bob.signed_in(BOB)

            await expect(ann.cards.get_by_role("heading")).to_have_text(["Ann's tea house", "Ann's lighthouse"])
            await expect(bob.cards.get_by_role("heading")).to_have_text(["Bob's harbour"])
            await expect(ann.page.get_by_text("Ordered today: 2")).to_be_visible()
            assert "Bob" not in await ann.page.content()
            assert "Ann" not in await bob.page.content()


async def test_without_signing_in_there_is_nothing_and_a_wrong_token_says_so(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as anybody:
        await order(base, ANN, "Ann's lighthouse")
        await expect(anybody.page.get_by_label("Access token")).to_be_focused()
        for token in ("wrong-0123456789abcdef", "schlüssel", f"{ANN} {BOB}"):
            await anybody.sign_in(token)
            await expect(anybody.page.get_by_role("alert")).to_have_text("This server does not know that token.")
            await anybody.page.get_by_label("Access token").fill("")
        await expect(anybody.cards).to_have_count(0)
        # The words go as soon as it is right.
        await anybody.signed_in(f"  {ANN} ")
        await expect(anybody.page.get_by_role("alert")).to_have_text("")


async def test_the_token_stays_in_memory_and_nothing_of_a_person_after_signing_out(
    browser: Browser, tmp_path: Path
) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        await order(base, ANN, "Ann's lighthouse")
        sent: list[tuple[str, str | None]] = []
        person.page.on("request", lambda request: sent.append((request.url, request.post_data)))
        await person.signed_in(ANN)
        await expect(person.cards).to_have_count(1)

        assert ANN not in await person.page.evaluate(STORED)
        assert await person.page.get_by_label("Access token").input_value() == ""
        assert await person.page.context.storage_state() == {"cookies": [], "origins": []}
        assert sent != []
        assert ANN not in str(sent)

        await person.button("Sign out").click()
        await expect(person.page.get_by_label("Access token")).to_be_focused()
        assert "lighthouse" not in await person.page.content()
        await person.signed_in(BOB)
        await expect(person.page.get_by_text("No videos yet.")).to_be_visible()
        await person.page.reload()
        await expect(person.page.get_by_label("Access token")).to_be_visible()
        await expect(person.button("Sign out")).to_be_hidden()


async def test_own_tasks_are_live(browser: Browser, tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0)
    async with site(tmp_path, simulator, idle_poll_seconds=3600) as base, visit(browser, base) as person:
        await person.signed_in(ANN)
        await expect(person.page.get_by_role("status")).to_have_text("Live")
        await expect(person.cards).to_have_count(0)
        (id,) = await order(base, ANN, "Ann's lighthouse", ends=False)

        # That it ends is seen because the page watches it: no tool waits, and idle tasks are looked at each hour.
        await expect(person.cards.locator(".status")).to_have_text(["Done"])
        await order(base, BOB, "Bob's harbour")
        async with agent_of(base, ANN) as client:
            await client.call_tool("download_video", {"task_id": id})
        await expect(person.button("Save: Ann's lighthouse")).to_be_visible()
        await expect(person.cards).to_have_count(1)


async def test_a_video_is_kept_played_saved_and_its_link_and_prompt_copied(browser: Browser, tmp_path: Path) -> None:
    async with (
        site(tmp_path) as base,
        visit(browser, base, permissions=["clipboard-read", "clipboard-write"]) as person,
    ):
        await order(base, ANN, "Ann's lighthouse")
        await person.signed_in(ANN)
        await person.button("Play").click()
        await playing(person.page.main_frame)
        assert person.addresses.videos != []

        # Keeping it does not stop it.
        await person.button("Keep").click()
        await expect(person.page.get_by_text("Saved.")).to_be_visible()
        await playing(person.page.main_frame)
        await person.page.reload()
        await person.signed_in(ANN)
        async with person.page.expect_download() as saved:
            await person.button("Save").click()
        path = await (await saved.value).path()
        assert path.read_bytes()[4:8] == b"ftyp"
        assert (await saved.value).suggested_filename.endswith(".mp4")

        await person.button("Copy prompt").click()
        await expect(person.page.get_by_text("Copied.")).to_be_visible()
        assert await person.page.evaluate("navigator.clipboard.readText()") == "Ann's lighthouse"
        await person.button("Copy link").click()
        await eventually(lambda: person.page.evaluate("navigator.clipboard.readText().then(t => t.startsWith('http'))"))
        link = await person.page.evaluate("navigator.clipboard.readText()")
        assert link.startswith(f"{base}/videos/")
        person.addresses.videos.clear()
        await person.button("Play").click()
        await playing(person.page.main_frame)
        # From this server now.
        assert person.addresses.videos == []
        async with client_of() as http:
            assert (await http.get(link)).status_code == 200


async def test_where_the_browser_has_no_clipboard_the_text_is_shown(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        await order(base, ANN, "Ann's lighthouse")
        await person.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        await person.signed_in(ANN)
        await person.button("Copy prompt").click()

        await expect(person.page.get_by_role("alert")).to_have_text("Copy it from here: Ann's lighthouse")


async def test_the_operator_sees_all_callers_their_counts_and_the_limits(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path, daily_limit=50, max_active_tasks=20) as base, visit(browser, base) as operator:
        await order(base, ANN, "Ann's lighthouse", "Ann's tea house [sim:generation-failure]")
        await order(base, BOB, "Bob's harbour [sim:seconds=3600]", ends=False)
        await operator.signed_in(OPERATOR)

        await expect(operator.cards).to_have_count(3)
        await expect(operator.cards.first).to_contain_text("Ordered by token:bob")
        await expect(operator.page.get_by_role("row")).to_have_text(
            [re.compile(r"Caller\s*Unfinished\s*Today\s*This month\s*Failed"), "token:ann0221", "token:bob1110"]
        )
        await expect(operator.page.get_by_text("All callers: 3 of 50 orders today, 1 of 20 unfinished")).to_be_visible()
        await expect(operator.button("Keep")).to_have_count(0)
        await operator.page.get_by_label("Show").select_option("failed")
        await expect(operator.cards.get_by_role("heading")).to_have_text(["Ann's tea house [sim:generation-failure]"])
        await operator.page.get_by_label("Show").select_option("any")
        await operator.button("Play").click()
        await playing(operator.page.main_frame)

        # Nothing of it is left for whoever signs in next at this browser.
        await operator.button("Sign out").click()
        await operator.signed_in(BOB)
        await expect(operator.cards).to_have_count(1)
        assert "ann" not in (await operator.page.content()).lower()
        await expect(operator.page.get_by_role("table")).to_be_hidden()


async def test_the_operators_view_keeps_up_by_itself(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as operator:
        await operator.page.clock.install()
        await operator.signed_in(OPERATOR)
        await order(base, ANN, "Ann's lighthouse")
        await operator.page.clock.run_for(5000)

        await expect(operator.cards).to_have_count(1)


async def test_markup_in_prompts_and_file_names_is_text(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base:
        (id,) = await order(base, ANN, HOSTILE)
        async with agent_of(base, ANN) as client:
            await client.call_tool("download_video", {"task_id": id, "filename": HOSTILE})
        for token in (ANN, OPERATOR):
            async with visit(browser, base) as person:
                await person.signed_in(token)
                await expect(person.cards.get_by_role("heading")).to_have_text([HOSTILE])
                await person.button("Play").click()
                await playing(person.page.main_frame)
                assert await person.page.locator("img, svg, b").count() == 0


async def test_markup_in_any_field_of_a_task_is_text_and_its_addresses_are_not_followed(
    browser: Browser, tmp_path: Path
) -> None:
    tasks = [
        failed(HOSTILE, prompt=HOSTILE, task_id=HOSTILE, caller=HOSTILE),
        done("javascript:alert(1)", download_url="data:text/html,<script>alert(2)</script>", task_id="task-2"),
        done(SEA, aspect_ratio=HOSTILE, task_id="task-3", created_at=HOSTILE, video_expires_at=HOSTILE),
        generating(task_id="task-4", message=HOSTILE),
    ]
    async with site(tmp_path) as base, visit(browser, base) as person:
        await person.answer_list(lambda arguments: pages(tasks, arguments))
        await person.signed_in(ANN)

        await expect(person.cards.first).to_contain_text(f"Ordered by {HOSTILE}")
        await expect(person.cards.first.locator(".cover")).to_have_text(HOSTILE)
        await expect(person.cards.nth(1).get_by_role("button")).to_have_text(["Copy prompt"])
        assert await person.page.locator("img, svg, b, script:not([src])").count() == 0


async def test_no_script_but_the_servers_own_runs_in_the_page(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        assert await person.page.evaluate(INLINE) == []
        # The browser reports what it blocked when it finds the time: the script, the handler and the link.
        await eventually(lambda: sum("script-src" in error for error in person.errors) == 3)
        assert await person.page.evaluate("ran") == []
        person.errors.clear()
        person.addresses.refused.clear()


async def test_a_hundred_tasks_come_page_by_page_and_all_keep_up(browser: Browser, tmp_path: Path) -> None:
    tasks = many(100)
    tasks[99] = generating(task_id="task-99", created_at=at(-7200))
    async with site(tmp_path) as base, visit(browser, base) as person:
        await person.answer_list(lambda arguments: pages(tasks, arguments))
        await person.signed_in(ANN)
        await expect(person.cards).to_have_count(24)
        for count in (48, 72, 96, 100):
            await person.button("Older ones").click()
            await expect(person.cards).to_have_count(count)
        await expect(person.button("Older ones")).to_be_hidden()

        tasks[99] = done(task_id="task-99", created_at=at(-7200))
        await order(base, ANN, "News for the page", ends=False)
        await expect(person.cards.last.locator(".status")).to_have_text("Done")
        await expect(person.cards).to_have_count(100)


async def test_more_unfinished_tasks_than_can_be_watched_do_not_end_the_news(browser: Browser, tmp_path: Path) -> None:
    tasks = [generating(task_id=f"task-{number}") for number in range(120)]
    async with site(tmp_path) as base, visit(browser, base) as person:
        listens: list[list[str]] = []

        def note(request: Any) -> None:
            asked = request.post_data_json if request.url.endswith("/mcp") else {}
            if asked.get("method") == "subscriptions/listen":
                listens.append(asked["params"]["notifications"]["resourceSubscriptions"])

        person.page.on("request", note)
        await person.answer_list(lambda arguments: pages(tasks, arguments))
        await person.signed_in(ANN)
        for count in (48, 72, 96, 120):
            await person.button("Older ones").click()
            await expect(person.cards).to_have_count(count)
        tasks.insert(0, done(task_id="new"))
        await order(base, ANN, "News for the page", ends=False)

        await expect(person.cards.first.locator(".status")).to_have_text("Done")
        assert max(map(len, listens)) <= 100
        await expect(person.page.get_by_role("status")).to_have_text("Live")


async def test_a_server_that_goes_away_is_said_and_found_again(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        await person.page.clock.install()
        await person.signed_in(ANN)
        await expect(person.page.get_by_role("status")).to_have_text("Live")
        await person.page.route("**/mcp", lambda route: route.abort())
        await person.page.get_by_label("Show").select_option("failed")
        await expect(person.page.get_by_role("alert")).to_have_text("The server cannot be reached.")

        await person.page.unroute("**/mcp")
        await person.page.get_by_label("Show").select_option("any")
        await order(base, ANN, "Ann's lighthouse")
        await person.page.clock.run_for(1000)
        await expect(person.cards).to_have_count(1)


async def test_a_token_that_is_taken_away_ends_the_visit(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        await order(base, ANN, "Ann's lighthouse")
        await person.signed_in(ANN)
        await person.page.route("**/mcp", lambda route: route.fulfill(status=401, json={"error": "invalid_token"}))
        await person.come_back()

        await expect(person.page.get_by_role("alert")).to_have_text("The token is not good any more.")
        await expect(person.page.get_by_label("Access token")).to_be_focused()
        assert "lighthouse" not in await person.page.content()


@pytest.mark.parametrize("words", ["The token is not good any more.", ""], ids=["refused", "signed out"])
async def test_an_answer_that_the_end_of_a_visit_cuts_off_is_no_error(
    browser: Browser, tmp_path: Path, words: str
) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        await person.page.evaluate(UNENDED, ["sora2://usage", False])
        await person.signed_in(ANN)
        if words:
            await person.page.route("**/mcp", lambda route: route.fulfill(status=401, json={"error": "invalid_token"}))
            await person.come_back()
        else:
            await person.button("Sign out").click()

        await expect(person.page.get_by_label("Access token")).to_be_focused()
        await person.page.evaluate("() => new Promise((done) => setTimeout(done))")
        assert await person.page.get_by_role("alert").all_inner_texts() == [words]


async def test_an_answer_that_breaks_off_is_said_in_words(browser: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as base, visit(browser, base) as person:
        await person.signed_in(ANN)
        await person.page.evaluate(UNENDED, ["list_tasks", True])
        await person.page.get_by_label("Show").select_option("failed")
        await expect(person.page.get_by_role("alert")).to_have_text("The server cannot be reached.")


async def test_without_tokens_the_page_needs_none_and_serves_this_machine_only(
    browser: Browser, tmp_path: Path
) -> None:
    async with site(tmp_path, auth_tokens="", admin_token="") as base, visit(browser, base) as person:
        await order(base, "", "My lighthouse")

        await expect(person.cards.get_by_role("heading")).to_have_text(["My lighthouse"])
        await expect(person.button("Sign out")).to_be_hidden()
        async with client_of(base) as http:
            for path in ("/", "/assets/page.js", "/overview"):
                for headers in ({"host": "rebound.example"}, {"x-forwarded-for": "203.0.113.7"}):
                    assert (await http.get(path, headers=headers)).status_code == 421
                assert (await http.get(path, headers={"origin": "https://elsewhere.example"})).status_code == 403
            assert (await http.get("/overview")).status_code == 401
