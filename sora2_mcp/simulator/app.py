"""The simulator as an ASGI application: the calls of every dialect, video files, the log of requests, and controls."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sora2_mcp.simulator.answers import CutResponse, envelope
from sora2_mcp.simulator.callbacks import Callback, CallbackSender, CallbackShape, Occasion
from sora2_mcp.simulator.dialects import DIALECTS, SPOKEN
from sora2_mcp.simulator.faults import Fault, FaultScript, parse_fault
from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.simulator.order import Refusal
from sora2_mcp.simulator.received import ReceivedRequest, json_object
from sora2_mcp.simulator.service import Dialect, Service, Visit, bearer_key
from sora2_mcp.simulator.world import Task, World

__all__ = ["API_PATH", "KEPT_REQUESTS", "Simulator", "utc_now"]

API_PATH: Final = DIALECTS["sora2api"]
KEPT_REQUESTS: Final = 10_000

# Starlette would answer a method that no route has by itself, with a 405 in no dialect.
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_Act = Callable[[Service, Visit], Awaitable[Response]]


def utc_now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC)


@dataclass(kw_only=True, eq=False)
class Simulator:
    """A stand-in for video services; serve `app` with `serve.running` or `serve.serve`.

    Raises:
        ValueError: a fault cannot be read.
    """

    seconds_per_task: float = 4.0
    slow_seconds: float = 10.0
    """How long a slow answer takes where its fault names no time."""
    faults: Iterable[str] = ()
    """Spelled `name[=value][*times]`."""
    state_folder: Path | None = None
    """Where tasks survive a restart; simulators on the same folder share them, but not faults and received requests."""
    api_key: str = field(default="", repr=False)
    """The only bearer key that is taken; "" takes any that is not empty."""
    callback_shape: CallbackShape = "full"
    callback_secret: str = field(default="", repr=False)
    """Signs callbacks in the dialects that sign them."""
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    """With `now` it rules all waiting, so tests can move time."""
    transport: httpx2.AsyncBaseTransport | None = None
    """Takes the network's place under callbacks."""

    def __post_init__(self) -> None:
        self._script = FaultScript(parse_fault(text) for text in self.faults)
        self._tasks = TaskFolder(self.state_folder)
        self._callbacks = CallbackSender(
            tasks=self._tasks, spell=self._callback, now=self.now, sleep=self.sleep, transport=self.transport
        )
        self._service = Service(
            world=World(seconds_per_task=self.seconds_per_task, script=self._script),
            tasks=self._tasks,
            callbacks=self._callbacks,
            now=self.now,
            sleep=self.sleep,
            api_key=self.api_key,
            slow_seconds=self.slow_seconds,
        )
        # Bounded, because a simulator may run for days beside a server.
        self._received: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self._fetched: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.app = Starlette(routes=self._routes(), lifespan=lambda _: self._callbacks.running())

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The latest API requests of all dialects, oldest first."""
        return tuple(self._received)

    @property
    def fetched(self) -> tuple[ReceivedRequest, ...]:
        """The latest requests for videos at addresses that need no key, oldest first."""
        return tuple(self._fetched)

    @property
    def faults_left(self) -> tuple[Fault, ...]:
        """What is left of the faults that are scripted for every order and look."""
        return self._script.faults

    def add_fault(self, text: str) -> None:
        """Scripts one more fault, `name[=value][*times]`.

        Raises:
            ValueError: it cannot be read.
        """
        self._script.add(parse_fault(text))

    def clear_faults(self) -> None:
        self._script.clear()

    def cut_slow_answers(self) -> None:
        """Closes the connections of answers that are being held back, so that a server can stop at once."""
        self._service.cut_slow_answers()

    def _routes(self) -> list[Route]:
        own = [
            Route("/", _greet),
            Route("/videos/{task_id}.mp4", self._video),
            Route("/uploads/{token}/{name}", self._upload),
            Route("/simulator/requests", _on_loopback(self._list_requests)),
            Route("/simulator/faults", _on_loopback(self._add_fault), methods=["POST"]),
            Route("/simulator/faults", _on_loopback(self._clear_faults), methods=["DELETE"]),
        ]
        for dialect in SPOKEN:
            own += [
                Route(call.path, self._logged(dialect, call.act), methods=[call.method]) for call in dialect.calls()
            ]
            # Last of its dialect, as the first route that fits answers.
            own.append(Route(f"{dialect.root}/{{path:path}}", self._logged(dialect, _unknown_path), methods=_METHODS))
        return own

    def _callback(self, task: Task, at: datetime) -> Callback:
        # A task of the folder may be of an earlier process; the name of its dialect is all that it kept.
        (dialect,) = (spoken for spoken in SPOKEN if spoken.name == task.dialect)
        tasks = self._service.tasks_of(dialect)
        occasion = Occasion(at=at, shape=self.callback_shape, secret=self.callback_secret, tasks=tasks)
        return dialect.callback(task, occasion)

    def _logged(self, dialect: Dialect, act: _Act) -> Callable[[Request], Awaitable[Response]]:
        """Logs the request and turns refusals into errors of the dialect."""

        async def answer(request: Request) -> Response:
            # Before it is answered: a test that waits for a request finds it while its answer is held back.
            received = self._log(self._received, request)
            try:
                response = await act(self._service, Visit(dialect=dialect, request=request, received=received))
            except Refusal as refusal:
                response = dialect.error(refusal)
            except ClientDisconnect:
                # A caller that hangs up while it still sends its order gets no answer, and the log must not show one.
                response = CutResponse(b"")
            if not isinstance(response, CutResponse):
                received.code, received.answered_at = response.status_code, self.now()
            return response

        return answer

    def _log(self, log: deque[ReceivedRequest], request: Request) -> ReceivedRequest:
        received = ReceivedRequest(
            method=request.method, path=request.url.path, at=self.now(), has_key=bool(bearer_key(request))
        )
        log.append(received)
        return received

    async def _video(self, request: Request) -> Response:
        received = self._log(self._fetched, request)
        received.task_id = request.path_params["task_id"]
        task = self._tasks.get(request.path_params["task_id"])
        if task is None or not task.has_video(self.now()):
            response: Response = PlainTextResponse("Not found\n", status_code=404)
        else:
            response = FileResponse(clip_of(task.prompt, task.aspect_ratio), media_type="video/mp4")
        received.code, received.answered_at = response.status_code, self.now()
        return response

    async def _upload(self, request: Request) -> Response:
        return self._service.uploads.answer(request.path_params["token"])

    async def _list_requests(self, _: Request) -> Response:
        return JSONResponse([received.spelled() for received in self._received])

    async def _add_fault(self, request: Request) -> Response:
        try:
            fields = json_object(await request.body())
        except Refusal:
            fields = {}
        # Back into the one grammar, so that both spellings are refused with the same words.
        value = f"={fields['value']}" if "value" in fields else ""
        times = f"*{fields['times']}" if "times" in fields else ""
        try:
            self.add_fault(f"{fields.get('fault', '')}{value}{times}")
        except ValueError as refused:
            return envelope(400, str(refused), None, status=400)
        return JSONResponse([str(fault) for fault in self.faults_left])

    async def _clear_faults(self, _: Request) -> Response:
        self.clear_faults()
        return JSONResponse([])


async def _greet(_: Request) -> Response:
    apis = "".join(f"{name}: {path}\n" for name, path in DIALECTS.items())
    return PlainTextResponse(f"A stand-in for video services, part of sora2-mcp. Its APIs:\n{apis}")


async def _unknown_path(_: Service, visit: Visit) -> Response:
    refusal = Refusal(404, f"No such path: {visit.request.method} {visit.request.url.path}")
    response = visit.dialect.error(refusal)
    # Kie answers 200 to everything but a path that it does not have.
    response.status_code = 404
    return response


def _on_loopback(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Keeps the controls to this machine, also when the simulator listens on every interface."""

    async def answer(request: Request) -> Response:
        # The controls need no key, so they must not be open to a network.
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return envelope(403, "The controls of the simulator answer this machine only", None, status=403)
        return await endpoint(request)

    return answer
