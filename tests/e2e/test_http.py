"""The server as a process on HTTP: both transports, both eras."""

import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.clocks import PATIENCE_SECONDS
from tests.e2e.notified import hears_of_its_own_task
from tests.e2e.people import WAYS
from tests.e2e.processes import Ending, Process, completed
from tests.ears import Ear
from tools.docs.catalogue import tool_names

pytestmark = pytest.mark.anyio

READY = r"serving MCP at (http://127\.0\.0\.1:\d+)/mcp"


SERVE = ("serve", "--simulate", "--transport", "streamable-http", "--port", "0")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One for all tests that do not end it; it looks by itself only while somebody waits."""
    with Process(tmp_path_factory.mktemp("server"), *SERVE, SORA2_IDLE_POLL_SECONDS="3600") as process:
        process.logged(READY)
        yield process


def address(process: Process) -> str:
    return process.logged(READY).group(1)


def transport(process: Process, kind: str) -> AbstractAsyncContextManager[Any]:
    base = address(process)
    return sse_client(f"{base}/sse") if kind == "sse" else streamable_http_client(f"{base}/mcp")


@pytest.mark.parametrize(
    ("kind", "mode", "version"),
    [
        ("streamable-http", "auto", "2026-07-28"),
        ("streamable-http", "legacy", "2025-11-25"),
        ("sse", "auto", "2026-07-28"),
        ("sse", "legacy", "2025-11-25"),
    ],
)
async def test_an_unmodified_client_does_the_whole_job(server: Process, kind: str, mode: str, version: str) -> None:
    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
        told.append(progress)

    async with Client(transport(server, kind), mode=mode) as client:
        assert client.protocol_version == version
        assert len((await client.list_tools()).tools) == len(tool_names())
        ordered = await client.call_tool("generate_video", {"prompt": f"A kitten, {kind}, {mode} [sim:seconds=0.5]"})
        task_id = (ordered.structured_content or {})["task_id"]
        waited = await client.call_tool("wait_for_video", {"task_id": task_id}, progress_callback=on_progress)
        saved = await client.call_tool("download_video", {"task_id": task_id})
        listed = [str(resource.uri) for resource in (await client.list_resources()).resources]
        video = await client.read_resource(f"sora2://tasks/{task_id}/video")

    assert (waited.structured_content or {})["status"] == "succeeded"
    assert Path((saved.structured_content or {})["file_path"]).read_bytes()[4:8] == b"ftyp"
    assert f"sora2://tasks/{task_id}" in listed
    assert video.contents[0].mime_type == "video/mp4"
    assert told[0] == 0.0


@pytest.mark.parametrize(("kind", "mode"), WAYS)
async def test_a_change_is_heard_over_http(server: Process, kind: str, mode: str) -> None:
    ear = Ear()
    async with Client(transport(server, kind), mode=mode, message_handler=ear.on_message) as client:
        await hears_of_its_own_task(client, ear)


@pytest.mark.parametrize(("kind", "how"), [("streamable-http", signal.SIGTERM), ("sse", signal.SIGINT)])
async def test_it_ends_with_code_0_and_a_wait_that_is_open_gets_its_normal_result(
    tmp_path: Path, kind: str, how: signal.Signals
) -> None:
    with Process(tmp_path, *SERVE) as process:
        ending = Ending(process, how)
        try:
            async with Client(transport(process, kind)) as client:
                ordered = await client.call_tool("generate_video", {"prompt": "A kitten [sim:seconds=600]"})
                task_id = (ordered.structured_content or {})["task_id"]

                async def on_progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
                    if not ending.ident:
                        ending.start()

                waited = await client.call_tool("wait_for_video", {"task_id": task_id}, progress_callback=on_progress)
                assert (waited.structured_content or {})["status"] == "generating"
        except* (httpx2.HTTPError, OSError):
            pass  # what the client does with the dead connection afterwards is its own affair
        ending.join()

        assert process.popen.returncode == 0


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_name_that_is_not_this_machines_is_not_served(server: Process, path: str) -> None:
    async with httpx2.AsyncClient(base_url=address(server), timeout=PATIENCE_SECONDS) as http:
        evil = {"host": "evil.example:80"}
        response = await (http.post(path, json={}, headers=evil) if path == "/mcp" else http.get(path, headers=evil))

    assert response.status_code == 421


async def test_a_page_from_elsewhere_is_not_served(server: Process) -> None:
    async with httpx2.AsyncClient(base_url=address(server), timeout=PATIENCE_SECONDS) as http:
        response = await http.post("/mcp", json={}, headers={"origin": "https://evil.example"})

    assert response.status_code == 403


def test_an_address_others_could_reach_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    run = completed(tmp_path, "serve", "--transport", "streamable-http", "--host", "0.0.0.0", "--port", "0")

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "sora2-mcp: --host 0.0.0.0 lets other machines connect, which needs tokens: set SORA2_AUTH_TOKENS=name:token "
        "(at least 16 characters), or SORA2_OAUTH_ISSUER and its companions.\n"
    )


async def test_a_taken_port_is_named(server: Process, tmp_path: Path) -> None:
    port = address(server).rpartition(":")[2]
    run = completed(tmp_path, "serve", "--transport", "sse", "--port", port)

    assert run.returncode == 2
    assert f"--port {port} cannot be listened on" in run.stderr
