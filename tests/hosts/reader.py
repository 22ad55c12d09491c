"""A scripted model: it knows nothing but what a framework shows it, and does what that says."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

_NEXT = re.compile(r"^Next: (\w+)\((.*?)\)", re.MULTILINE)
_NAMED = re.compile(r'(\w+)="([^"]*)"')
_LISTED = re.compile(r"^(\S+) · ", re.MULTILINE)
_MOST_CALLS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call that the model wants made."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


def order(prompt: str, **arguments: Any) -> Call:
    """What a model calls that was asked for a video."""
    return Call(tool="generate_video", arguments={"prompt": prompt, **arguments})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTool:
    """A tool as the framework describes it to the model."""

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool = False


def again(reader: "Reader") -> Call:
    """What "please try again" makes a model do: the same call once more."""
    return reader.calls[-1]


def look_it_up(reader: "Reader") -> Call:  # noqa: ARG001 - one of several with the same shape
    """What a careful model does: it looks what became of its orders."""
    return Call(tool="list_tasks")


def give_up(reader: "Reader") -> str:  # noqa: ARG001
    """What a model says that does not want to wait."""
    return "Come back later."


def as_described(reader: "Reader") -> Call:
    """What the description of wait_for_video says to do when a call was cut short; kept to from then on."""
    advice = re.search(r"call it again with timeout_seconds=(\d+)", reader.tools["wait_for_video"].description)
    assert advice is not None
    reader.waits = {"timeout_seconds": int(advice[1])}
    return reader.calls[-1]


class Reader:
    """Begins with a call, follows every "Next:" it reads, and ends with the text that names none it can follow.

    ``trouble`` chooses the next call after a text that is not the server's, which is a framework's own error.
    """

    def __init__(self, first: Call, *, trouble: Callable[["Reader"], Call | str] = again) -> None:
        self._first = first
        self._trouble = trouble
        self.tools: dict[str, ShownTool] = {}
        self.waits: dict[str, int] = {}
        self.calls: list[Call] = []
        self.shown: list[str] = []
        self.errors: list[str] = []
        self.troubles: list[str] = []

    def sees(self, tools: list[ShownTool]) -> None:
        """Takes in what the framework says of the tools."""
        self.tools = {tool.name: tool for tool in tools}

    def reply(self, shown: str | None, *, is_error: bool = False) -> Call | str:
        """The next call, or the last words.

        ``shown`` is what the last call brought, None at the start; ``is_error``: the framework calls it an error.
        """
        if shown is not None:
            self.shown.append(shown)
            self.errors += [shown] if is_error else []
        reply = self._first if shown is None else self._read(shown)
        if isinstance(reply, Call):
            if reply.tool == "wait_for_video":
                reply = replace(reply, arguments=reply.arguments | self.waits)
            self.calls.append(reply)
            assert len(self.calls) <= _MOST_CALLS, self.shown
        return reply

    @property
    def tools_called(self) -> list[str]:
        """The names of the tools in the order of the calls."""
        return [call.tool for call in self.calls]

    def _read(self, shown: str) -> Call | str:
        if shown.startswith("{"):
            # A framework that shows the model the data only: the same words stand there.
            content = json.loads(shown)
            shown = "\nNext: ".join(content[name] for name in ("message", "next") if name in content)
        if listed := _LISTED.search(shown):
            return Call(tool="wait_for_video", arguments={"task_id": listed[1]})
        if named := _NEXT.search(shown):
            return Call(tool=named[1], arguments=dict(_NAMED.findall(named[2])))
        if "Repeating the same call later can help" in shown:
            return self.calls[-1]
        if "Next: " in shown or "Already saved: " in shown:
            return shown
        self.troubles.append(shown)
        return self._trouble(self)
