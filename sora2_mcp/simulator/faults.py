"""Scripted faults: their names, their one grammar `name[=value][*times]`, and which of them comes next."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MAX_SECONDS: Final = 86_400.0
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
    takes_value: bool

    @property
    def needs_value(self) -> bool:
        """Whether there is no usual number of seconds."""
        return self.place is Place.DURATION


_BLOCKED: Final = "403 of a gateway in front of the service, `error code: 1010`"
# Named here and not read out of the meanings: those are prose, and docs/simulator.md repeats them word for word.
_WITH_SECONDS: Final = frozenset({"order-429", "order-slow", "seconds", "look-429", "look-slow"})
_MEANINGS: Final[dict[Place, dict[str, str]]] = {
    Place.REFUSED: {
        "refused-prompt": "400, refused by the content policy",
        "order-401": "401, key missing or wrong",
        "order-402": "402, not enough credits",
        "order-422": "422, validation failed",
        "order-429": "429 with Retry-After: SECONDS (1)",
        "order-433": "433, the limit of this key is reached",
        "order-451": "451, an image could not be fetched",
        "order-455": "455, maintenance",
        "order-500": "500, server error",
        "order-501": "501, generation failed",
        "order-505": "505, feature disabled",
        "order-blocked": _BLOCKED,
        "order-html": "an HTML page with status 502",
    },
    Place.ANSWERED: {
        "order-html-accepted": "an HTML page with status 502",
        "order-slow": "the answer comes SECONDS later",
        "order-drop": "the connection is closed without an answer",
        "order-half": "the connection is closed after half of the answer",
        "order-empty": "200 with an empty body",
        "order-no-id": "a success without an id (Sora2API, Kie: `data` null)",
    },
    Place.OUTCOME: {
        "creation-failure": "failed with 500, could not be created",
        "generation-failure": "failed with 501, could not be generated",
        "moderation": "failed with 400, refused by moderation",
        "moderation-look": "the same; Sora2API and Kie answer looks with code 400 and the record",
        "expired": "expired (Kie: looks are answered with code 408)",
        "cancelled": "cancelled",
        "no-url": "succeeded, but there is no video",
    },
    Place.DURATION: {
        "seconds": "the task takes SECONDS",
    },
    Place.TRAIT: {
        "status-unknown": "while generating, its status is `unknown`",
        "status-strange": "while generating, its status is `warming_up`",
        "status-succeeded": "once succeeded, its status is `succeeded`",
        "status-success": "once succeeded, its status is `success`",
        "success-flag": "Kie: `successFlag` and `response` in place of `state` and `resultJson`",
        "signed-url": "once succeeded, it also has an address that needs no key (OpenAI: `url`, OpenRouter: `urls`)",
        "no-callback": "its callback address is dropped without a word",
        "long-id": "its id has 206 characters",
    },
    Place.LOOK: {
        "look-401": "401, key missing or wrong",
        "look-404": "404, no such task",
        "look-429": "429 with Retry-After: SECONDS (1)",
        "look-433": "433, the limit of this key is reached",
        "look-455": "455, maintenance",
        "look-500": "500, server error",
        "look-blocked": _BLOCKED,
        "look-missing": "as for an unknown id (Kie: 422, recordInfo is null)",
        "look-html": "an HTML page with status 502",
        "look-slow": "the answer comes SECONDS later",
        "look-drop": "the connection is closed without an answer",
        "look-empty": "200 with an empty body",
        "forget": "the service restarts: every task ordered before is unknown",
    },
    Place.CONTENT: {
        "content-redirect": "302 to the address that needs no key",
        "content-401": "401, key missing or wrong",
        "content-404": "404, no such video",
        "content-500": "500, server error",
        "content-html": "an HTML page with status 502",
        "content-half": "the connection is closed after half of the video",
    },
}
KINDS: Final[dict[str, FaultKind]] = {
    name: FaultKind(place=place, meaning=meaning, takes_value=name in _WITH_SECONDS)
    for place, meanings in _MEANINGS.items()
    for name, meaning in meanings.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One scripted fault; without `times` it strikes always, without `value` it lasts the usual time of its kind."""

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
    """The fault that `name[=value][*times]` spells, for example `order-429=2*3`.

    Raises:
        ValueError: the text does not fit the grammar, or the name is unknown; the known names are listed.
    """
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Cannot read the fault {text!r}: write name[=value][*times].")
    name, times = match["name"], match["times"]
    if name not in KINDS:
        raise ValueError(f"Unknown fault {name!r}. Known: {', '.join(KINDS)}.")
    value = _value(name, match["value"])
    if times is not None and int(times) < 1:
        raise ValueError(f"The fault {name!r} strikes at least once, got *{times}.")
    return Fault(name=name, value=value, times=None if times is None else int(times))


def _value(name: str, text: str | None) -> float | None:
    kind = KINDS[name]
    if text is None:
        if kind.needs_value:
            raise ValueError(f"The fault {name!r} needs a number of seconds: {name}=9.")
        return None
    if not kind.takes_value:
        raise ValueError(f"The fault {name!r} takes no value, got {text!r}.")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # The comparison is false for NaN, so text that is no number fails here too.
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"The value of the fault {name!r} is a number of seconds up to {MAX_SECONDS:g}, got {text!r}.")
    return seconds


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
                # One without `times` stays as it is: it strikes always.
                if fault.times == 1:
                    del self._faults[index]
                elif fault.times is not None:
                    self._faults[index] = replace(fault, times=fault.times - 1)
                return fault
        return None
