import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from email.utils import format_datetime

import anyio
import httpx2
import pytest

from sora2_mcp.clock import Clock
from sora2_mcp.domain.configured import SERVICES
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Sighting, Snapshot
from sora2_mcp.errors import (
    BadRequestError,
    LostAnswerError,
    NotReachedError,
    RateLimitedError,
    ServiceError,
    Sora2Error,
)
from sora2_mcp.services.client import LOOK_LIMIT_SECONDS, Client
from sora2_mcp.services.exchange import BODY_LIMIT_BYTES
from sora2_mcp.services.rate_limit import RateLimiter
from sora2_mcp.services.service import ORDER_LIMIT_SECONDS
from sora2_mcp.services.sora2api import Sora2API
from tests.clocks import PATIENCE_SECONDS, START, FakeClock, settle

pytestmark = pytest.mark.anyio

BASE_URL = "https://api.example.com/v1"
REQUEST = VideoRequest(prompt="A cat")
GENERATING = Snapshot(
    sighting=Sighting.GENERATING, seen_at=START, request=VideoRequest(prompt=""), task_id="sora2_task_a"
)

Answer = Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]]


class Service:
    """What the wire would show: answers in their turn, the last one for ever, and the requests that came."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.requests: list[httpx2.Request] = []
        self._answers = list(answers)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_an_answer_that_repeats_the_key_is_taken_in_without_it() -> None:
    key = "sk-a/secret+key-0123456789"
    echo = f"bad header Bearer {key}"
    service = Service(
        httpx2.Response(401, json={"code": 401, "msg": echo}),
        httpx2.Response(200, content=json.dumps(failed_record(echo)).replace("/", r"\/").encode()),
    )
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(service), headers=headers) as http:
        client = Client(
            Sora2API(), orders=http, looks=http, base_url=BASE_URL, clock=FakeClock(), limiter=RateLimiter(1000)
        )
        with pytest.raises(ServiceError, match=r"bad header Bearer \*\*\*") as caught:
            await client.order(REQUEST)
        snapshot = await client.look("sora2_task_a")

    assert key not in str(caught.value)
    assert snapshot.failure is not None
    assert snapshot.failure.message == "bad header Bearer ***"


def failed_record(message: str) -> dict[str, object]:
    """What record-info says of a task that failed."""
    data = {"taskId": "sora2_task_a", "successFlag": 3, "errorCode": 500, "errorMessage": message}
    return {"code": 200, "msg": "success", "data": data}


@asynccontextmanager
async def client_of(
    service: Answer, clock: Clock, requests_per_second: float = 1000, base_url: str = BASE_URL
) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(service)) as http:
        limiter = RateLimiter(requests_per_second)
        yield Client(Sora2API(), orders=http, looks=http, base_url=base_url, clock=clock, limiter=limiter)


def accepted() -> httpx2.Response:
    return httpx2.Response(200, json={"code": 200, "msg": "success", "data": {"taskId": "sora2_task_a"}})


def generating() -> httpx2.Response:
    return httpx2.Response(200, json={"code": 200, "data": {"taskId": "sora2_task_a", "successFlag": 0}})


def refusal(code: int, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(code, headers=headers, json={"code": code, "msg": "why", "data": None})


async def test_an_order_is_one_post_of_its_body_and_gives_the_services_id(clock: FakeClock) -> None:
    service = Service(accepted())

    async with client_of(service, clock) as client:
        assert await client.order(REQUEST) == "sora2_task_a"

    (sent,) = service.requests
    assert (sent.method, str(sent.url)) == ("POST", f"{BASE_URL}/generate")
    assert sent.headers["content-type"] == "application/json"
    assert json.loads(sent.content) == {"prompt": "A cat", "aspectRatio": "landscape", "quality": "standard"}


async def test_a_look_asks_for_its_task_and_is_dated_by_our_own_clock(clock: FakeClock) -> None:
    service = Service(generating())

    async with client_of(service, clock) as client:
        assert await client.look("sora2 task/a&b") == GENERATING

    (sent,) = service.requests
    assert (sent.method, sent.url.path, sent.content) == ("GET", "/v1/record-info", b"")
    assert dict(sent.url.params) == {"taskId": "sora2 task/a&b"}


NOT_SENT = [
    (httpx2.ConnectError("refused"), "no connection could be made"),
    (httpx2.ConnectTimeout("slow"), "no connection in time"),
    (httpx2.PoolTimeout("busy"), "no connection was free in time"),
    (httpx2.UnsupportedProtocol("what"), "its address cannot be used"),
    (httpx2.ProxyError("502 Bad Gateway"), "the proxy did not connect to it"),
]
BROKEN = [
    (httpx2.ReadTimeout("slow"), "no answer in time"),
    (httpx2.ReadError("reset"), "the connection broke off"),
    (httpx2.WriteTimeout("slow"), "no answer in time"),
    (httpx2.WriteError("reset"), "the connection broke off"),
    (httpx2.RemoteProtocolError("closed"), "the connection ended without an answer in HTTP"),
    (httpx2.DecodingError("gzip"), "its answer cannot be unpacked"),
]


@pytest.mark.parametrize(
    ("base_url", "hint"),
    [
        (SERVICES["sora2api"].base_url, "SORA2_SERVICE chooses others: kie, openrouter, openai."),
        (BASE_URL, "Check the network and SORA2_API_BASE_URL, then repeat the same call."),
    ],
)
async def test_where_the_service_that_has_ended_is_not_found_others_are_named(
    base_url: str, hint: str, clock: FakeClock
) -> None:
    async with client_of(Service(httpx2.ConnectError("no such name")), clock, base_url=base_url) as client:
        with pytest.raises(NotReachedError) as raised:
            await client.order(REQUEST)

    assert raised.value.hint.endswith(hint)


@pytest.mark.parametrize(("fault", "reason"), NOT_SENT, ids=lambda value: type(value).__name__)
async def test_an_order_that_found_no_connection_was_not_sent(fault: Exception, reason: str, clock: FakeClock) -> None:
    async with client_of(Service(fault), clock) as client:
        with pytest.raises(NotReachedError) as raised:
            await client.order(REQUEST)

    assert raised.value.reason == reason
    assert raised.value.__cause__ is fault


@pytest.mark.parametrize(("fault", "reason"), BROKEN, ids=lambda value: type(value).__name__)
async def test_an_order_whose_connection_broke_is_unclear(fault: Exception, reason: str, clock: FakeClock) -> None:
    async with client_of(Service(fault), clock) as client:
        with pytest.raises(LostAnswerError) as raised:
            await client.order(REQUEST)

    assert raised.value.reason == reason
    assert raised.value.__cause__ is fault


class Pieces(httpx2.AsyncByteStream):
    """A body that comes in pieces, counts those that were asked for, and may break."""

    def __init__(self, piece: bytes, times: int, fault: Exception | None = None) -> None:
        self.given = 0
        self.closed = False
        self._piece, self._times, self._fault = piece, times, fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._times):
            self.given += 1
            yield self._piece
        if self._fault is not None:
            raise self._fault

    async def aclose(self) -> None:
        self.closed = True


async def test_an_order_whose_answer_broke_off_half_way_is_unclear(clock: FakeClock) -> None:
    body = Pieces(b'{"code": 200, ', 1, httpx2.ReadError("reset"))

    async with client_of(Service(httpx2.Response(200, stream=body)), clock) as client:
        with pytest.raises(LostAnswerError, match="the connection broke off"):
            await client.order(REQUEST)

    assert body.closed


@pytest.mark.parametrize("call", ["order", "look"])
async def test_an_answer_without_end_is_given_up_and_closed(call: str, clock: FakeClock) -> None:
    bodies = [Pieces(b" " * 50_000, 1000) for _ in range(3)]
    service = Service(*(httpx2.Response(200, stream=body) for body in bodies))

    async with client_of(service, clock) as client:
        with pytest.raises(LostAnswerError) as raised:
            await (client.order(REQUEST) if call == "order" else client.look("a"))

    assert raised.value.reason == "an answer of more than 250,000 bytes"
    assert bodies[0].given == BODY_LIMIT_BYTES / 50_000 + 1
    assert bodies[0].closed


ANSWERS: list[Callable[[], httpx2.Response | Exception]] = [
    lambda: httpx2.ConnectError("refused"),
    lambda: httpx2.ReadTimeout("slow"),
    lambda: refusal(429),
    lambda: refusal(455),
    lambda: refusal(500),
    lambda: refusal(503),
    lambda: refusal(418),
    lambda: httpx2.Response(502, html="<html>Bad Gateway</html>"),
    lambda: httpx2.Response(200, content=b""),
]
IDS = ["no connection", "time-out", "429", "455", "500", "503", "unknown code", "web page", "empty"]
TRANSIENT = [pair for pair in zip(ANSWERS, IDS, strict=True) if pair[1] != "unknown code"]


@pytest.mark.parametrize("answer", ANSWERS, ids=IDS)
async def test_an_order_is_never_repeated(answer: Callable[[], httpx2.Response | Exception], clock: FakeClock) -> None:
    service = Service(answer(), accepted())

    async with client_of(service, clock) as client:
        with pytest.raises(Sora2Error):
            await client.order(REQUEST)

    assert len(service.requests) == 1


@pytest.mark.parametrize("answer", [pair[0] for pair in TRANSIENT], ids=[pair[1] for pair in TRANSIENT])
async def test_a_look_outlasts_two_passing_faults(
    answer: Callable[[], httpx2.Response | Exception], clock: FakeClock
) -> None:
    service = Service(answer(), answer(), generating())

    async with client_of(service, clock) as client:
        assert await client.look("sora2_task_a") == GENERATING

    assert len(service.requests) == 3


async def test_a_look_gives_up_with_the_last_fault_after_three_attempts(clock: FakeClock) -> None:
    service = Service(httpx2.ReadError("reset"), refusal(500), refusal(455), generating())

    async with client_of(service, clock) as client:
        with pytest.raises(ServiceError) as raised:
            await client.look("sora2_task_a")

    assert raised.value.code == 455
    assert len(service.requests) == 3


@pytest.mark.parametrize("code", [400, 401, 402, 505, 418])
async def test_a_look_is_not_repeated_where_that_cannot_help(code: int, clock: FakeClock) -> None:
    service = Service(refusal(code), generating())

    async with client_of(service, clock) as client:
        with pytest.raises(ServiceError) as raised:
            await client.look("sora2_task_a")

    assert raised.value.code == code
    assert len(service.requests) == 1


async def test_a_missing_task_is_an_answer_and_not_asked_for_again(clock: FakeClock) -> None:
    service = Service(refusal(404), generating())

    async with client_of(service, clock) as client:
        assert await client.look("a") == Snapshot(sighting=Sighting.MISSING, seen_at=START)

    assert len(service.requests) == 1


async def test_an_order_does_not_wait_for_a_turn_which_is_its_callers_business(clock: FakeClock) -> None:
    service = Service(accepted())

    async with client_of(service, clock, requests_per_second=0.1) as client:
        with anyio.fail_after(PATIENCE_SECONDS):
            for _ in range(3):
                await client.order(REQUEST)

    assert len(service.requests) == 3


async def test_a_looks_repeats_wait_for_their_turn(clock: FakeClock) -> None:
    looks = Service(refusal(500))

    async def look(client: Client) -> None:
        with suppress(ServiceError):
            await client.look("sora2_task_a")

    async with client_of(looks, clock, requests_per_second=5) as looking, anyio.create_task_group() as crowd:
        for _ in range(100):
            crowd.start_soon(look, looking)
        for _ in range(5):
            await settle()
        crowd.cancel_scope.cancel()

    assert 100 < len(looks.requests) < 200, "the first attempt's turn is its caller's business"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("99999999", 86_400.0),
        (format_datetime(START + timedelta(seconds=120), usegmt=True), 120.0),
        (format_datetime(START - timedelta(seconds=120), usegmt=True), 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("9" * 5000, None),
        ("Sun, 22 Nov 2026 12:00:00 -0000", None),
        ("Sun, 22 Nov 99999 12:00:00 GMT", None),
        ("Sun, 22 Nov 2026 12:00:00 +99999999999999999999", None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_the_services_wish_for_a_pause_is_read_as_seconds_or_as_a_date(
    header: str, seconds: float | None, clock: FakeClock
) -> None:
    answer = refusal(429)
    answer.headers = httpx2.Headers([(b"retry-after", header.encode("latin-1"))])

    async with client_of(Service(answer), clock) as client:
        with pytest.raises(RateLimitedError) as raised:
            await client.order(REQUEST)

    assert raised.value.retry_after_seconds == seconds


@pytest.mark.parametrize(("header", "attempts"), [("0", 2), ("5", 2), ("6", 1)])
async def test_a_look_waits_for_a_short_pause_and_leaves_a_long_one_to_its_caller(
    header: str, attempts: int, clock: FakeClock
) -> None:
    service = Service(refusal(429, {"retry-after": header}), generating())

    async with client_of(service, clock) as client:
        with suppress(RateLimitedError):
            await client.look("sora2_task_a")

    assert len(service.requests) == attempts


@pytest.mark.parametrize(("call", "limit_seconds"), [("order", ORDER_LIMIT_SECONDS), ("look", LOOK_LIMIT_SECONDS)])
async def test_a_service_that_never_answers_is_given_up_after_a_fixed_time(
    call: str, limit_seconds: float, clock: FakeClock
) -> None:
    reasons: list[str] = []

    async def silent(_: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    async def ask(client: Client) -> None:
        with pytest.raises(LostAnswerError) as raised:
            await (client.order(REQUEST) if call == "order" else client.look("a"))
        reasons.append(raised.value.reason)

    with anyio.fail_after(30):
        async with client_of(silent, clock) as client, anyio.create_task_group() as asking:
            asking.start_soon(ask, client)
            await settle()
            await clock.advance(limit_seconds - 0.1)
            assert reasons == []

            await clock.advance(0.1)
            assert reasons == [f"no answer within {limit_seconds:g} s"]


async def test_a_bad_request_says_what_the_service_said(clock: FakeClock) -> None:
    async with client_of(Service(refusal(400)), clock) as client:
        with pytest.raises(BadRequestError) as raised:
            await client.order(REQUEST)

    assert str(raised.value) == 'The service refused the request\'s content (400); the service says "why"'
