"""What the operator sees of all callers, and nobody else does."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.server.site import ANN, BOB, TOKENS, Person, Site, site
from tests.servers import KEY
from tests.stores import store_in

pytestmark = pytest.mark.anyio

ADMIN = "admin-0123456789abcdef"
STATE_KEYS = "state-0123456789abcdef0123456789abcdef"


async def overview(server: Site, *authorization: str, **query: str) -> httpx2.Response:
    headers = [("authorization", each) for each in authorization]
    return await server.http.get("/overview", headers=headers, params=query)


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [f"Bearer {ANN}"],
        [f"Bearer {ADMIN}x"],
        [f"Bearer x{ADMIN}"],
        [f"Basic {ADMIN}"],
        [ADMIN],
        [f"Bearer {ADMIN}", f"Bearer {ADMIN}"],
        [f"Bearer {ANN}", f"Bearer {ADMIN}"],
        [f"Bearer {ADMIN.upper()}"],
    ],
)
async def test_only_the_operators_own_token_opens_it(tmp_path: Path, authorization: list[str]) -> None:
    async with site(tmp_path, auth_tokens=TOKENS, admin_token=ADMIN) as server:
        refused = await overview(server, *authorization)
        known = await overview(server, f"bearer  {ADMIN} ")

    assert (refused.status_code, known.status_code) == (401, 200)
    assert refused.headers["www-authenticate"] == "Bearer"
    assert list(refused.json()) == ["error"]
    assert known.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("authorization", [[], ["Bearer "], ["Bearer"], [f"Bearer {ANN}"], ["Bearer \xe9"]])
async def test_without_an_operators_token_it_is_closed(tmp_path: Path, authorization: list[str]) -> None:
    async with site(tmp_path, auth_tokens=TOKENS) as server:
        headers = [(b"authorization", each.encode("latin-1")) for each in authorization]
        assert (await server.http.get("/overview", headers=headers)).status_code == 401


async def test_the_operators_token_opens_nothing_else(tmp_path: Path) -> None:
    async with site(tmp_path, auth_tokens=TOKENS, admin_token=ADMIN) as server:
        answer = await server.http.post("/mcp", json={}, headers={"authorization": f"Bearer {ADMIN}"})
        posted = await server.http.post("/overview", headers={"authorization": f"Bearer {ADMIN}"})

    assert (answer.status_code, posted.status_code) == (401, 405)


async def ordered(person: Person, prompt: str) -> str:
    task_id = str((await person.content("generate_video", prompt=prompt))["task_id"])
    await person.call("get_task_status", task_id=task_id)
    return task_id


async def test_it_counts_for_each_caller_and_shows_everybodys_tasks(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    limits: dict[str, Any] = {"daily_limit": 10, "state_keys": STATE_KEYS}
    async with (
        site(tmp_path, clock=clock, simulator=simulator, auth_tokens=TOKENS, admin_token=ADMIN, **limits) as server,
        server.person(ANN) as ann,
        server.person(BOB) as bob,
    ):
        for number in range(3):
            await clock.advance(1)
            await ordered(ann, f"Kitten {number}")
        await ann.content("download_video", task_id=await ordered(ann, "A kept kitten"))
        await ordered(ann, "A kitten [sim:generation-failure]")
        await clock.advance(1)
        await ordered(bob, "A puppy [sim:seconds=600]")
        whole = await overview(server, f"Bearer {ADMIN}")
        seen: dict[str, Any] = whole.json()
        failed = (await overview(server, f"Bearer {ADMIN}", status="failed")).json()
        unknown = await overview(server, f"Bearer {ADMIN}", status="refused")
        broken = [
            await overview(server, f"Bearer {ADMIN}", cursor=cursor)
            for cursor in ("x", "é", "x" * 5000, "MjAyNi0xMS0yMnx4", "\0")
        ]

    assert seen["callers"] == [
        {"caller": "token:ann", "unfinished": 0, "today": 5, "this_month": 5, "failed_this_month": 1},
        {"caller": "token:bob", "unfinished": 1, "today": 1, "this_month": 1, "failed_this_month": 0},
    ]
    assert seen["tasks"][0]["caller"] == "token:bob"
    assert len(seen["tasks"]) == 6
    assert seen["next_cursor"] == ""
    assert seen["limits"] == {"daily": {"used": 6, "limit": 10, "left": 4}}
    assert [task["prompt"] for task in failed["tasks"]] == ["A kitten [sim:generation-failure]"]
    assert {answer.status_code for answer in broken} == {400}
    assert "cursor" in broken[0].json()["error"]
    assert unknown.status_code == 400
    assert unknown.json()["error"].startswith("status must be any, generating, succeeded, failed, unconfirmed.")
    for secret in (ANN, BOB, ADMIN, KEY, STATE_KEYS, str(tmp_path)):
        assert secret not in whole.text


async def test_it_goes_on_from_page_to_page(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with (
        site(tmp_path, clock=clock, simulator=simulator, admin_token=ADMIN) as server,
        server.person() as me,
    ):
        for number in range(30):
            await clock.advance(1)
            await me.content("generate_video", prompt=f"Kitten {number}")
        first = (await overview(server, f"Bearer {ADMIN}")).json()
        second = (await overview(server, f"Bearer {ADMIN}", cursor=first["next_cursor"])).json()

    prompts = [task["prompt"] for page in (first, second) for task in page["tasks"]]
    assert prompts == [f"Kitten {number}" for number in reversed(range(30))]
    assert second["next_cursor"] == ""


async def test_a_store_that_does_not_work_is_no_fault_of_the_caller(tmp_path: Path) -> None:
    async with site(tmp_path, admin_token=ADMIN) as server:
        store_in(tmp_path).change("ALTER TABLE tasks RENAME TO away")
        answer = await overview(server, f"Bearer {ADMIN}")

    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
