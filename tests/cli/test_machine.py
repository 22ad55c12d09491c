"""Hosts do not share the user's PATH: they get the path of the very installation that was asked."""

from pathlib import Path

from sora2_mcp.cli.hosts.machine import Launch, launch_of


def launched(
    home: Path, *, called: Path, prefix: str = "venv", scripts: str = "venv/bin", path: str = "", suffix: str = ""
) -> Launch:
    return launch_of(
        called=called,
        interpreter=home / "venv" / "bin" / "python",
        prefix=home / prefix,
        scripts=home / scripts,
        search_path=path,
        suffix=suffix,
    )


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_it_is_called_as_it_was_called_links_and_all(tmp_path: Path) -> None:
    real = program(tmp_path / "venv" / "bin" / "sora2-mcp")
    link = tmp_path / ".local" / "bin" / "sora2-mcp"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)

    assert launched(tmp_path, called=link) == Launch(command=str(link))


def test_called_as_a_module_it_is_the_program_beside_the_interpreter(tmp_path: Path) -> None:
    real = program(tmp_path / "venv" / "bin" / "sora2-mcp")

    assert launched(tmp_path, called=tmp_path / "sora2_mcp" / "__main__.py") == Launch(command=str(real))
    assert launched(tmp_path, called=tmp_path / "x.py", scripts="none") == Launch(command=str(real))


def test_on_windows_the_programs_name_has_its_ending_however_it_was_called(tmp_path: Path) -> None:
    real = program(tmp_path / "Scripts" / "sora2-mcp.exe")

    for name in ("sora2-mcp", "sora2-mcp.exe"):
        found = launched(tmp_path, called=real.with_name(name), scripts="Scripts", suffix=".exe")
        assert found == Launch(command=str(real))


def test_without_a_program_it_is_the_interpreter_and_the_module(tmp_path: Path) -> None:
    assert launched(tmp_path, called=tmp_path / "x.py") == Launch(
        command=str(tmp_path / "venv" / "bin" / "python"), arguments=("-m", "sora2_mcp")
    )


def test_run_by_uvx_it_is_uvx_because_the_folder_will_be_swept_away(tmp_path: Path) -> None:
    uvx, swept = program(tmp_path / "bin" / "uvx"), "cache/uv/archive-v0/x"
    program(tmp_path / swept / "bin" / "sora2-mcp")
    found = launched(tmp_path, called=tmp_path / swept / "bin" / "sora2-mcp", prefix=swept, path=str(uvx.parent))

    assert found.command == str(uvx)
    assert found.arguments[-1] == "sora2-mcp"
    assert launched(tmp_path, called=tmp_path / "x", prefix=swept).command == "uvx"
