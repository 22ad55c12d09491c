"""What agents stumbled over, as rules: each stands in a tool's text or in every text of its kind, by every service."""

import re
from typing import Any

import pytest

from tools.docs.catalogue import SERVICES, catalogue
from tools.docs.files import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
TEXTS = [text for block in re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL) for text in block.split("\n\n")]
PAID = [service for service in SERVICES if service != "openai"]


def tool(service: str, name: str) -> dict[str, Any]:
    [found] = [tool for tool in catalogue(service)["tools"] if tool["name"] == name]
    return dict(found)


def texts(beginning: str) -> list[str]:
    found = [text for text in TEXTS if text.startswith(beginning)]
    assert found, beginning
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_an_order_says_what_cannot_be_chosen_taken_back_or_sent(service: str) -> None:
    order = tool(service, "generate_video")
    said = order["description"]
    assert "annot be cancelled" in said
    assert re.search(r"(Length and sound|Sound) cannot be chosen\.", said)
    assert ("seconds" in order["inputSchema"]["properties"]) == ("Length and sound" not in said)
    assert "If the user wants what is not offered here, say so before ordering." in said
    assert "Several may be under way at once." in said
    assert "A limit or a person may refuse it; then nothing is" in said
    assert order["inputSchema"]["properties"]["image_urls"]["description"].endswith("no local files.")


@pytest.mark.parametrize("service", PAID)
def test_an_order_that_costs_says_that_it_is_not_refunded(service: str) -> None:
    assert "cannot be cancelled or refunded" in tool(service, "generate_video")["description"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_wait_is_advised_to_stay_below_what_hosts_cut(service: str) -> None:
    limit = tool(service, "wait_for_video")["inputSchema"]["properties"]["timeout_seconds"]["description"]
    assert "Stay at 25 unless you know your host: many stop calls at 30 or 60 s." in limit
    assert "200" not in limit


@pytest.mark.parametrize("service", SERVICES)
def test_a_name_says_what_is_added_to_it(service: str) -> None:
    name = tool(service, "download_video")["inputSchema"]["properties"]["filename"]["description"]
    assert ".mp4 is added" in name
    assert "the task_id if it is taken" in name


BEGINNINGS = (
    *("Ordered: ", "Being ordered: ", "Still generating: ", "Done in ", "Expired: "),
    *("Failed while generating", "Failed before it was created", "Unclear whether"),
)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_every_text_of_a_task_shows_format_and_quality(beginning: str) -> None:
    assert [text for text in texts(beginning) if "landscape, standard" not in text] == []


def test_a_wait_that_goes_on_repeats_the_callers_limit_and_says_which_to_choose() -> None:
    waits = [text for text in texts("Still generating: ") if "Such videos took about 2 min 10 s lately." in text]
    assert len(waits) == 3
    assert [text for text in waits if "timeout_seconds=30)" not in text] == []
    assert [text.partition("timeout_seconds=30) ")[2] for text in waits] == [
        "again, or tell the user and come back in 2 minutes.",
        "once more: it is probably done by then.",
        "again, or tell the user that it takes longer than usual, and come back later.",
    ]


def test_a_failure_says_what_is_known_of_the_money_and_whether_the_same_may_do() -> None:
    failures = texts("Failed while generating")
    money = r"Whether it was charged is not known\.|The service charges nothing for failed tasks\.|It has cost "
    assert [text for text in failures if not re.search(money, text)] == []
    assert [text for text in failures if not re.search(r"the same prompt may do|the same would fail again", text)] == []
    # Where the money is not known, a person is asked first.
    unknown = [text for text in failures if "is not known" in text]
    assert [text for text in unknown if "Next: ask the user, and if they agree order again" not in text] == []


def test_an_unconfirmed_order_says_who_can_settle_it_and_what_the_same_call_would_do() -> None:
    [text] = texts("Unclear whether")
    assert "No call can settle this; the user's account page at the service can." in text
    assert "The same arguments give this task again" in text


def test_no_text_shows_a_name_of_our_code_or_a_word_of_the_protocol() -> None:
    words = r"\b[A-Z]\w+(?:Error|Exception)\b|elicitation|paid for now"
    assert [text for text in TEXTS if re.search(words, text)] == []


def test_a_list_says_of_each_video_where_it_is_and_how_many_there_are() -> None:
    [text] = [text for text in TEXTS if "· generating ·" in text]
    *lines, counts, following = text.splitlines()
    assert counts == "3 of 12. Ordered today: 2 of 5; this month: 14. It is 2026-11-22 12:00 UTC."
    assert following.startswith("Next: list_tasks(")
    done = [line for line in lines if "· succeeded ·" in line]
    assert [line for line in done if not re.search(r" · https://\S+ · (saved: /|not saved, kept until )", line)] == []


def test_what_lacks_a_setting_says_that_the_simulator_makes_no_real_video() -> None:
    lacking = [text for text in TEXTS if "--simulate" in text]
    assert lacking
    assert [text for text in lacking if "makes no real video" not in text] == []
