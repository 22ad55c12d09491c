"""Spans and counts of the work that is done here. Without an OpenTelemetry SDK they cost nothing and go nowhere.

The operators of the collector can read all of it: so no prompt, no key, no address but a host's name, no word of the
service's or of an exception's goes in. Of an error it has the class.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256

from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span, get_tracer

from sora2_mcp import __version__
from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import Task
from sora2_mcp.telemetry.context import log_context
from sora2_mcp.telemetry.metrics import Reading, instruments

_TRACER = get_tracer("sora2_mcp", __version__)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work: the name of its span and counter, and whether it asks another server."""

    name: str
    span: SpanKind


ORDER = Kind("order", SpanKind.CLIENT)
LOOK = Kind("look", SpanKind.CLIENT)
DOWNLOAD = Kind("download", SpanKind.CLIENT)
CALLBACK = Kind("callback", SpanKind.INTERNAL)


class _Work:
    """A piece of work until it has ended."""

    def __init__(self, kind: Kind, span: Span, labels: dict[str, str]) -> None:
        self.outcome = self.error_type = ""
        self.attempts = 0
        self.is_over = False
        self._kind = kind
        self._labels = labels
        self.span = span

    def fail(self, error: BaseException, outcome: str) -> None:
        self.outcome = self.outcome or outcome
        self.error_type = self.error_type or type(error).__name__

    def end(self) -> None:
        self.is_over = True
        outcome = {"sora2.outcome": self.outcome or "cut_off"}
        self.span.set_attributes(
            {**outcome, **_named(), **({"sora2.attempts": self.attempts} if self.attempts else {})}
        )
        if self.error_type:
            self.span.set_attribute("error.type", self.error_type)
            self.span.set_status(StatusCode.ERROR)
            _count_failure(self._kind.name, self.error_type)
        instruments().outcomes[self._kind.name].add(1, {**outcome, **self._labels})


_under_way: ContextVar[_Work | None] = ContextVar("work", default=None)


@contextmanager
def traced(kind: Kind, **labels: str) -> Iterator[None]:
    """The block is one piece of work: one span, and one more in the count of its outcome and of these labels.

    An exception that leaves the block is its outcome, unless ``set_outcome`` was called before.
    """
    named = {f"sora2.{name}": value for name, value in labels.items()}
    with _TRACER.start_as_current_span(
        f"sora2.{kind.name}", kind=kind.span, attributes=named, record_exception=False, set_status_on_exception=False
    ) as span:
        work = _Work(kind, span, named)
        token = _under_way.set(work)
        try:
            yield
        except Exception as error:
            work.fail(error, "error")
            raise
        finally:
            _under_way.reset(token)
            work.end()


def set_outcome(outcome: str, error: Exception | None = None) -> None:
    """Sets how the work at hand ends, in one word of a few; the first word counts."""
    work = _under_way.get()
    if work is None or work.is_over:
        return
    if error is not None:
        work.fail(error, outcome)
    work.outcome = work.outcome or outcome


def set_attributes(**facts: int) -> None:
    """Adds facts to the span of the work at hand."""
    work = _under_way.get()
    if work is not None and not work.is_over:
        work.span.set_attributes({f"sora2.{name}": value for name, value in facts.items()})


@contextmanager
def outgoing_request(host: str) -> Iterator[None]:
    """The block sends one request to this host, for the work at hand.

    Instrumentation of HTTP clients leaves it alone: it would tell the host of our traces, and the traces of addresses
    that hold tokens.
    """
    work = _under_way.get()
    if work is not None and not work.is_over:
        work.attempts += 1
        work.span.set_attribute("server.address", host)
    token = attach(set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, value=True))
    try:
        yield
    finally:
        detach(token)


def count_outcome(kind: Kind, outcome: str) -> None:
    """One more of a kind that ended before it was worth a span."""
    instruments().outcomes[kind.name].add(1, {"sora2.outcome": outcome})


@contextmanager
def tool_call(tool: str, clock: Clock) -> Iterator[None]:
    """The block is a call of this tool; its span is the SDK's."""
    began, failure = clock.monotonic(), "cancelled"
    try:
        yield
        failure = ""
    except Exception as error:
        failure = "tool_error"
        _count_failure("tool", tag_error(error))
        raise
    finally:
        labels = {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
        seconds = clock.monotonic() - began
        instruments().call_seconds.record(seconds, {**labels, **({"error.type": failure} if failure else {})})


def tag_request() -> None:
    """Adds the log context to the span at hand."""
    get_current_span().set_attributes(_named())


def tag_error(error: BaseException) -> str:
    """Adds the class of the error that is behind the one for the client to the span at hand; gives its name."""
    name = type(error.__cause__ or error).__name__
    get_current_span().set_attribute("sora2.error.type", name)
    return name


def record_task_end(task: Task) -> None:
    """Counts a task that has ended. It is unknown when another program ordered an adopted one."""
    if task.finished_at is None or task.adopted:
        return
    seconds = max(0.0, (task.finished_at - task.created_at).total_seconds())
    labels = {"sora2.task.status": task.status.value, "sora2.quality": task.request.quality.value}
    instruments().task_seconds.record(seconds, labels)
    if task.cost:
        instruments().cost.add(task.cost, {"sora2.price.unit": task.price_unit})


def record_saved_video(size_bytes: int) -> None:
    """Counts a saved video of this size."""
    set_attributes(size_bytes=size_bytes)
    instruments().downloaded.add(size_bytes)


@contextmanager
def open_wait() -> Iterator[None]:
    """The block is one open wait."""
    instruments().waits.add(1)
    try:
        yield
    finally:
        instruments().waits.add(-1)


@contextmanager
def report_reading(reading: Reading) -> Iterator[None]:
    """Reports this number of unfinished tasks as long as the block lasts."""
    instruments().readings.add(reading)
    try:
        yield
    finally:
        instruments().readings.discard(reading)


def trace_id() -> str:
    """The id of the trace that the work at hand belongs to; empty where there is none."""
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def pseudonym(principal: str) -> str:
    """The principal as others may read it: a subject of an issuer's may be a person's name, so it is hashed."""
    kind, _, _ = principal.partition(":")
    return f"{kind}:{sha256(principal.encode()).hexdigest()[:12]}" if kind == "jwt" else principal


def _named() -> dict[str, str]:
    known = log_context()
    named = {
        "sora2.request.id": known.request_id,
        "sora2.principal": pseudonym(known.principal),
        "sora2.task.id": known.task_id,
    }
    return {name: value for name, value in named.items() if value}


def _count_failure(operation: str, error_type: str) -> None:
    instruments().failures.add(1, {"error.type": error_type, "sora2.operation": operation})
