"""The container image, as far as it can be held to its word without an engine."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.settings import PREFIX, Settings
from tests.contract.test_server_json import packages
from tests.servers import settings_in
from tests.web import served

ROOT = Path(__file__).parents[2]
HEALTH = ROOT / "packaging" / "docker" / "health.py"
LINTER = Path(sys.executable).parent / "hadolint"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: name and rest, lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def listed(name: str) -> list[str]:
    """The list that the only instruction of this name holds."""
    (rest,) = of(name)
    found: list[str] = json.loads(rest)
    return found


def variables() -> dict[str, str]:
    (rest,) = of("ENV")
    return dict(pair.split("=", 1) for pair in shlex.split(rest))


@pytest.mark.skipif(sys.platform == "win32", reason="the linter has no wheel for Windows")
def test_the_linter_finds_nothing() -> None:
    found = subprocess.run(
        [LINTER, "--failure-threshold", "style", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_nothing_is_fetched_that_no_hash_stands_for() -> None:
    installs = [
        command for rest in of("RUN") for command in rest.split("&&") if "pip" in command and "venv" not in command
    ]

    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command or "--no-build-isolation --no-deps" in command


def test_it_serves_over_stdio_as_the_registry_says_and_as_nobody_special() -> None:
    assert listed("ENTRYPOINT") == ["sora2-mcp"]
    arguments = parse(listed("CMD"))
    assert (arguments.command, arguments.transport) == ("serve", "stdio")
    assert [package["transport"]["type"] for package in packages("oci")] == ["stdio"]
    assert not [package for package in packages("oci") if "packageArguments" in package]
    assert of("USER") == ["1000:1000"]


@pytest.mark.skipif(sys.platform != "linux", reason="the image's paths are those of Linux")
def test_tasks_and_videos_are_kept_in_volumes_that_the_registry_has_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables().items():
        if name != "PATH":
            monkeypatch.setenv(name, value)
    settings = Settings.load(api_key="any")
    store = PurePosixPath(settings.store_url.removeprefix("sqlite:///"))
    volumes = {PurePosixPath(volume) for volume in listed("VOLUME")}
    assert volumes == {PurePosixPath(settings.videos), store.parents[1]}
    (package,) = packages("oci")
    mounted = [argument["value"] for argument in package["runtimeArguments"] if argument["name"] == "--mount"]
    assert {PurePosixPath(value.rpartition("dst=")[2]) for value in mounted} == volumes


def test_its_variables_exist() -> None:
    named = {name for name in variables() if name.startswith(PREFIX)}
    assert named == {"SORA2_VIDEO_DIR"}
    assert {name.removeprefix(PREFIX).lower() for name in named} <= Settings.model_fields.keys()


def test_what_is_copied_exists_and_is_let_into_the_build_and_nothing_else_is() -> None:
    copied = {source for rest in of("COPY") if "--from" not in rest for source in rest.split()[:-1]}
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[0] == "*"
    assert [source for source in copied if not (ROOT / source).exists()] == []


def command_line(*command: str) -> bytes:
    """As ``/proc`` shows it."""
    return "\0".join(command).encode() + b"\0"


@pytest.mark.anyio
async def test_the_health_check_asks_the_server_that_the_command_line_started(tmp_path: Path) -> None:
    works = runpy.run_path(str(HEALTH))["works"]
    program = ["/opt/sora2-mcp/bin/python", "/opt/sora2-mcp/bin/sora2-mcp"]

    async def exit_code() -> int:
        """What the check's own process says, as the image runs it."""
        return (await anyio.run_process([sys.executable, HEALTH, tmp_path / "cmdline"], check=False)).returncode

    assert f'CMD ["python", "/opt/sora2-mcp/{HEALTH.name}"]' in of("HEALTHCHECK")[0]
    async with served(settings_in(tmp_path)) as base:
        port = base.rpartition(":")[2]
        over_http = [*program, "serve", "--transport", "streamable-http", "--host", "0.0.0.0", "--port", port]
        (tmp_path / "cmdline").write_bytes(command_line(*over_http))
        assert await anyio.to_thread.run_sync(works, command_line(*over_http))
        assert await anyio.to_thread.run_sync(works, command_line("/sbin/docker-init", "--", *over_http))
        assert await exit_code() == 0
    assert not works(command_line(*over_http))
    assert await exit_code() == 1
    assert works(command_line(*program, "serve"))
    assert works(command_line(*program))
