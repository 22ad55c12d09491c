"""Errors at the command line: in words for a person, and with commands that can be typed as they stand."""

import inspect
import re

import pytest

from sora2_mcp import errors
from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.hints import hint, problem
from sora2_mcp.domain.request import Capabilities, Quality, VideoRequest, checked_key
from sora2_mcp.errors import (
    ArgumentError,
    DownloadError,
    KeyReusedError,
    LimitError,
    NoVideoError,
    Sora2Error,
    StoreError,
    UnknownTaskError,
    UnwritableError,
)
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.tools import build_tools
from sora2_mcp.settings import Settings
from tools.docs.occasions import occasions, raised

TOOLS = build_tools(Runtime(Settings()))
OF_AGENTS = {tool.name for tool in TOOLS} | {
    name for tool in TOOLS for name in tool.parameters["properties"] if "_" in name
}
"""Names of tools and of their arguments; those of one word are words of people too."""

EVERY_ERROR = [occasion.error for occasion in occasions()]

NOTHING = Capabilities(maker="A maker", image_limit=0, aspect_ratio=False, hd=False, callback_url=False)
REFUSED = [
    VideoRequest(prompt=" "),
    VideoRequest(prompt="A kitten", image_urls=("https://example.com/kitten.png",)),
    VideoRequest(prompt="A kitten", quality=Quality.HD),
    VideoRequest(prompt="A kitten", seconds=7),
    VideoRequest(prompt="A kitten", watermark="me"),
    VideoRequest(prompt="A kitten", callback_url="https://example.com/"),
]


def shown(error: Sora2Error) -> str:
    """All that is written to stderr."""
    return f"{problem(error)}\n{hint(error, simulate=True)}"


def test_every_error_there_is_has_its_turn_in_these_tests() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Sora2Error)}

    assert kinds - {type(error) for error in EVERY_ERROR} == {Sora2Error}


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_no_error_speaks_to_an_agent(error: Sora2Error) -> None:
    said = shown(error)

    assert not re.search(r"\bthe user\b|\bcall again\b|same call|restart the server|\{", said, re.IGNORECASE)
    assert [name for name in OF_AGENTS if re.search(rf"\b{name}\b", said)] == []


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_every_command_in_a_hint_can_be_typed_and_is_about_the_simulators_tasks(error: Sora2Error) -> None:
    for command in re.findall(r"sora2-mcp (tasks .+)", shown(error)):
        assert parse(command.split()).simulate


@pytest.mark.parametrize("request_", REFUSED, ids=repr)
def test_an_argument_is_called_by_its_option(request_: VideoRequest) -> None:
    error = raised(lambda: request_.validated(NOTHING))

    assert re.match(r"(PROMPT|--(image|quality|seconds|watermark|callback-url)) (is|cannot) ", problem(error))
    assert hint(error) == ""


def test_the_idempotency_key_is_called_by_its_option() -> None:
    assert problem(raised(lambda: checked_key("k" * 201))).startswith("--idempotency-key has 201 characters")
    assert problem(KeyReusedError("k", "is taken.", "Use another.")) == '--idempotency-key "k" is taken.'
    assert problem(ArgumentError("--limit", "is too high.")) == "--limit is too high."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnknownTaskError("t1"), "See them with: sora2-mcp tasks list"),
        (DownloadError("t1", "no."), "Try again in a minute: sora2-mcp tasks download t1"),
        (NoVideoError("t1", "no."), "See how it stands with: sora2-mcp tasks show t1"),
        (UnwritableError("t1", "no."), "Check SORA2_VIDEO_DIR (its free space and rights), then try again."),
        (UnwritableError("t1", "no.", "Tell them.", "Make room."), "Make room."),
        (
            LimitError("SORA2_DAILY_LIMIT", 3, 3, "The limit resets at 00:00 UTC."),
            (
                "The limit resets at 00:00 UTC. You can raise SORA2_DAILY_LIMIT. "
                "See your tasks with: sora2-mcp tasks list"
            ),
        ),
        (
            StoreError("is busy", hint="Repeat the same call."),
            "Check SORA2_DATABASE_URL, and that its server answers or its folder has space and rights, then try again.",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_hints_say_what_a_person_can_do(error: Sora2Error, said: str) -> None:
    assert hint(error) == said


def test_the_option_is_kept_in_commands_and_only_there() -> None:
    assert hint(UnknownTaskError("t1"), simulate=True) == "See them with: sora2-mcp tasks list --simulate"
    assert "--simulate" not in hint(errors.ProxyError("no"), simulate=True)
