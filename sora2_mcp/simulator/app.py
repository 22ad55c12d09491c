"""The simulator as an ASGI application: the two calls of the service, its video files, its callbacks, and controls."""

import hmac
import logging
import secrets
import string
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import anyio
import httpx2
from anyio.abc import TaskGroup
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sora2_mcp.simulator.answers import MESSAGES, CutResponse, error, spoilt, success
from sora2_mcp.simulator.callbacks import CallbackSender, CallbackShape
from sora2_mcp.simulator.faults import Fault, FaultScript, parse_fault
from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.groups import plain_task_group
from sora2_mcp.simulator.order import Refusal, read_order
from sora2_mcp.simulator.received import ReceivedRequest, json_object
from sora2_mcp.simulator.world import Task, World, record

API_PATH: Final = "/api/v1/sora2"
CLIPS: Final = Path(__file__).with_name("clips")
KEPT_REQUESTS: Final = 10_000

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_TASK_ID_CHARACTERS: Final = string.ascii_lowercase + string.digits
_Endpoint = Callable[[Request, ReceivedRequest], Awaitable[Response]]
logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC)


def new_task_id() -> str:
    """A fresh id as the service spells them: `sora2_task_` and 12 characters of a-z0-9."""
    return "sora2_task_" + "".join(secrets.choice(_TASK_ID_CHARACTERS) for _ in range(12))


class Simulator:
    """A stand-in for Sora2API; serve `app` with `serve.running` or `serve.serve`.

    `faults` are spelled `name[=value][*times]`. Without `api_key` any non-empty bearer key is accepted. With
    `state_folder` tasks survive a restart and are shared with every simulator on the same folder; used-up
    faults and received requests are not. `now` and `sleep` rule all waiting, so tests can move time; callbacks go over
    `transport` in place of the network.

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
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._slow_seconds = slow_seconds
        self._api_key = api_key
        self._now = now
        self._sleep = sleep
        self._script = FaultScript(parse_fault(text) for text in faults)
        self._world = World(seconds_per_task=seconds_per_task, script=self._script)
        self._tasks = TaskFolder(state_folder)
        self._sender = CallbackSender(
            tasks=self._tasks, shape=callback_shape, now=now, sleep=sleep, transport=transport
        )
        self._callbacks: TaskGroup | None = None
        self._slow_answers: set[anyio.CancelScope] = set()
        self._received: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.app = Starlette(routes=self._routes(), lifespan=self._lifespan)

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The latest API requests, oldest first."""
        return tuple(self._received)

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
        for scope in self._slow_answers:
            scope.cancel()

    def _routes(self) -> list[Route]:
        return [
            Route("/", _greet),
            Route(f"{API_PATH}/generate", self._api(self._generate), methods=["POST"]),
            Route(f"{API_PATH}/record-info", self._api(self._record_info), methods=["GET"]),
            Route("/videos/{task_id}.mp4", self._video),
            Route("/simulator/requests", _on_loopback(self._list_requests)),
            Route("/simulator/faults", _on_loopback(self._add_fault), methods=["POST"]),
            Route("/simulator/faults", _on_loopback(self._clear_faults), methods=["DELETE"]),
            Route("/{path:path}", self._api(_unknown_path), methods=_METHODS),
        ]

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with plain_task_group() as group:
            for task in self._tasks.undelivered():
                group.start_soon(self._sender.deliver, task)
            self._callbacks = group
            try:
                yield
            finally:
                self._callbacks = None
                group.cancel_scope.cancel()

    def _api(self, endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """Logs the request and turns refusals into envelopes."""

        async def answer(request: Request) -> Response:
            received = ReceivedRequest(method=request.method, path=request.url.path, at=self._now())
            self._received.append(received)
            try:
                response = await endpoint(request, received)
            except Refusal as refusal:
                response = error(refusal.code, refusal.message)
            except ClientDisconnect:
                response = CutResponse(b"")
            if not isinstance(response, CutResponse):
                received.code, received.answered_at = response.status_code, self._now()
            return response

        return answer

    def _check_key(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        fits = not self._api_key or hmac.compare_digest(key.encode(), self._api_key.encode())
        if scheme.lower() != "bearer" or not key or not fits:
            raise Refusal(401, MESSAGES[401])

    async def _generate(self, request: Request, received: ReceivedRequest) -> Response:
        self._check_key(request)
        body = await request.body()
        received.body = json_object(body)
        origin = str(request.base_url)
        verdict = self._world.order(read_order(body), task_id=new_task_id(), now=self._now(), origin=origin)
        if verdict.task is None:
            return spoilt(verdict.fault, error(400))
        received.task_id = verdict.task.task_id
        self._accept(verdict.task)
        return await self._answer(verdict.fault, lambda: success({"taskId": received.task_id}))

    def _accept(self, task: Task) -> None:
        self._tasks.save(task)
        logger.info("Task %s accepted", task.task_id)
        if task.callback_url and self._callbacks is not None:
            self._callbacks.start_soon(self._sender.deliver, task)

    async def _record_info(self, request: Request, received: ReceivedRequest) -> Response:
        self._check_key(request)
        task_id = received.task_id = request.query_params.get("taskId", "")
        if not task_id:
            raise Refusal(400, "taskId is required")
        task = self._tasks.get(task_id)
        origin = str(request.base_url)

        def usual() -> Response:
            return error(404, "No such task") if task is None else success(record(task, self._now(), origin))

        return await self._answer(self._world.look(task), usual)

    async def _answer(self, fault: Fault | None, usual: Callable[[], Response]) -> Response:
        if fault is not None and fault.what == "slow" and not await self._held_back(fault):
            return CutResponse(b"")
        return spoilt(fault, usual())

    async def _held_back(self, fault: Fault) -> bool:
        """Whether the whole time passed, and the server did not stop before."""
        with anyio.CancelScope() as scope:
            self._slow_answers.add(scope)
            try:
                await self._sleep(self._slow_seconds if fault.value is None else fault.value)
            finally:
                self._slow_answers.discard(scope)
        return not scope.cancelled_caught

    async def _video(self, request: Request) -> Response:
        task = self._tasks.get(request.path_params["task_id"])
        if task is None or not task.has_video(self._now()):
            return PlainTextResponse("Not found\n", status_code=404)
        return FileResponse(CLIPS / f"{task.aspect_ratio}.mp4", media_type="video/mp4")

    async def _list_requests(self, _: Request) -> Response:
        return JSONResponse([received.spelled() for received in self._received])

    async def _add_fault(self, request: Request) -> Response:
        fields = json_object(await request.body()) or {}
        value = f"={fields['value']}" if "value" in fields else ""
        times = f"*{fields['times']}" if "times" in fields else ""
        try:
            self.add_fault(f"{fields.get('fault', '')}{value}{times}")
        except ValueError as refused:
            return error(400, str(refused))
        return self._fault_list()

    async def _clear_faults(self, _: Request) -> Response:
        self.clear_faults()
        return self._fault_list()

    def _fault_list(self) -> Response:
        return JSONResponse([str(fault) for fault in self.faults])


async def _greet(_: Request) -> Response:
    return PlainTextResponse(f"A stand-in for Sora2API, part of sora2-mcp. Its API is at {API_PATH}.\n")


async def _unknown_path(request: Request, _: ReceivedRequest) -> Response:
    return error(404, f"No such path: {request.method} {request.url.path}")


def _on_loopback(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Keeps the controls to this machine, also when the simulator listens on every interface."""

    async def answer(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return error(403, "The controls of the simulator answer this machine only")
        return await endpoint(request)

    return answer
