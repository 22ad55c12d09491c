"""The commands people type."""

import re
from pathlib import Path

import pytest

from tests.e2e.processes import Process, completed, simulator
from tests.stores import file_in


def test_the_demo_leaves_a_video_and_its_path_is_the_last_line(tmp_path: Path) -> None:
    run = completed(tmp_path, "demo")

    path = Path(run.stdout.splitlines()[-1])
    assert run.returncode == 0, run.stderr
    assert path.is_absolute()
    assert path.read_bytes()[4:8] == b"ftyp"
    assert all(f"call: {tool}(" in run.stdout for tool in ("generate_video", "wait_for_video", "download_video"))
    assert run.stderr == ""


def test_generate_orders_waits_and_saves(tmp_path: Path) -> None:
    with simulator(tmp_path, "--seconds", "0.2") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any"}
        run = completed(
            tmp_path, "generate", "A kitten", "--aspect-ratio", "portrait", "--filename", "kitten", **variables
        )
        listed = completed(tmp_path, "tasks", "list", **variables)
        task_id = run.stdout.split()[1]
        shown = completed(tmp_path, "tasks", "show", task_id, **variables)
        again = completed(tmp_path, "tasks", "download", task_id, **variables)

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str(tmp_path / "Videos" / "sora2" / "kitten.mp4")
    assert listed.stdout.startswith(f"{task_id} · succeeded · ")
    assert shown.stdout.startswith("Done in ")
    assert again.stdout.splitlines()[-1] == run.stdout.splitlines()[-1]


def test_an_order_can_be_left_to_be_waited_for_later(tmp_path: Path) -> None:
    with simulator(tmp_path, "--seconds", "0.2") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any"}
        ordered = completed(tmp_path, "generate", "A kitten", "--no-wait", **variables)
        task_id = ordered.stdout.split()[1]
        waited = completed(tmp_path, "tasks", "wait", task_id, "--timeout", "20", **variables)

    assert (ordered.returncode, ordered.stdout) == (0, f"Ordered: {task_id}\n")
    assert (waited.returncode, waited.stdout.startswith("Done in ")) == (0, True)


def test_everything_that_is_done_and_not_saved_is_saved_by_one_command(tmp_path: Path) -> None:
    with simulator(tmp_path, "--seconds", "0.1") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any"}
        for number in range(3):
            completed(tmp_path, "generate", f"Kitten {number}", "--no-wait", **variables)
        saved = completed(tmp_path, "tasks", "download", "--all", **variables)
        again = completed(tmp_path, "tasks", "download", "--all", **variables)

    assert (saved.returncode, saved.stdout.splitlines()[-1]) == (0, "3 saved")
    files = [*(tmp_path / "Videos" / "sora2").iterdir()]
    assert sorted(saved.stdout.splitlines()[:-1]) == sorted(f"Saved: {file}" for file in files)
    assert (again.returncode, again.stdout) == (0, "0 saved\n")


def test_what_cannot_be_saved_is_named_and_the_rest_is_saved(tmp_path: Path) -> None:
    store = file_in(tmp_path)
    with simulator(tmp_path, "--seconds", "0") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any", "SORA2_DATABASE_URL": store.url}
        for number in range(2):
            ordered = completed(tmp_path, "generate", f"Kitten {number}", "--no-wait", **variables)
            completed(tmp_path, "tasks", "show", ordered.stdout.split()[1], **variables)
        store.change("UPDATE tasks SET video_url = 'http://127.0.0.1:9/x.mp4', task_id = 'x' WHERE prompt = 'Kitten 0'")
        saved = completed(tmp_path, "tasks", "download", "--all", **variables)

    assert saved.returncode == 1
    assert "Not saved: The video of task x was not saved: " in saved.stdout
    assert saved.stdout.splitlines()[-1] == "1 saved, 1 not saved; repeat the command for those"


def test_the_command_line_says_what_expires_and_what_has(tmp_path: Path) -> None:
    store, day = file_in(tmp_path), 86_400 * 10**6
    with simulator(tmp_path, "--seconds", "0") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any", "SORA2_DATABASE_URL": store.url}
        ordered = completed(tmp_path, "generate", "Kitten", "--no-wait", **variables)
        task_id = ordered.stdout.split()[1]
        completed(tmp_path, "tasks", "show", task_id, **variables)
        said = []
        for days in (13, 3):
            instants = ("created_at", "known_unfinished_at", "finished_at", "url_seen_at", "video_expires_at")
            earlier = ", ".join(f"{name} = {name} - {days * day}" for name in instants)
            store.change(f"UPDATE tasks SET {earlier}")  # noqa: S608 - names of columns and a number
            said += [completed(tmp_path, "tasks", *verb, **variables).stdout for verb in (("show", task_id), ("list",))]

    assert "NOT SAVED, and deleted within two days, on " in said[0]
    warning, way_out = said[1].splitlines()[1:]
    assert re.fullmatch(rf"The video of {task_id} is not saved and deleted within two days, on .+ UTC\.", warning)
    assert way_out == "Save what is done with: sora2-mcp tasks download --all"
    assert said[2].startswith(f"Expired: {task_id} was done")
    assert re.fullmatch(r'sora2_task_.* "Kitten" expired \d{4}-\d\d-\d\d, not saved\n', said[3])


def test_what_a_simulated_run_keeps_lies_beside_its_store_and_nowhere_else(tmp_path: Path) -> None:
    place = {"SORA2_DATABASE_URL": f"sqlite:///{tmp_path}/own/tasks.db", "SORA2_VIDEO_DIR": f"{tmp_path}/own/videos"}
    run = completed(tmp_path, "generate", "A kitten [sim:seconds=0]", "--simulate", **place)

    assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["service", "tasks.db", "videos"]
    assert not (tmp_path / ".local").exists()


def test_a_failed_video_ends_with_code_1_and_the_reason(tmp_path: Path) -> None:
    run = completed(tmp_path, "generate", "A kitten [sim:generation-failure] [sim:seconds=0]", "--simulate")

    assert run.returncode == 1
    assert "Failed while generating (code 501)" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("generate", "A kitten"), 2, "or try everything without an account: add --simulate."),
        (("tasks", "list", "--simulate", "--limit", "0"), 1, "--limit must be a whole number from 1 to 1000"),
        (("tasks", "download", "x", "--all", "--simulate"), 1, "leave out TASK_ID and --filename"),
        (("tasks", "wait", "x", "--timeout", "soon"), 2, "soon is out of range; allowed are 0 to 86400 seconds"),
        (("client-config", "--write"), 2, "--write needs a host"),
        (("serve", "--port", "any"), 2, "any is no port; allowed are 0 to 65535"),
        (("generate", " ", "--simulate"), 1, "prompt is empty"),
        (("tasks", "show", "nope", "--simulate"), 1, "See them with: sora2-mcp tasks list"),
        (("simulate", "--fault", "nonsense"), 2, "--fault cannot be read"),
        (("serve", "--port", "99999"), 2, "99999 is no port"),
        (("dance",), 2, "invalid choice"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    run = completed(tmp_path, *arguments)

    assert (run.returncode, run.stdout) == (code, "")
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_a_simulators_folder_that_cannot_be_made_is_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = completed(
        tmp_path, "tasks", "list", "--simulate", SORA2_DATABASE_URL=f"sqlite:///{tmp_path}/file/below/tasks.db"
    )

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("sora2-mcp: The task store (SORA2_DATABASE_URL) needs the folder ")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["demo"], ["generate"], ["tasks"], ["tasks", "list"], ["simulate"], ["doctor"], ["client-config"]],
)
def test_help_explains_every_option(tmp_path: Path, command: list[str]) -> None:
    run = completed(tmp_path, *command, "--help")

    assert run.returncode == 0
    assert run.stdout.startswith("usage: sora2-mcp")
    options = re.findall(r"^  (--[a-z-]+)(.*)$", run.stdout, re.MULTILINE)
    assert not [option for option, rest in options if command and not rest.strip()]


def test_the_version_is_the_packages_own(tmp_path: Path) -> None:
    assert re.fullmatch(r"sora2-mcp \d+\.\d+\.\d+\n", completed(tmp_path, "--version").stdout)


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    with Process(tmp_path, "demo") as process:
        assert process.popen.stdout is not None
        process.popen.stdout.readline()
        process.popen.stdout.close()
        process.seconds_to_end()

    assert process.popen.returncode == 0
    assert process.stderr == ""


def test_no_wait_still_waits_for_the_services_answer(tmp_path: Path) -> None:
    with simulator(tmp_path, "--fault", "order-slow=4*1") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any"}
        run = completed(tmp_path, "generate", "A kitten", "--no-wait", **variables)
        listed = completed(tmp_path, "tasks", "list", **variables)

    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Ordered: sora2_task_")
    assert "unconfirmed" not in listed.stdout
