"""The one client of video services: it sends the calls that a service's file writes, and has it read the answers."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import anyio.to_thread
import httpx2
import stamina

from sora2_mcp.clock import Clock
from sora2_mcp.domain.configured import DEFAULT_SERVICE, SERVICES
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Snapshot
from sora2_mcp.errors import LostAnswerError, NotReachedError, ServiceError, Sora2Error
from sora2_mcp.services.exchange import exchange, leave_others_their_turn, refuse_nested_codings
from sora2_mcp.services.proxies import proxied_client
from sora2_mcp.services.rate_limit import RateLimiter
from sora2_mcp.services.service import ORDER_LIMIT_SECONDS, Answer, Call, Picture, Service
from sora2_mcp.services.tls import TLSContext

logger = logging.getLogger(__name__)

LOOK_LIMIT_SECONDS = 20.0
"""The longest one look lasts, repeats included; shorter than a look's lease."""

# Without the balance a result only says less, so no caller waits long for it.
BALANCE_SECONDS = 4.0

_ORDER_TIMEOUT = httpx2.Timeout(connect=2, read=ORDER_LIMIT_SECONDS, write=10, pool=2)
_LOOK_TIMEOUT = httpx2.Timeout(connect=5, read=8, write=5, pool=5)
_LOOK_ATTEMPTS = 3
_LONGEST_RETRY_PAUSE_SECONDS = 5.0


class Client:
    """The client of ``ServiceClient``, which documents its methods.

    ``orders`` must not keep connections alive: a stale one would look like a lost answer.
    """

    def __init__(
        self,
        service: Service,
        *,
        orders: httpx2.AsyncClient,
        looks: httpx2.AsyncClient,
        base_url: str,
        clock: Clock,
        limiter: RateLimiter,
    ) -> None:
        self._service = service
        self._orders = orders
        self._looks = looks
        self._base_url = base_url
        self._clock = clock
        self.limiter = limiter
        self.last_contact_at: datetime | None = None

    async def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> str:
        order = self._service.order(request, pictures)
        has_data = any(url.startswith("data:") for url in request.image_urls)
        order = replace(order, holds_pictures=has_data or bool(pictures))
        # Never repeated here: whether it may be is for the caller to decide, by the error.
        answer = await self._answer(self._orders, order, _ORDER_TIMEOUT, ORDER_LIMIT_SECONDS)
        return self._service.accepted(answer)

    async def upload(self, picture: Picture) -> str:
        call = replace(self._service.upload(picture, self._base_url), holds_pictures=True)
        answer = await self._answer(self._orders, call, _ORDER_TIMEOUT, ORDER_LIMIT_SECONDS)
        return self._service.uploaded(answer)

    async def look(self, task_id: str) -> Snapshot:
        with self._clock.timeout(LOOK_LIMIT_SECONDS) as limit:
            # Half of the limit for repeats, so that the last of them still has its time to answer.
            attempts = stamina.retry_context(
                on=_pause, attempts=_LOOK_ATTEMPTS, timeout=LOOK_LIMIT_SECONDS / 2, wait_initial=0.25, wait_jitter=0.25
            )
            async for attempt in attempts:
                with attempt:
                    # The caller has taken the first turn; each repeat is one more request.
                    if attempt.num > 1:
                        await self.limiter.look()
                    call = self._service.look(task_id)
                    answer = await self._answer(self._looks, call, _LOOK_TIMEOUT, LOOK_LIMIT_SECONDS)
                    return self._service.snapshot(answer, self._clock.now())
        raise LostAnswerError(f"no answer within {LOOK_LIMIT_SECONDS:.0f} s" if limit.cancelled_caught else "no answer")

    async def balance(self) -> float | None:
        call = self._service.balance()
        if call is None:
            return None
        await self.limiter.look()
        try:
            answer = await self._answer(self._looks, call, _LOOK_TIMEOUT, BALANCE_SECONDS)
            return self._service.balance_in(answer)
        except Sora2Error as error:
            logger.debug("the balance is not known: %s", error.own_words)
            return None

    async def _answer(
        self, http: httpx2.AsyncClient, call: Call, limits: httpx2.Timeout, limit_seconds: float
    ) -> Answer:
        build = partial(request_of, http, self._base_url, call, limits)
        try:
            # Writing a body of megabytes takes its time, in which nothing else would run.
            request = await anyio.to_thread.run_sync(build) if call.holds_pictures else build()
        except (ValueError, TypeError, RecursionError, httpx2.InvalidURL) as error:
            raise NotReachedError(f"its request cannot be written: {type(error).__name__}") from error
        try:
            answer = await exchange(http, request, clock=self._clock, limit_seconds=limit_seconds)
        except NotReachedError as error:
            _advise(error, self._base_url)
            raise
        self.last_contact_at = self._clock.now()
        return answer


def _advise(error: NotReachedError, base_url: str) -> None:
    """Where nothing stood in the way but that the default service has ended, says which others there are."""
    default = SERVICES[DEFAULT_SERVICE]
    if base_url == default.base_url and type(error) is NotReachedError:
        error.hint, error.cli_hint = f"Tell the user: {default.today}", default.today


def request_of(http: httpx2.AsyncClient, base_url: str, call: Call, timeout: httpx2.Timeout) -> httpx2.Request:
    """The call as a request to the service at ``base_url``."""
    files: dict[str, Any] = {name: (file.name, file.content, file.media_type) for name, file in call.files.items()}
    if call.form is not None:
        # Always multipart, never urlencoded: servers that take files read it, and others too.
        files = {**{name: (None, value) for name, value in call.form.items()}, **files}
    return http.build_request(
        call.method,
        f"{call.base_url or base_url}{call.path}",
        params=call.query or None,
        json=call.json,
        files=files or None,
        timeout=timeout,
    )


def _pause(error: Exception) -> bool | float:
    """Whether to repeat a look after this error, and after how many seconds where the service names a time."""
    if not isinstance(error, Sora2Error) or not error.retryable:
        return False
    seconds = error.retry_after_seconds if isinstance(error, ServiceError) else None
    if seconds is None:
        return True
    # A longer pause is the poller's to plan: this look holds a lease.
    return seconds if seconds <= _LONGEST_RETRY_PAUSE_SECONDS else False


@asynccontextmanager
async def open_client(
    service: Service,
    *,
    base_url: str,
    key: str,
    requests_per_second: float,
    clock: Clock,
    tls: TLSContext | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AsyncIterator[Client]:
    """A client of the service at ``base_url``, closed on exit; ``transport`` takes the network's place."""
    single_use = httpx2.Limits(max_keepalive_connections=0)
    tls = tls or TLSContext()
    async with (
        http_client(key=key, tls=tls, transport=transport, limits=single_use) as orders,
        http_client(key=key, tls=tls, transport=transport) as looks,
    ):
        yield Client(
            service,
            orders=orders,
            looks=looks,
            base_url=base_url,
            clock=clock,
            limiter=RateLimiter(requests_per_second),
        )


def http_client(*, key: str, tls: TLSContext | None = None, **options: Any) -> httpx2.AsyncClient:
    """An HTTP client for a service; without a key where that is empty."""
    headers = {"accept": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    tls = tls or TLSContext()
    hooks: Any = {"request": [tls.prepare], "response": [refuse_nested_codings, leave_others_their_turn]}
    return proxied_client(headers=headers, verify=tls, event_hooks=hooks, **options)
