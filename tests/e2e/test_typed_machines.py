"""What programs read of ``generate`` and ``tasks``: objects on stdout, words on stderr; and which task is meant."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.jobs import perform
from sora2_mcp.cli.references import AmbiguousIdError
from sora2_mcp.errors import DownloadError, UnknownTaskError
from sora2_mcp.server.views import SavedVideoView, TaskView
from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS
from tests.network import simulated
from tests.servers import settings_in
from tests.stores import store_in

pytestmark = pytest.mark.anyio

Typed = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Typed]:
    """Runs a command; gives the exit code, and what it writes to stdout and stderr. Videos are done at once."""
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(simulated(settings_in(tmp_path), Simulator(seconds_per_task=0)))
        await runtime.tasks(PATIENCE_SECONDS)

        async def typed(*arguments: str) -> tuple[int, str, str]:
            code = await perform(parse(arguments), runtime)
            shown = capsys.readouterr()
            return code, shown.out, shown.err

        yield typed


async def ordered(typed: Typed, prompt: str) -> str:
    """Orders a video; gives its id."""
    return str(json.loads((await typed("generate", prompt, "--no-wait", "--json"))[1])["task_id"])


async def test_generate_gives_one_object_with_the_saved_video(tmp_path: Path, typed: Typed) -> None:
    code, written, said = await typed("generate", "A kitten", "--filename", "kitten", "--json")

    [content] = map(json.loads, written.splitlines())
    saved = SavedVideoView.model_validate(content)
    assert (code, saved.status, saved.file_path) == (0, "succeeded", str(tmp_path / "videos" / "kitten.mp4"))
    assert saved.size_bytes == (tmp_path / "videos" / "kitten.mp4").stat().st_size
    assert saved.content() == content, "nothing else is in it"
    assert f"Ordered: {saved.task_id}" in said.splitlines()


async def test_a_failure_is_an_object_too_and_the_exit_code_stays(typed: Typed) -> None:
    code, written, _ = await typed("generate", "A kitten [sim:generation-failure]", "--json")

    assert (code, json.loads(written)["failure"]["code"]) == (1, 501)


async def test_a_video_that_is_made_but_not_saved_is_still_named(
    tmp_path: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").touch()

    with pytest.raises(DownloadError):
        await typed("generate", "A kitten", "--json")

    assert json.loads(capsys.readouterr().out)["status"] == "succeeded"


async def test_a_list_is_an_object_a_line_newest_first(typed: Typed) -> None:
    ids = [await ordered(typed, f"Kitten {number}") for number in range(3)]
    code, written, _ = await typed("tasks", "list", "--json")

    views = [TaskView.model_validate_json(line) for line in written.splitlines()]
    assert (code, [view.task_id for view in views]) == (0, ids[::-1])
    assert (await typed("tasks", "list", "--json", "--status", "failed"))[:2] == (0, "")


async def test_every_verb_gives_the_task(typed: Typed) -> None:
    task_id = await ordered(typed, "A kitten")
    waited, shown, saved = [
        json.loads((await typed("tasks", verb, task_id, "--json"))[1]) for verb in ("wait", "show", "download")
    ]

    assert [content["status"] for content in (waited, shown)] == ["succeeded"] * 2
    assert {*saved} - {*shown} == {"file_path", "size_bytes", "sha256"}


async def test_all_that_is_saved_is_an_object_a_line_and_the_count_is_words(typed: Typed) -> None:
    ids = {await ordered(typed, f"Kitten {number}") for number in range(3)}
    code, written, said = await typed("tasks", "download", "--all", "--json")

    assert {json.loads(line)["task_id"] for line in written.splitlines()} == ids
    assert (code, said.splitlines()[-1]) == (0, "3 saved")


async def test_a_wait_that_is_over_too_soon_gives_the_task_as_it_is(typed: Typed) -> None:
    task_id = await ordered(typed, "A kitten [sim:seconds=600]")
    code, written, _ = await typed("tasks", "wait", task_id, "--timeout", "0", "--json")

    assert (code, json.loads(written)["status"]) == (1, "generating")


# Which task is meant.


async def test_a_beginning_that_one_id_has_is_enough(tmp_path: Path, typed: Typed) -> None:
    task_id = await ordered(typed, "A kitten")
    [(id,)] = store_in(tmp_path).rows("id")

    for verb in ("show", "wait", "download"):
        for beginning in (task_id[:13], f"local-{id[:5]}"):
            assert json.loads((await typed("tasks", verb, beginning, "--json"))[1])["task_id"] == task_id


async def test_a_beginning_that_several_have_is_an_error_that_lists_them(tmp_path: Path, typed: Typed) -> None:
    ids = [await ordered(typed, f"Kitten {number}") for number in range(2)]

    with pytest.raises(AmbiguousIdError) as refused:
        await typed("tasks", "show", "sora2_task")

    assert str(refused.value) == '"sora2_task" is the beginning of 2 ids; type more of the one you mean:'
    assert refused.value.hint == f'  {ids[1]}  "Kitten 1"\n  {ids[0]}  "Kitten 0"'
    with pytest.raises(AmbiguousIdError) as refused:
        await typed("tasks", "show", "local-")
    assert sorted(line.split()[0] for line in refused.value.hint.splitlines()) == sorted(
        f"local-{id}" for (id,) in store_in(tmp_path).rows("id")
    )


async def test_of_many_candidates_ten_are_listed(typed: Typed) -> None:
    for number in range(11):
        await ordered(typed, f"Kitten {number}")

    with pytest.raises(AmbiguousIdError, match="is the beginning of more than 10 ids") as refused:
        await typed("tasks", "wait", "sora2_")

    assert len(refused.value.hint.splitlines()) == 10


async def test_a_whole_id_is_meant_though_another_begins_with_it(tmp_path: Path, typed: Typed) -> None:
    for number in range(2):
        await typed("tasks", "wait", await ordered(typed, f"Kitten {number}"))
    store_in(tmp_path).change("UPDATE tasks SET task_id = 'one' WHERE prompt = 'Kitten 0'")
    store_in(tmp_path).change("UPDATE tasks SET task_id = 'one_more' WHERE prompt = 'Kitten 1'")

    assert json.loads((await typed("tasks", "show", "one", "--json"))[1])["prompt"] == "Kitten 0"


@pytest.mark.parametrize("reference", ["SORA2_TASK_", "%", "sora2%", "", " "])
async def test_what_no_id_begins_with_is_unknown(typed: Typed, reference: str) -> None:
    await ordered(typed, "A kitten")

    with pytest.raises(UnknownTaskError):
        await typed("tasks", "show", reference)


# Names of files.


async def test_a_video_keeps_the_place_of_its_first_file_and_that_is_said(tmp_path: Path, typed: Typed) -> None:
    task_id = await ordered(typed, "A kitten")
    await typed("tasks", "wait", task_id)
    names = ("kitten.mp4", "kitten", "cat")
    first, again, other = [(await typed("tasks", "download", task_id, "--filename", name))[:2] for name in names]

    path = str(tmp_path / "videos" / "kitten.mp4")
    assert first == again == (0, f"Saved:\n{path}\n")
    assert (other[0], other[1].splitlines()[-1]) == (0, path)
    assert other[1].startswith("It was saved before, so --filename cat is not used")


async def test_a_name_that_another_video_has_is_no_other_place(typed: Typed) -> None:
    for number in range(2):
        task_id = await ordered(typed, f"Kitten {number}")
        await typed("tasks", "wait", task_id)
        _, written, _ = await typed("tasks", "download", task_id, "--filename", "kitten")

        assert written.startswith("Saved:\n")


async def test_an_interrupted_wait_says_how_the_task_is_found(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    task_id = await ordered(typed, "A kitten [sim:seconds=600]")

    async with anyio.create_task_group() as group:

        async def wait() -> Any:
            await typed("tasks", "wait", task_id, "--simulate", "--json")

        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.endswith(f"Find it with: sora2-mcp tasks wait {task_id} --simulate\n")
