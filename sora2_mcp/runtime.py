"""The core of a running process: opened after the handshake, closed in order."""

import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock, SystemClock
from sora2_mcp.errors import STORE_CLOSED, STORE_PASSES, MissingKeyError, MissingSettingError, Sora2Error, StoreError
from sora2_mcp.services.service import Service, ServiceClient
from sora2_mcp.settings import SIMULATED, Settings
from sora2_mcp.tasks.autosave import AutoSave
from sora2_mcp.tasks.callbacks import CallbackPaths, Callbacks
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.downloads import Downloads
from sora2_mcp.tasks.events import EventBus, relay_changes
from sora2_mcp.tasks.links import SignedTokens
from sora2_mcp.tasks.orders import Orders
from sora2_mcp.tasks.pictures import PictureAddresses, Pictures
from sora2_mcp.tasks.polling import Polling, report_unfinished
from sora2_mcp.tasks.previews import Previews
from sora2_mcp.tasks.schedule import Schedule
from sora2_mcp.tasks.store.interface import Store
from sora2_mcp.tasks.tasks import Tasks
from sora2_mcp.telemetry.context import start_detached

logger = logging.getLogger(__name__)

_CATCHING_UP_SECONDS = 0.5
"""How long the first call waits until orders of processes that died are marked; a locked store is not waited for."""

_SENDING_GRACE_SECONDS = 1.0
"""How long orders under way may still get their answer when the process ends."""

Endpoint = Callable[[], AbstractAsyncContextManager[str]]
"""Opens the service to talk to and gives its base URL."""

_SIMULATED_SECONDS = 4.0
"""How long a video takes in the simulator that is built in."""


class Runtime:
    """Owns everything that runs in the background. ``async with`` it, ``begin()`` early, await ``tasks()`` to use it.

    Entering costs nothing: the store, the client and the loops are opened by ``begin()`` or by the first ``tasks()``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        endpoint: Endpoint | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """``endpoint`` is the service's own base URL, or the simulator of this process where the settings ask for it.

        ``transport`` replaces the network for every request; the caller opens and closes it.
        """
        self.settings = settings
        self.clock = clock or SystemClock()
        self.bus = EventBus()
        self.callback_paths = CallbackPaths(settings.public_url, settings.callback_key)
        self.picture_addresses = PictureAddresses(settings.public_url, settings.callback_key, self.clock)
        self.video_tokens = SignedTokens(
            [key.encode() for key in settings.sealing_keys],
            purpose=b"videos",
            lasting=timedelta(hours=settings.link_hours),
            clock=self.clock,
        )
        self.stopping = anyio.Event()
        self.service_address = settings.base_url
        """The service's own; the simulator's once that is running."""
        self._transport = transport
        own = partial(_simulator, settings) if settings.simulate else lambda: nullcontext(settings.base_url)
        self._endpoint: Endpoint = endpoint or own
        self._group: TaskGroup | None = None
        self._opening: _Opening | None = None

    @cached_property
    def upstream(self) -> Service:
        """How the service is spoken to; made when it is needed, for its modules take 15 ms to load."""
        from sora2_mcp.services.chosen import service_of  # noqa: PLC0415 - as above

        return service_of(self.settings)

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.stop()
        assert self._group is not None  # noqa: S101 - it was entered
        try:
            return await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if error is not None and group.exceptions == (error,):
                # Nothing but the body's own error: it comes out as itself.
                return None
            raise

    def begin(self) -> None:
        """Starts opening in the background, unless that has been done. Must be inside ``async with``."""
        if self._group is None:
            raise RuntimeError("begin() is called outside `async with runtime`")
        if self._opening is None or self._opening.error is not None:
            self._opening = _Opening()
            start_detached(self._group.start_soon, self._run, self._opening)

    def begin_in(self, seconds: float) -> None:
        """Calls ``begin()`` after a delay, so that its imports hold up no answer; ``tasks()`` begins at once."""
        if self._opening is None or self._opening.error is not None:
            self.in_background(partial(self._begin_after, seconds))

    def in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs ``work``, on behalf of no request, until it ends or the runtime stops. Must be inside ``async with``."""
        if self._group is None:
            raise RuntimeError("in_background() is called outside `async with runtime`")
        start_detached(self._group.start_soon, self._until_stopping, work)

    def stop(self) -> None:
        """Lets waits end with the task as it is; the rest ends with ``async with``."""
        self.stopping.set()
        self.bus.wake_all()

    async def tasks(self, patience_seconds: float = 8.0) -> Tasks:
        """The verbs, once everything is open.

        Raises:
            MissingSettingError: the API key is not set, or what else the service needs.
            StoreError: the store cannot be opened, or not so soon; the next call tries again.
        """
        if missing := self.settings.missing:
            raise MissingKeyError if missing == "SORA2_API_KEY" else MissingSettingError(missing)
        self.begin()
        opening = self._opening
        assert opening is not None  # noqa: S101 - begin() has just made sure of it
        with self.clock.timeout(patience_seconds) as patience:
            await opening.done.wait()
        if patience.cancelled_caught:
            raise StoreError("is still being opened", hint=STORE_PASSES)
        if opening.tasks is None:
            raise opening.error or StoreError("is closed because the server is ending", hint=STORE_CLOSED)
        return opening.tasks

    async def _begin_after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.begin()

    async def _until_stopping(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await self.stopping.wait()
            group.cancel_scope.cancel()

    async def _run(self, opening: "_Opening") -> None:
        """One attempt at opening, and if it works, all that runs until the process stops."""
        try:
            async with AsyncExitStack() as stack:
                base_url = self.service_address = await stack.enter_async_context(self._endpoint())
                # SQLAlchemy takes 0.3 s to import: off the event loop, so that the host gets its answers meanwhile.
                await anyio.to_thread.run_sync(_import_heavy_modules)
                from sora2_mcp.services.client import open_client  # noqa: PLC0415
                from sora2_mcp.services.tls import TLSContext  # noqa: PLC0415
                from sora2_mcp.tasks.ssrf import files_client  # noqa: PLC0415
                from sora2_mcp.tasks.store.database import open_store  # noqa: PLC0415

                settings, tls, transport = self.settings, TLSContext(), self._transport
                store = await stack.enter_async_context(
                    open_store(settings.store_url, settings.account, self.clock, self.bus.publish)
                )
                client = await stack.enter_async_context(
                    open_client(
                        self.upstream,
                        base_url=base_url,
                        key=settings.key,
                        requests_per_second=settings.max_requests_per_second,
                        clock=self.clock,
                        tls=tls,
                        transport=transport,
                    )
                )
                files = await stack.enter_async_context(
                    files_client(base_url, key=settings.key, networks=settings.networks, tls=tls, transport=transport)
                )
                images = await stack.enter_async_context(
                    files_client(base_url, reaches_api=False, networks=settings.networks, tls=tls, transport=transport)
                )
                await self._serve(opening, store, client, _Network(base_url=base_url, files=files, images=images))
        except Sora2Error as error:
            opening.error = error
        except Exception as error:
            # The opening's border: whatever is wrong with a driver or an address, tools say so and the server lives.
            logger.exception("the store, the client or the simulator could not be opened")
            # Of others' texts only the system's are shown: they hold no value of the environment.
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            opening.error = StoreError(f"or the simulator could not be opened ({reason}; the log says more)")
        finally:
            opening.done.set()

    async def _serve(self, opening: "_Opening", store: Store, client: ServiceClient, network: "_Network") -> None:
        # Senders outside: orders under way outlive everything else by their grace.
        async with anyio.create_task_group() as senders:
            async with anyio.create_task_group() as background:
                opening.tasks = await self._assembled(store, client, network, background, senders)
                opening.done.set()
                await self.stopping.wait()
                background.cancel_scope.cancel()
            senders.cancel_scope.deadline = anyio.current_time() + _SENDING_GRACE_SECONDS

    async def _assembled(
        self, store: Store, client: ServiceClient, network: "_Network", background: TaskGroup, senders: TaskGroup
    ) -> Tasks:
        settings = self.settings
        core = Core(
            settings=settings,
            service=self.upstream,
            client=client,
            store=store,
            bus=self.bus,
            clock=self.clock,
            schedule=Schedule(settings.poll_seconds, settings.idle_poll_seconds),
            group=background,
        )
        polling = Polling(core)
        pictures = Pictures(
            folder=settings.image_dir, form=self.upstream.picture_form, addresses=self.picture_addresses,
            http=network.images, upload=client.upload, clock=self.clock,
        )  # fmt: skip
        orders = Orders(core, polling, pictures, paths=self.callback_paths, senders=senders, stopping=self.stopping)
        downloads = Downloads(core, polling, network.files, network.base_url)
        callbacks = Callbacks(core, polling, self.callback_paths, self.stopping)
        background.start_soon(polling.run)
        background.start_soon(relay_changes, store, self.bus, self.clock)
        if settings.auto_download or self.upstream.hides_videos:
            background.start_soon(AutoSave(core, downloads).run)
        # Never with the mark of the key: metrics leave this machine.
        service = SIMULATED if settings.simulate else urlsplit(settings.base_url).hostname or settings.service
        background.start_soon(report_unfinished, store, service)
        with self.clock.timeout(_CATCHING_UP_SECONDS):
            await polling.caught_up.wait()
        return Tasks(
            core,
            orders=orders,
            polling=polling,
            downloads=downloads,
            callbacks=callbacks,
            pictures=pictures,
            previews=Previews(core, polling, network.files),
            stopping=self.stopping,
        )


def _import_heavy_modules() -> None:
    """Loads the slow modules in a thread; the imports by name that follow are then immediate."""
    from sora2_mcp.services import client  # noqa: F401, PLC0415
    from sora2_mcp.tasks import ssrf  # noqa: F401, PLC0415
    from sora2_mcp.tasks.store import database  # noqa: F401, PLC0415


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """Where the service is, and the clients for its videos and for the images that callers name."""

    base_url: str
    files: httpx2.AsyncClient
    images: httpx2.AsyncClient


class _Opening:
    """One attempt at opening the core."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.tasks: Tasks | None = None
        self.error: Sora2Error | None = None


def simulator_folder(settings: Settings) -> Path:
    """Where the simulator keeps its tasks: beside the store that knows them, so that both are moved together."""
    file = settings.store_file
    return (file.parent if file else settings.data_dir) / "service"


@asynccontextmanager
async def _simulator(settings: Settings) -> AsyncIterator[str]:
    folder = simulator_folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"needs the folder {folder}, which cannot be made: {error.strerror}") from error
    # Off the event loop, and only when needed: it costs 0.1 s.
    serving = await anyio.to_thread.run_sync(importlib.import_module, "sora2_mcp.simulator.serve")
    application = importlib.import_module("sora2_mcp.simulator.app")
    simulator = application.Simulator(seconds_per_task=_SIMULATED_SECONDS, state_folder=folder)
    # The same port next time keeps the addresses of earlier videos good.
    remembered = folder / "port"
    try:
        port = int(remembered.read_text())
    except (OSError, ValueError):
        port = 0
    async with serving.running(simulator, port=port, fallback=True, dialect=settings.service) as base_url:
        if not remembered.exists():
            remembered.write_text(str(urlsplit(base_url).port))
        yield base_url
