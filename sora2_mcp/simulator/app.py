"""The simulator as an ASGI application: the calls of every dialect, video files, the log of requests, and controls."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sora2_mcp.simulator.answers import CutResponse, envelope
from sora2_mcp.simulator.callbacks import Callback, CallbackSender, CallbackShape, Occasion
from sora2_mcp.simulator.dialects import DIALECTS, SPOKEN
from sora2_mcp.simulator.faults import Fault, FaultScript, parse_fault
from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.order import Refusal
from sora2_mcp.simulator.received import ReceivedRequest, json_object
from sora2_mcp.simulator.service import CLIPS, Dialect, Service, Visit, bearer_key, video_of
from sora2_mcp.simulator.world import Task, World

__all__ = ["API_PATH", "CLIPS", "KEPT_REQUESTS", "Simulator", "utc_now"]

API_PATH: Final = DIALECTS["sora2api"]
KEPT_REQUESTS: Final = 10_000

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_Act = Callable[[Service, Visit], Awaitable[Response]]


def utc_now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC)


class Simulator:
    """A stand-in for video services; serve `app` with `serve.running` or `serve.serve`.

    `faults` are spelled `name[=value][*times]`. Without `api_key` any non-empty bearer key is accepted. With
    `state_folder` tasks survive a restart and are shared with every simulator on the same folder; used-up
    faults and received requests are not. `callback_secret` signs callbacks in the dialects that sign them. `now` and
    `sleep` rule all waiting, so tests can move time; callbacks go over `transport` in place of the network.

    Raises:
        ValueError: a fault cannot be read.
    """

    def __init__(
        self,
        *,
        seconds_per_task: float = 4.0,
        slow_seconds: float = 10.0,
        faults: Iterable[str] = (),
        state_folder: Path | None = None,
        api_key: str = "",
        callback_shape: CallbackShape = "full",
        callback_secret: str = "",
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._now = now
        self._callback_shape = callback_shape
        self._callback_secret = callback_secret
        self._script = FaultScript(parse_fault(text) for text in faults)
        self._tasks = TaskFolder(state_folder)
        self._callbacks = CallbackSender(
            tasks=self._tasks, spell=self._callback, now=now, sleep=sleep, transport=transport
        )
        self._service = Service(
            world=World(seconds_per_task=seconds_per_task, script=self._script),
            tasks=self._tasks,
            callbacks=self._callbacks,
            now=now,
            sleep=sleep,
            api_key=api_key,
            slow_seconds=slow_seconds,
        )
        self._received: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self._fetched: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.app = Starlette(routes=self._routes(), lifespan=self._lifespan)

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The latest API requests of all dialects, oldest first."""
        return tuple(self._received)

    @property
    def fetched(self) -> tuple[ReceivedRequest, ...]:
        """The latest requests for videos at addresses that need no key, oldest first."""
        return tuple(self._fetched)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is left of the faults scripted for everybody."""
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
            own.append(Route(f"{dialect.root}/{{path:path}}", self._logged(dialect, _unknown_path), methods=_METHODS))
        return own

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._callbacks.running():
            yield

    def _callback(self, task: Task, at: datetime) -> Callback:
        (dialect,) = (spoken for spoken in SPOKEN if spoken.name == task.dialect)
        occasion = Occasion(
            at=at,
            shape=self._callback_shape,
            secret=self._callback_secret,
            tasks=self._service.tasks_of(dialect),
        )
        return dialect.callback(task, occasion)

    def _logged(self, dialect: Dialect, act: _Act) -> Callable[[Request], Awaitable[Response]]:
        """Logs the request and turns refusals into errors of the dialect."""

        async def answer(request: Request) -> Response:
            received = self._log(self._received, request)
            try:
                response = await act(self._service, Visit(dialect=dialect, request=request, received=received))
            except Refusal as refusal:
                response = dialect.error(refusal)
            except ClientDisconnect:
                response = CutResponse(b"")
            if not isinstance(response, CutResponse):
                received.code, received.answered_at = response.status_code, self._now()
            return response

        return answer

    def _log(self, log: deque[ReceivedRequest], request: Request) -> ReceivedRequest:
        received = ReceivedRequest(
            method=request.method, path=request.url.path, at=self._now(), has_key=bool(bearer_key(request))
        )
        log.append(received)
        return received

    async def _video(self, request: Request) -> Response:
        received = self._log(self._fetched, request)
        received.task_id = request.path_params["task_id"]
        task = self._tasks.get(request.path_params["task_id"])
        if task is None or not task.has_video(self._now()):
            response: Response = PlainTextResponse("Not found\n", status_code=404)
        else:
            response = video_of(task)
        received.code, received.answered_at = response.status_code, self._now()
        return response

    async def _upload(self, request: Request) -> Response:
        return self._service.uploads.answer(request.path_params["token"])

    async def _list_requests(self, _: Request) -> Response:
        return JSONResponse([received.spelled() for received in self._received])

    async def _add_fault(self, request: Request) -> Response:
        fields = json_object(await request.body()) or {}
        value = f"={fields['value']}" if "value" in fields else ""
        times = f"*{fields['times']}" if "times" in fields else ""
        try:
            self.add_fault(f"{fields.get('fault', '')}{value}{times}")
        except ValueError as refused:
            return envelope(400, str(refused), None, status=400)
        return self._fault_list()

    async def _clear_faults(self, _: Request) -> Response:
        self.clear_faults()
        return self._fault_list()

    def _fault_list(self) -> Response:
        return JSONResponse([str(fault) for fault in self.faults])


async def _greet(_: Request) -> Response:
    apis = "".join(f"{name}: {path}\n" for name, path in DIALECTS.items())
    return PlainTextResponse(f"A stand-in for video services, part of sora2-mcp. Its APIs:\n{apis}")


async def _unknown_path(_: Service, visit: Visit) -> Response:
    refusal = Refusal(404, f"No such path: {visit.request.method} {visit.request.url.path}")
    response = visit.dialect.error(refusal)
    response.status_code = 404
    return response


def _on_loopback(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Keeps the controls to this machine, also when the simulator listens on every interface."""

    async def answer(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return envelope(403, "The controls of the simulator answer this machine only", None, status=403)
        return await endpoint(request)

    return answer
