"""Every service, as an agent meets it: the real server over each dialect of the simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.servers import Agent, agent
from tools.docs.catalogue import tool_names

pytestmark = pytest.mark.anyio

LIVING = ["kie", "openai", "openrouter"]
SERVICES = ["sora2api", *LIVING]
KEYED = ["openai", "openrouter"]
MONEY = ("spent", "paid", "charged", "credit", "cost", "money")
PROMPT = "A kitten in a garden"


@asynccontextmanager
async def served(folder: Path, service: str, simulator: Simulator | None = None, **values: Any) -> AsyncIterator[Agent]:
    # Where the simulator is stands in its place; a server of one's own has no usual address.
    needed = {"openrouter": {"model": "simulated/cinema-2"}, "openai": {"api_base_url": "http://gpu.example/v1"}}
    settings = {"service": service, **needed.get(service, {}), **values}
    async with agent(folder, simulator=simulator, **settings) as me:
        yield me


async def done(me: Agent, **arguments: Any) -> dict[str, Any]:
    ordered = await me.content("generate_video", **{"prompt": PROMPT, **arguments})
    return await me.content("wait_for_video", task_id=ordered["task_id"])


@pytest.mark.parametrize("service", SERVICES)
async def test_a_video_is_ordered_waited_for_listed_and_saved(service: str, tmp_path: Path) -> None:
    async with served(tmp_path, service) as me:
        ordered = await me.content("generate_video", prompt=PROMPT, aspect_ratio="portrait")
        ended = await me.content("wait_for_video", task_id=ordered["task_id"])
        saved = await me.content("download_video", task_id=ordered["task_id"])
        listed = await me.content("list_tasks")

    assert ordered["status"] == "generating"
    assert ended["status"] == "succeeded"
    assert Path(saved["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert [task["task_id"] for task in listed["tasks"]] == [ordered["task_id"]]
    assert listed["tasks"][0]["aspect_ratio"] == "portrait"


@pytest.mark.parametrize("service", KEYED)
async def test_a_video_that_only_the_key_opens_is_saved_by_itself_and_its_address_is_nowhere(
    service: str, tmp_path: Path
) -> None:
    async with served(tmp_path, service) as me:
        ended = await done(me)
        said = str(await me.call("get_task_status", task_id=ended["task_id"]))
        said += str(await me.call("download_video", task_id=ended["task_id"]))
        said += str(await me.call("list_tasks")) + str(await me.client.read_resource("sora2://tasks"))

    assert Path(ended["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert "video_url" not in ended
    assert "/content" not in said + str(ended)
    assert ended["file_path"] in ended["message"]


@pytest.mark.parametrize("service", KEYED)
async def test_an_address_of_its_own_is_handed_out_as_any_other(service: str, tmp_path: Path) -> None:
    async with served(tmp_path, service, Simulator(seconds_per_task=0, faults=["signed-url"])) as me:
        ended = await done(me)

    assert ended["video_url"].startswith("http://127.0.0.1")
    assert "file_path" not in ended


@pytest.mark.parametrize("service", KEYED)
async def test_the_key_never_follows_a_redirect(service: str, tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0, faults=["content-redirect"])
    async with served(tmp_path, service, simulator) as me:
        ended = await done(me)

    assert Path(ended["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert [request.has_key for request in simulator.received if request.path.endswith("/content")] == [True]
    assert [request.has_key for request in simulator.fetched] == [False]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("fault", ["order-drop", "order-half", "order-empty", "order-html-accepted", "order-no-id"])
async def test_a_lost_answer_is_unconfirmed_and_never_sent_again(service: str, fault: str, tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0, faults=[f"{fault}*1"])
    async with served(tmp_path, service, simulator) as me:
        first = await me.content("generate_video", prompt=PROMPT)
        again = await me.content("generate_video", prompt=PROMPT)

    assert (first["status"], again["status"]) == ("unconfirmed", "unconfirmed")
    assert first["task_id"] == again["task_id"]
    assert [request.method for request in simulator.received].count("POST") == 1
    assert ("charged" in first["message"]) is (service != "openai")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("refused-prompt", "content"),
        ("order-401", "API key"),
        ("order-402", "credits"),
        ("order-422", ""),
        ("order-blocked", "could not be reached"),
    ],
)
async def test_a_refusal_says_what_to_do_and_nothing_is_listed(
    service: str, fault: str, words: str, tmp_path: Path
) -> None:
    simulator = Simulator(seconds_per_task=0, faults=[fault])
    async with served(tmp_path, service, simulator) as me:
        refused = await me.error("generate_video", prompt=PROMPT)
        listed = await me.content("list_tasks")

    assert refused.startswith("Not ordered: ")
    assert words in refused
    assert "Next: " in refused
    assert ("Nothing was spent" in refused) is (service != "openai")
    assert listed["tasks"] == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("order-433", "The API key has reached a limit of its own (433)"),
        ("order-451", "An image could not be fetched (451)"),
    ],
)
async def test_kies_own_codes_say_what_to_do(fault: str, words: str, tmp_path: Path) -> None:
    async with served(tmp_path, "kie", Simulator(seconds_per_task=0, faults=[fault])) as me:
        refused = await me.error("generate_video", prompt=PROMPT)

    assert words in refused
    assert "Nothing was spent." in refused


@pytest.mark.parametrize("service", SERVICES)
async def test_an_order_over_the_rate_is_repeated_until_it_is_accepted(service: str, tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0, faults=["order-429=0.1*2"])
    async with served(tmp_path, service, simulator) as me:
        ended = await done(me)

    assert ended["status"] == "succeeded"
    assert [request.method for request in simulator.received].count("POST") == 3


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("fault", ["generation-failure", "moderation", "moderation-look", "expired", "cancelled"])
async def test_a_task_that_fails_ends_and_says_why(service: str, fault: str, tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0, faults=[fault])
    async with served(tmp_path, service, simulator) as me:
        ended = await done(me)

    assert ended["status"] == "failed"
    assert ended["failure"]["stage"] == "generation"
    assert ended["failure"]["message"]
    assert "Nothing more will come of this task" in ended["message"]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("trait", ["status-unknown", "status-strange"])
async def test_a_status_nobody_knows_is_no_failure(service: str, trait: str, tmp_path: Path) -> None:
    async with served(tmp_path, service, Simulator(seconds_per_task=60, faults=[trait])) as me:
        ordered = await me.content("generate_video", prompt=PROMPT)
        looked_at = await me.content("get_task_status", task_id=ordered["task_id"])

    assert looked_at["status"] == "generating"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("trait", ["status-succeeded", "status-success", "success-flag", "long-id", "look-missing*1"])
async def test_a_success_is_known_however_it_is_spelled(service: str, trait: str, tmp_path: Path) -> None:
    async with served(tmp_path, service, Simulator(seconds_per_task=0, faults=[trait])) as me:
        ended = await done(me)

    assert ended["status"] == "succeeded"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_task_goes_on_after_a_restart(service: str, tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0)
    async with served(tmp_path, service, simulator, idle_poll_seconds=3600) as me:
        ordered = await me.content("generate_video", prompt=PROMPT)
    async with served(tmp_path, service, simulator) as me:
        # The simulator listens elsewhere now, which makes it another service to all but its key.
        listed = await me.content("list_tasks")

    assert [task["task_id"] for task in listed["tasks"]] == [ordered["task_id"]]


@pytest.mark.parametrize("service", SERVICES)
async def test_prices_are_only_spoken_of_where_there_are_any(service: str, tmp_path: Path) -> None:
    async with served(tmp_path, service) as me:
        listed = str([tool.model_dump() for tool in (await me.client.list_tools()).tools])
        ordered = await me.call("generate_video", prompt=PROMPT)
        texts = [str(ordered), str(await me.call("wait_for_video", task_id=ordered.structured_content["task_id"]))]
        texts += [await me.error("generate_video", prompt=" "), await me.error("get_task_status", task_id="none")]
        said = " ".join([listed, *texts, me.client.instructions or ""]).replace("sora2-mcp", "")

    found = [word for word in MONEY if word in said.lower()]
    assert bool(found) is (service != "openai"), [said[max(0, said.lower().find(word) - 60) :][:120] for word in found]


async def test_kie_and_openrouter_tell_what_a_video_has_cost(tmp_path: Path) -> None:
    for service, amount, unit in (("kie", 100, "credits"), ("openrouter", 0.4, "USD")):
        async with served(tmp_path / service, service, daily_cost=amount * 1.2) as me:
            ended = await done(me)
            usage = (await me.client.read_resource("sora2://usage")).contents[0]
            near = await me.content("generate_video", prompt="Another kitten")
            await me.content("wait_for_video", task_id=near["task_id"])
            refused = await me.error("generate_video", prompt="One kitten more")

        assert ended["cost"] == {"amount": amount, "unit": unit}
        assert f"It has cost {amount:g} {unit}." in ended["message"]
        assert f'"today": {float(amount)}' in str(getattr(usage, "text", ""))
        assert ('"balance": 9900' in str(getattr(usage, "text", ""))) is (service == "kie")
        assert f"{unit} of today are spent (SORA2_DAILY_COST)" in near["message"]
        assert "SORA2_DAILY_COST" in refused


@pytest.mark.parametrize(
    ("service", "arguments", "words"),
    [
        ("kie", {"watermark": "me"}, "watermark cannot be set: kling-3.0/video at Kie takes none."),
        ("kie", {"seconds": 20}, "seconds cannot be 20: allowed is 3 to 15."),
        ("kie", {"prompt": "x" * 2501}, "prompt has 2,501 characters; allowed are 1 to 2,500."),
        ("kie", {"image_urls": ["https://x.example/1.png"] * 3}, "image_urls"),
        ("kie", {"duration": 8}, "duration is not an argument of generate_video; did you mean seconds?"),
        ("openai", {"callback_url": "https://x.example"}, "callback_url cannot be set"),
        ("openai", {"image_urls": ["https://x.example/1.png"] * 2}, "image_urls"),
        ("openrouter", {"callback_url": "http://x.example"}, "callback_url must begin with https://"),
        ("openrouter", {"seconds": 61}, "seconds cannot be 61: allowed is 1 to 60."),
        ("sora2api", {"seconds": 8}, "seconds cannot be 8: Sora 2 through Sora2API sets the length, so leave it out."),
    ],
)
async def test_what_the_service_cannot_honour_is_refused_in_words_before_anything_is_sent(
    service: str, arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    async with served(tmp_path, service) as me:
        refused = await me.error("generate_video", **{"prompt": PROMPT, **arguments})
        received = me.simulator.received

    assert refused.startswith("Not ordered: ")
    assert words in refused
    assert received == ()


async def test_the_length_is_the_callers_the_settings_or_the_models_in_this_order(tmp_path: Path) -> None:
    async with served(tmp_path, "kie", video_seconds=7) as me:
        named = await me.content("generate_video", prompt=PROMPT, seconds=12)
        configured = await me.content("generate_video", prompt="Another")
        bodies = [request.body or {} for request in me.simulator.received if request.method == "POST"]
    async with served(tmp_path, "kie") as me:
        own = await me.content("generate_video", prompt="A third")

    assert (named["seconds"], configured["seconds"], own["seconds"]) == (12, 7, 5)
    assert [body["input"]["duration"] for body in bodies] == ["12", "7"]
    assert "landscape, standard, 12 s" in named["message"]


async def test_a_server_that_was_restarted_has_lost_its_jobs_and_the_text_says_so(tmp_path: Path) -> None:
    clock = FakeClock()
    simulator = Simulator(seconds_per_task=3600, now=clock.now, sleep=clock.sleep)
    async with served(tmp_path, "openai", simulator, clock=clock) as me:
        ordered = await me.content("generate_video", prompt=PROMPT)
        await clock.advance(100)
        simulator.add_fault("forget")
        for _ in range(4):
            await me.content("get_task_status", task_id=ordered["task_id"])
            await clock.advance(400)
        ended = await me.content("get_task_status", task_id=ordered["task_id"])

    assert ended["status"] == "failed"
    assert "forgets its jobs when it is restarted" in ended["message"]
    assert not [word for word in MONEY if word in ended["message"].lower()]


@pytest.mark.parametrize("service", KEYED)
async def test_a_video_that_cannot_be_saved_is_told_at_once_and_why(service: str, tmp_path: Path) -> None:
    (tmp_path / "videos").write_text("a file where a folder should be")
    async with served(tmp_path, service) as me:
        ordered = await me.content("generate_video", prompt=PROMPT)
        ended = await me.content("wait_for_video", task_id=ordered["task_id"], timeout_seconds=200)
        (tmp_path / "videos").unlink()
        saved = await me.content("download_video", task_id=ordered["task_id"])

    assert ended["status"] == "succeeded"
    assert "was not saved: the folder" in ended["message"]
    assert "SORA2_VIDEO_DIR" in ended["next"]
    assert Path(saved["file_path"]).is_file()


async def test_no_key_is_needed_for_a_server_at_home(tmp_path: Path) -> None:
    async with served(tmp_path, "openai", api_key="") as me:
        ended = await done(me)
        with_key = {request.has_key for request in me.simulator.received}

    assert ended["status"] == "succeeded"
    assert with_key == {False}


@pytest.mark.parametrize(
    ("service", "values", "variable"),
    [
        ("kie", {"api_key": ""}, "SORA2_API_KEY"),
        ("openai", {"api_base_url": ""}, "SORA2_API_BASE_URL"),
        ("openrouter", {"model": ""}, "SORA2_MODEL"),
    ],
)
async def test_what_is_missing_is_said_by_the_first_call_and_the_tools_are_listed_all_the_same(
    service: str, values: dict[str, Any], variable: str, tmp_path: Path
) -> None:
    async with served(tmp_path, service, **values) as me:
        tools = (await me.client.list_tools()).tools
        missing = await me.error("generate_video", prompt=PROMPT)

    assert len(tools) == len(tool_names())
    assert f"{variable} is not set" in missing
