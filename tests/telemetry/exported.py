"""What an OpenTelemetry SDK collects in this process, during one test."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import set_tracer_provider

Labels = dict[str, Any]


class _Kept(SpanProcessor):
    """Keeps the spans that end while somebody wants them."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] | None = None

    def on_end(self, span: ReadableSpan) -> None:
        if self.spans is not None:
            self.spans.append(span)


@cache
def _sdk() -> tuple[_Kept, InMemoryMetricReader]:
    """Set up once in a process, which is all that OpenTelemetry allows: what others did before counts for nobody."""
    kept = _Kept()
    tracers = TracerProvider()
    tracers.add_span_processor(kept)
    set_tracer_provider(tracers)
    since_last_asked: dict[type, AggregationTemporality] = {
        Counter: AggregationTemporality.DELTA,
        Histogram: AggregationTemporality.DELTA,
    }
    reader = InMemoryMetricReader(preferred_temporality=since_last_asked)
    set_meter_provider(MeterProvider([reader]))
    return kept, reader


class Exported:
    """Spans and metrics of one test."""

    def __init__(self, spans: list[ReadableSpan], reader: InMemoryMetricReader) -> None:
        self.spans = spans
        self._reader = reader
        self._collected: list[MetricsData] = []

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of this name, in the order they ended."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (span,) = self.named(name)
        return span

    def tree(self) -> dict[str, str]:
        """Of each span of the server's, its parent's name; empty for a root."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        ours = [span for span in self.spans if not span.name.startswith("MCP send")]
        return {span.name: names[span.parent.span_id] if span.parent else "" for span in ours}

    def points(self) -> dict[str, list[tuple[Labels, Any]]]:
        """Of each metric, what has been counted since the last time: labels and value, or number and sum."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        self._collected.append(data)
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics if scope.scope.name == "sora2_mcp"]
        return {
            metric.name: [(dict(point.attributes or {}), _value(point)) for point in metric.data.data_points]
            for metric in metrics
        }

    def everything(self) -> str:
        """All that has left this process so far, as text."""
        self.points()
        return "\n".join([*(span.to_json() for span in self.spans), *(data.to_json() for data in self._collected)])


def _value(point: Any) -> Any:
    return (point.count, point.sum) if hasattr(point, "count") else point.value


@contextmanager
def exporting() -> Iterator[Exported]:
    """An SDK that collects what happens in the block."""
    kept, reader = _sdk()
    kept.spans = []
    reader.get_metrics_data()
    try:
        yield Exported(kept.spans, reader)
    finally:
        kept.spans = None
