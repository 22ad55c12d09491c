"""Each service with real processes: over stdio and over HTTP, killed in between, and from the command line."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from sora2_mcp.simulator.dialects import DIALECTS
from tests.e2e.people import http_server, person
from tests.e2e.processes import PROGRAM, completed, environment
from tests.faults.hosts import Service, service

pytestmark = pytest.mark.anyio

MODELS = {"openrouter": "simulated/cinema-2"}
LIVING = ["kie", "openai", "openrouter"]


def chosen(name: str, sora: Service) -> dict[str, str]:
    """The variables that choose a service of the simulator's."""
    base = str(httpx2.URL(sora.base_url).copy_with(path=DIALECTS[name]))
    variables = {"SORA2_SERVICE": name, "SORA2_API_BASE_URL": base, "SORA2_API_KEY": "any"}
    return {**variables, **({"SORA2_MODEL": MODELS[name]} if name in MODELS else {})}


async def content(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return dict(result.structured_content or {})


@pytest.mark.parametrize("name", LIVING)
async def test_a_task_outlives_the_process_that_ordered_it(name: str, tmp_path: Path) -> None:
    with service(tmp_path) as sora:
        variables = environment(tmp_path, **chosen(name, sora))
        parameters = StdioServerParameters(command=PROGRAM[0], args=[*PROGRAM[1:], "serve"], env=variables)
        async with Client(stdio_client(parameters)) as client:
            ordered = await content(client, "generate_video", prompt="A kitten [sim:seconds=1.5]")
        async with Client(stdio_client(parameters)) as client:
            done = await content(client, "wait_for_video", task_id=ordered["task_id"])
            saved = await content(client, "download_video", task_id=ordered["task_id"])
        prompts = sora.prompts()

    assert done["status"] == "succeeded"
    assert Path(saved["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert len(prompts) == 1


@pytest.mark.parametrize("name", LIVING)
async def test_a_server_over_http_does_the_whole_job(name: str, tmp_path: Path) -> None:
    with service(tmp_path) as sora:
        pace = {"SORA2_POLL_SECONDS": "0.1"}
        with http_server(tmp_path, sora, **chosen(name, sora), **pace) as base:
            async with person(base, "") as somebody:
                ordered = await content(somebody.client, "generate_video", prompt="A kitten [sim:seconds=0.5]")
                done = await content(somebody.client, "wait_for_video", task_id=ordered["task_id"])
                saved = await content(somebody.client, "download_video", task_id=ordered["task_id"])
                usage = await somebody.content("sora2://usage")

    assert done["status"] == "succeeded"
    assert Path(saved["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert ("cost" in usage) is (name != "openai")


@pytest.mark.parametrize("name", ["sora2api", *LIVING])
def test_the_command_line_orders_waits_and_saves_and_simulate_follows_the_service(name: str, tmp_path: Path) -> None:
    done = completed(tmp_path, "generate", "A kitten", "--simulate", SORA2_SERVICE=name)
    listed = completed(tmp_path, "tasks", "list", "--simulate", SORA2_SERVICE=name)

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).suffix == ".mp4"
    assert done.stdout.count(done.stdout.splitlines()[-1]) == 1, "the path is said once"
    assert "succeeded" in listed.stdout
    assert ("100 credits" in listed.stdout) is (name == "kie")
    assert ("0.4 USD" in listed.stdout) is (name == "openrouter")


@pytest.mark.parametrize("name", ["sora2api", *LIVING])
def test_the_doctor_knows_the_service(name: str, tmp_path: Path) -> None:
    with service(tmp_path) as sora:
        told = completed(tmp_path, "doctor", "--no-round-trip", **chosen(name, sora))

    assert "answers in" in told.stdout, told.stdout
    assert told.returncode == 0, told.stdout
    assert ("10000 credits left" in " ".join(told.stdout.split())) is (name == "kie")
