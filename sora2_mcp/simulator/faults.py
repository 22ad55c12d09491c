"""Scripted faults: their names, their one grammar `name[=value][*times]`, and which of them comes next."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MAX_VALUE: Final = 86_400.0
_GRAMMAR: Final = re.compile(r"(?P<name>[a-z0-9-]+)(?:=(?P<value>[^*]+))?(?:\*(?P<times>[0-9]+))?")
_PROMPT_WORD: Final = re.compile(r"\[sim:([^\]]*)\]")


class Place(StrEnum):
    """Where a fault acts."""

    REFUSED = "the order is answered, not accepted"
    ANSWERED = "the order is accepted, its answer is spoilt"
    OUTCOME = "how an accepted task ends"
    DURATION = "how long an accepted task takes"
    TRAIT = "what is unusual about an accepted task"
    LOOK = "a look is answered"
    CONTENT = "the bytes of a video are asked for with the key"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One row of the fault table."""

    place: Place
    meaning: str
    takes_value: bool = False
    needs_value: bool = False


_BLOCKED: Final = "403 of a gateway in front of the service, `error code: 1010`"

KINDS: Final[dict[str, FaultKind]] = {
    "refused-prompt": FaultKind(place=Place.REFUSED, meaning="400, refused by the content policy"),
    "order-401": FaultKind(place=Place.REFUSED, meaning="401, key missing or wrong"),
    "order-402": FaultKind(place=Place.REFUSED, meaning="402, not enough credits"),
    "order-422": FaultKind(place=Place.REFUSED, meaning="422, validation failed"),
    "order-429": FaultKind(place=Place.REFUSED, meaning="429 with Retry-After: SECONDS (1)", takes_value=True),
    "order-433": FaultKind(place=Place.REFUSED, meaning="433, the limit of this key is reached"),
    "order-451": FaultKind(place=Place.REFUSED, meaning="451, an image could not be fetched"),
    "order-455": FaultKind(place=Place.REFUSED, meaning="455, maintenance"),
    "order-500": FaultKind(place=Place.REFUSED, meaning="500, server error"),
    "order-501": FaultKind(place=Place.REFUSED, meaning="501, generation failed"),
    "order-505": FaultKind(place=Place.REFUSED, meaning="505, feature disabled"),
    "order-blocked": FaultKind(place=Place.REFUSED, meaning=_BLOCKED),
    "order-html": FaultKind(place=Place.REFUSED, meaning="an HTML page with status 502"),
    "order-html-accepted": FaultKind(place=Place.ANSWERED, meaning="an HTML page with status 502"),
    "order-slow": FaultKind(place=Place.ANSWERED, meaning="the answer comes SECONDS later", takes_value=True),
    "order-drop": FaultKind(place=Place.ANSWERED, meaning="the connection is closed without an answer"),
    "order-half": FaultKind(place=Place.ANSWERED, meaning="the connection is closed after half of the answer"),
    "order-empty": FaultKind(place=Place.ANSWERED, meaning="200 with an empty body"),
    "order-no-id": FaultKind(place=Place.ANSWERED, meaning="a success without an id (Sora2API, Kie: `data` null)"),
    "creation-failure": FaultKind(place=Place.OUTCOME, meaning="failed with 500, could not be created"),
    "generation-failure": FaultKind(place=Place.OUTCOME, meaning="failed with 501, could not be generated"),
    "moderation": FaultKind(place=Place.OUTCOME, meaning="failed with 400, refused by moderation"),
    "moderation-look": FaultKind(
        place=Place.OUTCOME, meaning="the same; Sora2API and Kie answer looks with code 400 and the record"
    ),
    "expired": FaultKind(place=Place.OUTCOME, meaning="expired (Kie: looks are answered with code 408)"),
    "cancelled": FaultKind(place=Place.OUTCOME, meaning="cancelled"),
    "no-url": FaultKind(place=Place.OUTCOME, meaning="succeeded, but there is no video"),
    "seconds": FaultKind(place=Place.DURATION, meaning="the task takes SECONDS", takes_value=True, needs_value=True),
    "status-unknown": FaultKind(place=Place.TRAIT, meaning="while generating, its status is `unknown`"),
    "status-strange": FaultKind(place=Place.TRAIT, meaning="while generating, its status is `warming_up`"),
    "status-succeeded": FaultKind(place=Place.TRAIT, meaning="once succeeded, its status is `succeeded`"),
    "status-success": FaultKind(place=Place.TRAIT, meaning="once succeeded, its status is `success`"),
    "success-flag": FaultKind(
        place=Place.TRAIT,
        meaning="Kie: `successFlag` and `response` in place of `state` and `resultJson`",
    ),
    "signed-url": FaultKind(
        place=Place.TRAIT,
        meaning="once succeeded, it also has an address that needs no key (OpenAI: `url`, OpenRouter: `urls`)",
    ),
    "no-callback": FaultKind(place=Place.TRAIT, meaning="its callback address is dropped without a word"),
    "long-id": FaultKind(place=Place.TRAIT, meaning="its id has 206 characters"),
    "look-401": FaultKind(place=Place.LOOK, meaning="401, key missing or wrong"),
    "look-404": FaultKind(place=Place.LOOK, meaning="404, no such task"),
    "look-429": FaultKind(place=Place.LOOK, meaning="429 with Retry-After: SECONDS (1)", takes_value=True),
    "look-433": FaultKind(place=Place.LOOK, meaning="433, the limit of this key is reached"),
    "look-455": FaultKind(place=Place.LOOK, meaning="455, maintenance"),
    "look-500": FaultKind(place=Place.LOOK, meaning="500, server error"),
    "look-blocked": FaultKind(place=Place.LOOK, meaning=_BLOCKED),
    "look-missing": FaultKind(place=Place.LOOK, meaning="as for an unknown id (Kie: 422, recordInfo is null)"),
    "look-html": FaultKind(place=Place.LOOK, meaning="an HTML page with status 502"),
    "look-slow": FaultKind(place=Place.LOOK, meaning="the answer comes SECONDS later", takes_value=True),
    "look-drop": FaultKind(place=Place.LOOK, meaning="the connection is closed without an answer"),
    "look-empty": FaultKind(place=Place.LOOK, meaning="200 with an empty body"),
    "forget": FaultKind(place=Place.LOOK, meaning="the service restarts: every task ordered before is unknown"),
    "content-redirect": FaultKind(place=Place.CONTENT, meaning="302 to the address that needs no key"),
    "content-401": FaultKind(place=Place.CONTENT, meaning="401, key missing or wrong"),
    "content-404": FaultKind(place=Place.CONTENT, meaning="404, no such video"),
    "content-500": FaultKind(place=Place.CONTENT, meaning="500, server error"),
    "content-html": FaultKind(place=Place.CONTENT, meaning="an HTML page with status 502"),
    "content-half": FaultKind(place=Place.CONTENT, meaning="the connection is closed after half of the video"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One scripted fault; `times` None means always, `value` None means the default of its kind."""

    name: str
    value: float | None = None
    times: int | None = None

    @property
    def place(self) -> Place:
        return KINDS[self.name].place

    @property
    def what(self) -> str:
        """What is answered, without the place: `429`, `slow`, `html` …"""
        return self.name.partition("-")[2]

    def __str__(self) -> str:
        value = "" if self.value is None else f"={self.value:g}"
        return f"{self.name}{value}" + ("" if self.times is None else f"*{self.times}")


def parse_fault(text: str) -> Fault:
    """The fault `name[=value][*times]` spells, for example `order-429=2*3`.

    Raises:
        ValueError: the text does not fit the grammar, or the name is unknown; the known names are listed.
    """
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Cannot read the fault {text!r}: write name[=value][*times].")
    name, value, times = match["name"], match["value"], match["times"]
    if name not in KINDS:
        raise ValueError(f"Unknown fault {name!r}. Known: {', '.join(KINDS)}.")
    return Fault(name=name, value=_value(name, value), times=_times(name, times))


def faults_in_prompt(prompt: str) -> tuple[Fault, ...]:
    """The faults written as `[sim:…]` in a prompt, in order.

    Raises:
        ValueError: as `parse_fault`.
    """
    return tuple(parse_fault(word) for word in _PROMPT_WORD.findall(prompt))


class FaultScript:
    """Faults in the order they were scripted, used up as they strike."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = list(faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is left."""
        return tuple(self._faults)

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, wanted: Callable[[Fault], bool]) -> Fault | None:
        """The first fault left that is `wanted`, counted down by one."""
        for index, fault in enumerate(self._faults):
            if wanted(fault):
                self._count_down(index)
                return fault
        return None

    def _count_down(self, index: int) -> None:
        times = self._faults[index].times
        if times == 1:
            del self._faults[index]
        elif times is not None:
            self._faults[index] = replace(self._faults[index], times=times - 1)


def _value(name: str, text: str | None) -> float | None:
    kind = KINDS[name]
    if text is None:
        if kind.needs_value:
            raise ValueError(f"The fault {name!r} needs a number of seconds: {name}=9.")
        return None
    if not kind.takes_value:
        raise ValueError(f"The fault {name!r} takes no value, got {text!r}.")
    return _seconds(name, text)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_VALUE:
        raise ValueError(f"The value of the fault {name!r} is a number of seconds up to {MAX_VALUE:g}, got {text!r}.")
    return seconds


def _times(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if int(text) < 1:
        raise ValueError(f"The fault {name!r} strikes at least once, got *{text}.")
    return int(text)
