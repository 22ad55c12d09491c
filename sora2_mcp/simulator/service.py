"""What every dialect shares: orders, looks and videos over one world of tasks; a dialect only spells them."""

import hmac
import logging
import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final

import anyio
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from sora2_mcp.simulator.answers import MESSAGES, CutResponse, bad_gateway, blocked
from sora2_mcp.simulator.callbacks import Callback, CallbackSender, Occasion
from sora2_mcp.simulator.faults import Fault, Place
from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.simulator.order import Order, Refusal
from sora2_mcp.simulator.received import ReceivedRequest, Uploads, is_form, json_object, read_form
from sora2_mcp.simulator.world import Task, World, video_url

_ID_CHARACTERS: Final = string.ascii_lowercase + string.digits
logger = logging.getLogger(__name__)


class Dialect(ABC):
    """How one service spells orders, records, errors and callbacks, and which calls it has."""

    name: ClassVar[str]
    base_path: ClassVar[str]
    root: ClassVar[str]
    """The beginning of all its paths: what is unknown under it is answered in this dialect."""
    needs_key: ClassVar[bool] = True
    """Whether a call without a key is refused also where the simulator takes any key."""
    takes_forms: ClassVar[bool] = False
    id_parameter: ClassVar[str] = ""
    """The query's parameter that names a task; "" where the path does."""

    @abstractmethod
    def calls(self) -> "Sequence[Call]":
        """Its calls; of two that fit a path the first is made."""

    @abstractmethod
    def new_task_id(self) -> str:
        """A fresh id as the service spells them."""

    @abstractmethod
    def read_order(self, fields: dict[str, Any]) -> Order:
        """The order a request holds.

        Raises:
            Refusal: a field is missing or does not fit.
        """

    def can_pay(self, tasks: Iterable[Task], now: datetime) -> bool:  # noqa: ARG002
        """Whether the account has enough for one more order, with `tasks` ordered before."""
        return True

    @abstractmethod
    def accepted(self, task: Task, origin: str) -> Response:
        """The answer to an order."""

    @abstractmethod
    def accepted_without_id(self) -> Response:
        """The answer to an accepted order that does not say which task it is."""

    @abstractmethod
    def found(self, task: Task, now: datetime, origin: str) -> Response:
        """The answer to a look at a task."""

    def missing(self) -> Response:
        """The answer to a look at an id that is not known."""
        return self.error(Refusal(404, "No such task"))

    @abstractmethod
    def error(self, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        """The answer to what is refused; a refusal without a message has one of `MESSAGES`."""

    def task_id_in(self, request: Request) -> str:
        """The task id in a request, "" for none."""
        if self.id_parameter:
            return request.query_params.get(self.id_parameter, "")
        return str(request.path_params.get("task_id", ""))

    def callback(self, task: Task, occasion: Occasion) -> Callback:
        """What is posted once a task has ended."""
        raise NotImplementedError(f"{self.name} has no callbacks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request, and how it is spelled."""

    dialect: Dialect
    request: Request
    received: ReceivedRequest

    @property
    def origin(self) -> str:
        """`http://host:port`, as the caller addresses the simulator."""
        return str(self.request.base_url).rstrip("/")

    async def fields(self) -> dict[str, Any]:
        """What the body holds.

        Raises:
            Refusal: it is neither a JSON object nor, where the dialect takes them, a form.
        """
        if self.dialect.takes_forms and is_form(self.request):
            return await read_form(self.request, self.received)
        fields = self.received.body = json_object(await self.request.body())
        return fields


@dataclass(slots=True, kw_only=True)
class Service:
    """The services behind the dialects, which are one: a task is known in the dialect that ordered it."""

    world: World
    tasks: TaskFolder
    callbacks: CallbackSender
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    api_key: str = field(default="", repr=False)
    slow_seconds: float = 10.0
    uploads: Uploads = field(default_factory=Uploads)
    _slow_answers: set[anyio.CancelScope] = field(default_factory=set)

    def check_key(self, visit: Visit) -> None:
        """Lets a request with the key pass.

        Raises:
            Refusal: 401, it is missing or wrong.
        """
        key = bearer_key(visit.request)
        # In constant time, as one that stops at the first wrong letter could be guessed letter by letter.
        fits = not self.api_key or hmac.compare_digest(key.encode(), self.api_key.encode())
        if not fits or (visit.dialect.needs_key and not key):
            raise Refusal(401)

    def tasks_of(self, dialect: Dialect) -> Iterator[Task]:
        """What was ordered in this dialect, in no order."""
        return (task for task in self.tasks.all() if task.dialect == dialect.name)

    async def order(self, visit: Visit) -> Response:
        """Takes an order, or refuses it."""
        self.check_key(visit)
        dialect, now = visit.dialect, self.now()
        order = dialect.read_order(await visit.fields())
        if not dialect.can_pay(self.tasks_of(dialect), now):
            raise Refusal(402)
        verdict = self.world.order(
            order, dialect=dialect.name, task_id=dialect.new_task_id(), now=now, origin=visit.origin
        )
        task = verdict.task
        if task is None:
            # `refused-prompt` alone has no answer in its name: it is the 400 of the content policy.
            return _spoilt(verdict.fault, dialect, lambda: dialect.error(Refusal(400)))
        visit.received.task_id = task.task_id
        # On disk before the answer leaves: a simulator that is killed in between must know the task, as a service does.
        self.tasks.save(task)
        logger.info("Task %s accepted", task.task_id)
        self.callbacks.schedule(task)
        return await self._answer(verdict.fault, dialect, lambda: dialect.accepted(task, visit.origin))

    async def look(self, visit: Visit) -> Response:
        """Answers a look at a task."""
        task = self.task_for(visit)
        fault = self.world.strike(task, Place.LOOK)
        # As a server at home that restarts: it keeps its tasks in memory.
        if fault is not None and fault.name == "forget":
            for known in tuple(self.tasks.all()):
                self.tasks.remove(known.task_id)
            task = None

        def usual() -> Response:
            return visit.dialect.missing() if task is None else visit.dialect.found(task, self.now(), visit.origin)

        return await self._answer(fault, visit.dialect, usual)

    async def content(self, visit: Visit) -> Response:
        """The video of a task, for a caller with the key."""
        task = self.task_for(visit)
        fault = self.world.strike(task, Place.CONTENT)
        if task is None or not task.has_video(self.now()):
            return visit.dialect.error(Refusal(404, "There is no video, or it is not ready"))
        clip = clip_of(task.prompt, task.aspect_ratio)
        match fault and fault.what:
            case "redirect":
                return RedirectResponse(video_url(task, visit.origin), status_code=302)
            case "half":
                return CutResponse(clip.read_bytes(), media_type="video/mp4")
        return _spoilt(fault, visit.dialect, lambda: FileResponse(clip, media_type="video/mp4"))

    def task_for(self, visit: Visit) -> Task | None:
        """The task that a request with the key names, if it is one of this dialect.

        Raises:
            Refusal: 401, or 400 where no id is given.
        """
        self.check_key(visit)
        task_id = visit.received.task_id = visit.dialect.task_id_in(visit.request)
        if not task_id:
            raise Refusal(400, "taskId is required")
        task = self.tasks.get(task_id)
        # All dialects share one list of tasks; a real service knows nothing of another's.
        return task if task is not None and task.dialect == visit.dialect.name else None

    def cut_slow_answers(self) -> None:
        """Closes the connections of answers that are being held back."""
        for scope in self._slow_answers:
            scope.cancel()

    async def _answer(self, fault: Fault | None, dialect: Dialect, usual: Callable[[], Response]) -> Response:
        if fault is not None and fault.what == "slow" and not await self._held_back(fault):
            # The server stops: the client sees what it would see of a service that is restarted.
            return CutResponse(b"")
        return _spoilt(fault, dialect, usual)

    async def _held_back(self, fault: Fault) -> bool:
        """Waits as long as the fault says; False where the server stops before."""
        # A scope of its own: cancelling it ends this wait and still lets the answer be cut off.
        with anyio.CancelScope() as scope:
            self._slow_answers.add(scope)
            try:
                await self.sleep(self.slow_seconds if fault.value is None else fault.value)
            finally:
                self._slow_answers.discard(scope)
        return not scope.cancelled_caught


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a dialect: what the service does with a request at this path."""

    method: str
    path: str
    act: Callable[[Service, Visit], Awaitable[Response]]


def bearer_key(request: Request) -> str:
    """The bearer key of a request, "" for none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def random_word(characters: int) -> str:
    """So many small letters and digits, for an id."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(characters))


def message_of(refusal: Refusal) -> str:
    """What a refusal says."""
    return refusal.message or MESSAGES[refusal.code]


def _spoilt(fault: Fault | None, dialect: Dialect, usual: Callable[[], Response]) -> Response:
    """The answer under a fault; `usual` gives the one without, and the one of a fault that spoils nothing."""
    what = "" if fault is None else fault.what
    if fault is not None and what.isdigit():
        seconds = 1.0 if fault.value is None else fault.value
        return dialect.error(Refusal(int(what)), {"Retry-After": f"{seconds:g}"} if what == "429" else None)
    match what:
        case "html" | "html-accepted":
            return bad_gateway()
        case "blocked":
            return blocked()
        case "empty":
            return Response(b"")
        case "drop":
            return CutResponse(b"")
        case "half":
            return CutResponse(usual().body, media_type="application/json")
        case "missing":
            return dialect.missing()
        case "no-id":
            return dialect.accepted_without_id()
        case _:
            return usual()
