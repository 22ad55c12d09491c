"""A PostgreSQL server that refuses, is not there or goes away, as the agent reads it: never with the password."""

from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import pytest

from tests.postgres import PostgresServer
from tests.servers import agent
from tests.tasks.core import closed_address

pytestmark = pytest.mark.anyio

PASSWORD = "s3cr3t-hunter2"
WRONG = "wr0ng-hunter3"
RETRY = "Repeating the same call later can help."
NEXT = (
    "Next: Check SORA2_DATABASE_URL, and that its server answers or its folder has space and rights, "
    "then repeat the call."
)


@pytest.fixture
def restarted(own_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The server, running again after the test whatever happens."""
    yield own_postgres
    own_postgres.start()


async def test_a_wrong_password_is_told_without_it_and_nothing_is_ordered(
    tmp_path: Path, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.address_with_password("ann", PASSWORD, given=WRONG)
    async with agent(tmp_path, database_url=url) as me:
        error = await me.error("generate_video", prompt="A kitten")

        assert error.splitlines() == [
            (
                "Not ordered: The task store (SORA2_DATABASE_URL) cannot be used: InvalidPasswordError: "
                'password authentication failed for user "ann". Nothing was spent.'
            ),
            RETRY,
            NEXT,
        ]
        assert me.simulator.received == ()
    assert WRONG not in caplog.text


@pytest.mark.parametrize(
    ("tool", "arguments", "first"),
    [
        ("generate_video", {"prompt": "A kitten"}, "Not ordered"),
        ("list_tasks", {}, "Could not list"),
    ],
)
async def test_a_server_that_is_not_there_is_told_by_the_variable_and_never_with_its_password(
    tmp_path: Path, tool: str, arguments: dict[str, str], first: str
) -> None:
    host = closed_address().split("/")[2]
    async with agent(tmp_path, database_url=f"postgresql://ann:{PASSWORD}@{host}/tasks") as me:
        said, *following = (await me.error(tool, **arguments)).splitlines()

        assert said.startswith(
            f"{first}: The task store (SORA2_DATABASE_URL) cannot be used: ConnectionRefusedError: [Errno"
        )
        assert said.endswith("Nothing was spent.")
        assert PASSWORD not in said
        assert following == [RETRY, NEXT]
        assert me.simulator.received == ()


async def test_a_server_that_goes_away_fails_calls_and_the_next_ones_work_again(
    tmp_path: Path, restarted: PostgresServer
) -> None:
    async with agent(tmp_path, database_url=restarted.empty_place(), poll_seconds=60) as me:
        kept = await me.content("generate_video", prompt="A kitten")

        await anyio.to_thread.run_sync(restarted.stop)
        for tool, first in (("generate_video", "Not ordered"), ("list_tasks", "Could not list")):
            arguments = {"prompt": "A puppy"} if tool == "generate_video" else {}
            said, *following = (await me.error(tool, **arguments)).splitlines()
            assert said.startswith(f"{first}: The task store (SORA2_DATABASE_URL) ")
            assert said.endswith("Nothing was spent.")
            assert following == [RETRY, NEXT]
        await anyio.to_thread.run_sync(restarted.start)

        assert [task["task_id"] for task in (await me.content("list_tasks"))["tasks"]] == [kept["task_id"]]
        assert len([request for request in me.simulator.received if request.method == "POST"]) == 1
