"""The desktop bundle stays true; ``make docs`` fills in what of its manifest follows from elsewhere.

``make package`` has the official tool validate and pack it, and starts what comes out with uv. Nothing here needs a
network.
"""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from sora2_mcp.settings import Settings, variable_of
from tests.e2e.processes import environment
from tests.package.host import launch
from tools.docs.bundle import MANIFEST, filled_in, manifest
from tools.docs.files import PROJECT, REPOSITORY, ROOT, as_json

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder, as it is packed."""
    folder = tmp_path_factory.mktemp("bundle")
    subprocess.run([sys.executable, ROOT / "packaging" / "bundle.py", folder], check=True)
    return folder


async def test_the_manifest_is_up_to_date() -> None:
    assert MANIFEST.read_text() == as_json(await filled_in(manifest())), "run `make docs`"


async def test_every_prompt_says_where_its_arguments_go() -> None:
    for prompt in manifest()["prompts"]:
        assert [name for name in prompt["arguments"] if f"${{arguments.{name}}}" not in prompt["text"]] == []


async def test_it_asks_for_service_key_folder_and_longest_wait_and_offers_the_simulator() -> None:
    asked = {
        name: (option["type"], option.get("sensitive", False)) for name, option in manifest()["user_config"].items()
    }
    assert asked == {
        "service": ("string", False),
        "api_key": ("string", True),
        "api_base_url": ("string", False),
        "model": ("string", False),
        "video_dir": ("directory", False),
        "max_wait_seconds": ("number", False),
        "simulate": ("boolean", False),
    }
    assert not [name for name, option in manifest()["user_config"].items() if option["required"]]
    assert manifest()["support"].startswith(REPOSITORY)


def started_with(monkeypatch: pytest.MonkeyPatch, **answers: str | float | bool) -> Settings:
    """The settings of a server that a host starts for a person who gave these answers."""
    _, variables = launch(manifest(), Path("/bundle"), answers)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


async def test_every_answer_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {
        "service": "openai",
        "api_key": "sk-1",
        "api_base_url": "http://gpu.example:8000/v1",
        "model": "wan",
        "video_dir": "/films",
        "max_wait_seconds": 90,
        "simulate": True,
    }
    settings = started_with(monkeypatch, **answers)
    assert settings == Settings.load(**{**answers, "video_dir": Path("/films")})
    assert answers.keys() == manifest()["user_config"].keys()


async def test_whoever_answers_nothing_gets_the_defaults_but_a_service_that_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert started_with(monkeypatch) == Settings.model_construct(service="kie")


async def test_a_host_that_fills_in_nothing_at_all_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    placeholders = manifest()["server"]["mcp_config"]["env"]
    assert placeholders == {variable_of(name): f"${{user_config.{name}}}" for name in manifest()["user_config"]}
    for name, value in placeholders.items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == Settings.model_construct()


@pytest.mark.parametrize("bound", ["min", "max"])
async def test_every_number_a_host_lets_through_is_taken(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    number = manifest()["user_config"]["max_wait_seconds"][bound]
    assert started_with(monkeypatch, max_wait_seconds=number).max_wait_seconds == number


async def test_the_bundle_holds_the_whole_program_and_nothing_else(bundle: Path) -> None:
    def files(folder: Path) -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    ours = {f"sora2_mcp/{name}" for name in files(ROOT / "sora2_mcp") if "__pycache__" not in name}
    assert files(bundle) == ours | {"manifest.json", "server.py", "pyproject.toml", "icon.png", "LICENSE"}


async def test_uv_installs_what_was_tested(bundle: Path) -> None:
    made = tomllib.loads((bundle / "pyproject.toml").read_text())
    preview = PROJECT["optional-dependencies"]["preview"]
    assert made["project"]["dependencies"] == [*PROJECT["dependencies"], *preview]
    assert made["project"]["requires-python"].startswith(PROJECT["requires-python"])
    locked = (ROOT / "requirements" / "run.txt").read_text().splitlines()
    assert made["tool"]["uv"]["constraint-dependencies"] == [line[:-2] for line in locked if line[:1].isalpha()]


async def test_what_a_host_starts_serves_the_listed_tools_and_prompts(bundle: Path, tmp_path: Path) -> None:
    command, variables = launch(manifest(), bundle, {"simulate": True, "video_dir": str(tmp_path)})
    assert command == ["uv", "run", "--directory", str(bundle), manifest()["server"]["entry_point"]]
    server = StdioServerParameters(
        command=sys.executable, args=[command[-1]], cwd=bundle, env=environment(tmp_path, **variables)
    )
    async with Client(stdio_client(server)) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
    assert tools == [tool["name"] for tool in manifest()["tools"]]
    assert prompts == [prompt["name"] for prompt in manifest()["prompts"]]


async def test_the_icon_is_a_square_png_of_512_pixels(bundle: Path) -> None:
    assert [icon["src"] for icon in manifest()["icons"]] == [manifest()["icon"]]
    head = (bundle / manifest()["icon"]).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(head[16:20]), int.from_bytes(head[20:24])) == (512, 512)
