"""The commands people type, as processes; test_typed.py has what they say to everything else."""

from pathlib import Path

from tests.e2e.processes import Process, completed
from tests.faults.hosts import Service

DEMO = ("demo", "--prompt", "A kitten [sim:seconds=0.5]")


def test_the_demo_leaves_a_video_and_its_path_is_the_last_line(tmp_path: Path) -> None:
    run = completed(tmp_path, *DEMO)

    path = Path(run.stdout.splitlines()[-1])
    assert run.returncode == 0, run.stderr
    assert path.is_absolute()
    assert path.read_bytes()[4:8] == b"ftyp"
    assert all(f"call: {tool}(" in run.stdout for tool in ("generate_video", "wait_for_video", "download_video"))
    assert run.stderr == ""


def test_generate_orders_waits_and_saves(tmp_path: Path, sora: Service) -> None:
    variables = {"SORA2_API_BASE_URL": sora.base_url, "SORA2_API_KEY": "any"}
    run = completed(tmp_path, "generate", "A kitten", "--aspect-ratio", "portrait", "--filename", "kitten", **variables)
    listed = completed(tmp_path, "tasks", "list", **variables)
    task_id = run.stdout.split()[1]
    shown = completed(tmp_path, "tasks", "show", task_id, **variables)
    again = completed(tmp_path, "tasks", "download", task_id, **variables)

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str(tmp_path / "Videos" / "sora2" / "kitten.mp4")
    assert listed.stdout.startswith(f"{task_id} · succeeded · ")
    assert shown.stdout.startswith("Done in ")
    assert again.stdout.splitlines()[-1] == run.stdout.splitlines()[-1]


def test_what_a_simulated_run_keeps_lies_beside_its_store_and_nowhere_else(tmp_path: Path) -> None:
    place = {"SORA2_DATABASE_URL": f"sqlite:///{tmp_path}/own/tasks.db", "SORA2_VIDEO_DIR": f"{tmp_path}/own/videos"}
    run = completed(tmp_path, "generate", "A kitten [sim:seconds=0]", "--simulate", **place)

    assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["service", "tasks.db", "videos"]
    assert not (tmp_path / ".local").exists()


def test_without_a_key_both_ways_out_are_named(tmp_path: Path) -> None:
    run = completed(tmp_path, "generate", "A kitten")

    assert (run.returncode, run.stdout) == (2, "")
    assert "or try everything without an account: add --simulate." in run.stderr
    assert "Traceback" not in run.stderr


def test_of_a_task_there_is_not_it_is_said_where_tasks_are_found(tmp_path: Path) -> None:
    run = completed(tmp_path, "tasks", "show", "nope", "--simulate")

    assert (run.returncode, run.stdout) == (1, "")
    assert "See them with: sora2-mcp tasks list" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_simulators_folder_that_cannot_be_made_is_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = completed(
        tmp_path, "tasks", "list", "--simulate", SORA2_DATABASE_URL=f"sqlite:///{tmp_path}/file/below/tasks.db"
    )

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("sora2-mcp: The task store (SORA2_DATABASE_URL) needs the folder ")
    assert "Traceback" not in run.stderr


def test_a_mistake_at_the_command_line_ends_with_code_2(tmp_path: Path) -> None:
    run = completed(tmp_path, "dance")

    assert (run.returncode, run.stdout) == (2, "")
    assert "invalid choice" in run.stderr


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    with Process(tmp_path, *DEMO) as process:
        assert process.popen.stdout is not None
        process.popen.stdout.readline()
        process.popen.stdout.close()
        process.seconds_to_end()

    assert process.popen.returncode == 0
    assert process.stderr == ""
