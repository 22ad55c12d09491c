"""What is asked of a video service, and what it is asked with; free of heavy libraries, so naming it is quick.

A service is one pure file (``sora2api.py``): requests as values, answers as tasks. The client that sends them is one.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sora2_mcp.domain.request import Capabilities, Quality, VideoRequest
from sora2_mcp.domain.task import Snapshot
from sora2_mcp.services.rate_limit import RateLimiter

ORDER_LIMIT_SECONDS = 30.0
"""The longest an order's answer is waited for, connection included."""


NOT_ACCEPTED = frozenset(range(400, 500)) - {408, 409, 423, 425, 499}
"""HTTP statuses that no order can come back with after it was accepted, from the service or a gateway.

The exceptions say that a request took too long, or that one like it is being worked on.
"""


NO_TASK = "sora2-mcp-doctor-asks-for-no-task"
"""The id of a task that cannot exist."""


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
    """One request to the service: ``path`` below its base address, and a body of JSON or of a form where there is one.

    ``base_url`` is only set where the service has another address for this call. ``holds_pictures``: it is large.
    """

    method: str
    path: str
    base_url: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    files: Mapping[str, Picture] = field(default_factory=dict)
    holds_pictures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, without the key that was sent. ``headers`` have lower-case names.

    ``retry_after_seconds``: how long the service asks to wait, where it does. ``connect_seconds`` is 0 where there was
    a connection already.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None
    connect_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an answer says by itself: the service's code, 200 where all is well, and its words, sanitized."""

    code: int
    words: str = ""


class Service(ABC):
    """How one service is spoken to. Pure: nothing is sent here."""

    @abstractmethod
    def capabilities(self, quality: Quality = Quality.STANDARD) -> Capabilities:
        """What can be asked for; another model may make another quality."""

    @property
    def hides_videos(self) -> bool:
        """Whether videos may have no address but one that only the key opens."""
        return False

    @property
    def signs_callbacks(self) -> bool:
        """Whether callbacks can be signed, so that ``is_signed`` can tell."""
        return False

    @property
    def picture_form(self) -> PictureForm:
        """How it takes pictures that have no address."""
        return PictureForm.ADDRESS

    @abstractmethod
    def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> Call:
        """What orders a video; ``request`` is within the capabilities, and its images have addresses the service takes.

        ``pictures`` are those images instead, where the service takes files.
        """

    def upload(self, picture: Picture, base_url: str) -> Call:
        """What hands a picture over, where there is a call for that (``PictureForm.UPLOAD``), to a service there."""
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
        """What asks how a task stands."""

    @abstractmethod
    def snapshot(self, answer: Answer, seen_at: datetime) -> Snapshot:
        """What the answer to a look shows of its task.

        Raises:
            ServiceError: the service would not say; the task itself is untouched.
            GatewayError: something in front of it refused.
            LostAnswerError: the answer cannot be read.
        """

    def probes(self) -> tuple[Call, ...]:
        """What can be asked of it without harm and cost; the first that it knows the path of tells how it stands."""
        return (self.look(NO_TASK),)

    @abstractmethod
    def said(self, answer: Answer) -> Said:
        """What any answer says by itself.

        Raises:
            GatewayError, LostAnswerError: it is not the service's.
        """

    def balance(self) -> Call | None:
        """What asks for what is left in the account; None where that cannot be asked."""
        return None

    def balance_in(self, answer: Answer) -> float | None:  # noqa: ARG002 - for those that have one
        """What is left, in the unit of prices; None where the answer does not say."""
        return None

    def callback_task_id(self, body: bytes) -> str:  # noqa: ARG002 - for those that call back
        """The id of the task a callback says it is about; empty where it says none. Never raises."""
        return ""

    def is_signed(self, headers: Mapping[str, str], body: bytes, secret: str) -> bool:  # noqa: ARG002 - as above
        """Whether a callback was signed with the secret; True of services that sign none. Never raises."""
        return True


class ServiceClient(Protocol):
    """The client of the service: ``client.Client``, under a name that is quick to import.

    A caller of ``order`` or ``look`` has waited for the rate limiter before.
    """

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
        """Looks at a task; transient faults are repeated.

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
        """What is left in the account, in the unit of prices; None where it cannot be asked, or is not stated."""
        ...
