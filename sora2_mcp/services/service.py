"""The interface of a video service, and the values that go in and out; free of heavy libraries, so naming it is quick.

Each service is one pure file (``sora2api.py``) that writes requests and reads answers. One client sends them all.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sora2_mcp.domain.request import AspectRatio, Capabilities, Quality, VideoRequest
from sora2_mcp.domain.task import Snapshot
from sora2_mcp.errors import GatewayError, LostAnswerError
from sora2_mcp.services.rate_limit import RateLimiter

ORDER_LIMIT_SECONDS = 30.0
"""The longest an order's answer is waited for, connection included; shorter than the lease of a process that sends."""

# The exceptions say that a request took too long, or that one like it is being worked on.
NOT_ACCEPTED = frozenset(range(400, 500)) - {408, 409, 423, 425, 499}
"""HTTP statuses that no order can come back with after it was accepted, from the service or a gateway."""

LONGEST_PROMPT = 20_000
"""Characters of a prompt, where neither the service nor the model names a limit."""

RATIOS = {AspectRatio.LANDSCAPE: "16:9", AspectRatio.PORTRAIT: "9:16"}
"""As most services spell them."""

NO_TASK = "sora2-mcp-doctor-asks-for-no-task"
"""The id of a task that cannot exist."""

_NOT_FOUND = 404
_REDIRECTS = range(300, 400)


class PictureForm(StrEnum):
    """How a service takes a picture that has no address of its own."""

    ADDRESS = "address"
    """Not at all: it takes addresses only."""

    UPLOAD = "upload"
    """By a call of its own, whose answer is an address."""

    DATA = "data"
    """In the address itself (``data:``)."""

    FILE = "file"
    """As a file beside the order's fields, and no addresses at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture's bytes, and what they are: ``image/png`` for example."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    @property
    def data_url(self) -> str:
        """The picture as an address that holds it."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the service: ``path`` below its base address, and a body, of JSON or of a form, if any."""

    method: str
    path: str
    base_url: str = ""
    """Only set where the service has another address for this call."""
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    files: Mapping[str, Picture] = field(default_factory=dict)
    holds_pictures: bool = False
    """The body has megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, without the key that was sent. ``headers`` have lower-case names."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None
    """How long the service asks to wait, where it does."""
    connect_seconds: float = 0.0
    """0 where there was a connection already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What any answer of the service reports: its code, 200 where all is well, and its words, sanitized."""

    code: int
    words: str = ""


class Service(ABC):
    """How one service is spoken to. Pure: nothing is sent here."""

    @abstractmethod
    def capabilities(self, quality: Quality = Quality.STANDARD) -> Capabilities:
        """What an order may contain; each quality may have a model of its own."""

    @property
    def hides_videos(self) -> bool:
        """Whether videos may have no address but one that only the key opens."""
        return False

    @property
    def signs_callbacks(self) -> bool:
        """Whether callbacks can be signed; ``is_signed`` then checks the signature."""
        return False

    @property
    def picture_form(self) -> PictureForm:
        """How it takes pictures that have no address."""
        return PictureForm.ADDRESS

    @abstractmethod
    def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> Call:
        """The call that orders a video; ``request`` is within the capabilities, its images at addresses that it takes.

        ``pictures`` are those images instead, where the service takes files.
        """

    def upload(self, picture: Picture, base_url: str) -> Call:
        """The call that hands a picture over to the service at ``base_url``; only with ``PictureForm.UPLOAD``."""
        raise NotImplementedError(picture, base_url)

    def uploaded(self, answer: Answer) -> str:
        """The address of a picture that was handed over.

        Raises:
            ServiceError, GatewayError, LostAnswerError: it was not taken.
        """
        raise NotImplementedError(answer)

    @abstractmethod
    def accepted(self, answer: Answer) -> str:
        """The id under which an order was accepted.

        Raises:
            ServiceError: the service refused, so nothing was spent.
            GatewayError: something in front of it refused, so nothing was spent.
            LostAnswerError: the answer leaves open whether it was accepted.
        """

    @abstractmethod
    def look(self, task_id: str) -> Call:
        """The call that asks how a task stands."""

    @abstractmethod
    def snapshot(self, answer: Answer, seen_at: datetime) -> Snapshot:
        """What the answer to a look shows of its task.

        Raises:
            ServiceError: the service would not say; the task itself is untouched.
            GatewayError: something in front of it refused.
            LostAnswerError: the answer cannot be read.
        """

    def probes(self) -> tuple[Call, ...]:
        """Calls without harm and cost; the first whose path the service knows shows how it stands."""
        return (self.look(NO_TASK),)

    @abstractmethod
    def report(self, answer: Answer) -> Report:
        """What any answer reports, whatever it answers.

        Raises:
            GatewayError, LostAnswerError: it is not the service's.
        """

    def balance(self) -> Call | None:
        """The call for what is left in the account; None where the service has none."""
        return None

    def balance_in(self, answer: Answer) -> float | None:  # noqa: ARG002 - for those that have one
        """What is left, in the unit of prices; None where the answer does not say."""
        return None

    def callback_task_id(self, body: bytes) -> str:  # noqa: ARG002 - for those that call back
        """The id of the task that a callback names; empty where it names none. Never raises."""
        return ""

    def is_signed(self, headers: Mapping[str, str], body: bytes, secret: str) -> bool:  # noqa: ARG002 - as above
        """Whether a callback was signed with the secret; True for services that sign none. Never raises."""
        return True


def foreign_answer(answer: Answer, kind: str) -> GatewayError | LostAnswerError:
    """The error of an answer that is not the service's own JSON; ``kind`` describes a body that is not empty."""
    kind = kind if answer.text.strip() else "an empty body"
    # A wrong path in the address shows as 404 or as a redirect.
    hint = "; SORA2_API_BASE_URL may be wrong" if answer.status == _NOT_FOUND or answer.status in _REDIRECTS else ""
    reason = f"HTTP {answer.status} with {kind}{hint}"
    return GatewayError(reason) if answer.status in NOT_ACCEPTED else LostAnswerError(reason)


class ServiceClient(Protocol):
    """The client of the service (``client.Client``). Callers of ``order`` and ``look`` have waited for ``limiter``."""

    # A protocol, because the class itself imports httpx2 and stamina, which no handshake needs.

    @property
    def limiter(self) -> RateLimiter:
        """The rate limiter in front of the service."""
        ...

    @property
    def last_contact_at(self) -> datetime | None:
        """When the service last answered anything, in this process."""
        ...

    async def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> str:
        """Orders a video, once, and gives the task's id. May cost credits.

        ``pictures``: its images, where the service takes files.

        Raises:
            NotReachedError: nothing was sent.
            ServiceError: refused; nothing was spent.
            LostAnswerError: sent, and it is unknown whether it was accepted.
        """
        ...

    async def look(self, task_id: str) -> Snapshot:
        """Looks at a task, again after a transient fault.

        Raises:
            NotReachedError, LostAnswerError, ServiceError: nothing was learnt; the task itself is untouched.
        """
        ...

    async def upload(self, picture: Picture) -> str:
        """Hands a picture over and gives its address.

        Raises:
            NotReachedError, LostAnswerError, ServiceError: it was not taken.
        """
        ...

    async def balance(self) -> float | None:
        """What is left in the account, in the unit of prices; None where the service does not say."""
        ...
