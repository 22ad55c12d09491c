"""What a host says it can do decides whether a person is asked: hosts of either era, by the bytes they send."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Process, StdioHost, once_opened
from tests.faults.hosts import Service, service
from tests.stores import file_in

ORDER = {"name": "generate_video", "arguments": {"prompt": "A kitten"}}
CLIENT = {"name": "test", "version": "1"}
CANNOT: list[dict[str, Any]] = [{}, {"elicitation": {"url": {}}}]
CAN: list[dict[str, Any]] = [{"elicitation": {}}, {"elicitation": {"form": {}}}]


@contextmanager
def host(folder: Path, sora: Service) -> Iterator[StdioHost]:
    """A host beside a server that asks before each order."""
    variables = {
        "SORA2_API_BASE_URL": sora.base_url,
        "SORA2_API_KEY": "any",
        "SORA2_DATABASE_URL": f"sqlite:///{file_in(folder).path}",
        "SORA2_CONFIRM": "always",
    }
    with Process(folder, **variables) as process:
        yield StdioHost(process)


def legacy_call(host: StdioHost, capabilities: dict[str, Any]) -> dict[str, Any]:
    """The first message after an order that is not a notification: its answer, or the server's question."""
    host.request("initialize", {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": CLIENT})

    def answer() -> dict[str, Any]:
        host.send("tools/call", ORDER)
        while "id" not in (message := host.read()):
            pass
        return message

    return once_opened(answer)


def modern_call(host: StdioHost, capabilities: dict[str, Any]) -> dict[str, Any]:
    """The result of an order."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    return once_opened(lambda: host.request("tools/call", {**ORDER, "_meta": meta}))


@pytest.mark.parametrize("capabilities", CANNOT, ids=["nothing", "url only"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_host_that_can_show_no_form_is_refused_and_told_why(
    tmp_path: Path, capabilities: dict[str, Any], era: str
) -> None:
    with service(tmp_path) as sora, host(tmp_path, sora) as asking:
        result = legacy_call(asking, capabilities)["result"] if era == "legacy" else modern_call(asking, capabilities)

        assert result["isError"]
        [block] = result["content"]
        assert block["text"].startswith(
            "Not ordered: SORA2_CONFIRM wants a person to agree to this order, but this host cannot ask one. "
            "Nothing was spent.\n"
        )
        assert sora.posts() == []
        assert file_in(tmp_path).rows("id") == []


@pytest.mark.parametrize("capabilities", CAN, ids=["unsaid", "form"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_host_that_can_show_a_form_is_given_the_question_and_nothing_is_sent_before_its_answer(
    tmp_path: Path, capabilities: dict[str, Any], era: str
) -> None:
    with service(tmp_path) as sora, host(tmp_path, sora) as asking:
        if era == "legacy":
            message = legacy_call(asking, capabilities)
            method, question = message["method"], message["params"]
        else:
            request = modern_call(asking, capabilities)["inputRequests"]["order"]
            method, question = request["method"], request["params"]

        assert method == "elicitation/create"
        assert question["message"] == 'Order this video (landscape, standard)? It costs credits.\n"A kitten"'
        assert [*question["requestedSchema"]["properties"]] == ["order"]
        assert sora.posts() == []
        assert file_in(tmp_path).rows("id") == []
