"""The whole job in real agent frameworks, by a model that knows only what each of them shows it."""

import pytest

from tests.hosts.connected import HOSTS
from tests.hosts.reader import Call, Reader, order
from tests.hosts.served import Served, files_in

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.mark.parametrize("name", HOSTS)
async def test_a_model_that_follows_what_it_reads_ends_with_the_file(server: Served, name: str) -> None:
    reader = Reader(order("A kitten"))
    async with HOSTS[name](server) as host:
        answer = await host.run(reader)

    assert reader.tools_called == ["generate_video", "wait_for_video", "download_video"], reader.shown
    assert reader.troubles == []
    (file,) = files_in(answer)
    ((_, status, stored),) = server.rows()
    assert (status, stored) == ("succeeded", str(file))
    assert server.service.orders() == ["A kitten"]


@pytest.mark.parametrize("name", HOSTS)
async def test_what_went_wrong_is_read_in_our_own_words(server: Served, name: str) -> None:
    reader = Reader(Call(tool="wait_for_video", arguments={"task_id": "nope"}))
    async with HOSTS[name](server) as host:
        answer = await host.run(reader)

    assert reader.shown == [answer]
    assert answer.startswith('Could not wait: There is no task "nope". Nothing was spent.')
    assert "Next: Call list_tasks" in answer
    # OpenAI Agents calls nothing an error: our words must do, and begin with what went wrong.
    assert reader.errors == ([] if name.startswith("openai") else reader.shown)
    assert server.service.orders() == []
