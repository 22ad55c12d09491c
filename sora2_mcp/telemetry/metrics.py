"""The metrics there are. Nothing in them names a task, a caller or a request: each label has a handful of values.

Source of the tool calls' metric: OpenTelemetry's semantic conventions for MCP.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal

from sora2_mcp import __version__

_CALL_BOUNDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_TASK_BOUNDS = (5, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1800, 3600)


class Reading:
    """A number that takes a question to find out. It is found out again only after a metrics reader has asked for it.

    Readers live in threads of their own and cannot wait: they get the last value. ``portal``: into the event loop that
    made this, which finds the number out.
    """

    def __init__(self, service: str, portal: BlockingPortal) -> None:
        self.service = service
        self.value: int | None = None
        self._portal = portal
        self._thread = threading.get_ident()
        self._wanted = anyio.Event()

    def asked(self) -> int | None:
        """The last value, None where there is none yet; has it found out again. From any thread."""
        value = self.value
        if threading.get_ident() == self._thread:
            self._wanted.set()
        else:
            # The event loop may have just ended.
            with suppress(RuntimeError):
                self._portal.start_task_soon(self._want)
        return value

    async def wanted(self) -> None:
        """Returns once a reader has asked since the last time."""
        await self._wanted.wait()
        self._wanted = anyio.Event()

    def _want(self) -> None:
        self._wanted.set()


class Instruments:
    """One of each for the whole process, as OpenTelemetry wants it; without an SDK they do nothing."""

    def __init__(self) -> None:
        from opentelemetry.metrics import get_meter  # noqa: PLC0415 - 3 ms, and no handshake counts anything

        meter = get_meter("sora2_mcp", __version__)
        self.outcomes = {
            "order": meter.create_counter("sora2.orders", "{order}", "Orders, by what became of them."),
            "look": meter.create_counter("sora2.looks", "{look}", "Looks at tasks, by what they showed."),
            "callback": meter.create_counter("sora2.callbacks", "{callback}", "Callbacks, by what they led to."),
            "download": meter.create_counter("sora2.downloads", "{download}", "Downloads, by how they ended."),
        }
        self.failures = meter.create_counter("sora2.failures", "{failure}", "What went wrong, by the error's class.")
        self.downloaded = meter.create_counter("sora2.download.io", "By", "Bytes of the videos that were saved.")
        self.cost = meter.create_counter("sora2.tasks.cost", "1", "What tasks have cost, where the service tells.")
        self.waits = meter.create_up_down_counter("sora2.waits.open", "{wait}", "Waits for a video that are open.")
        self.task_seconds = meter.create_histogram(
            "sora2.task.duration",
            "s",
            "From the order to the end, as it was seen here.",
            explicit_bucket_boundaries_advisory=_TASK_BOUNDS,
        )
        self.call_seconds = meter.create_histogram(
            "mcp.server.operation.duration",
            "s",
            "Tool calls, from the request to the answer.",
            explicit_bucket_boundaries_advisory=_CALL_BOUNDS,
        )
        self.readings: set[Reading] = set()
        meter.create_observable_gauge(
            "sora2.tasks.unfinished", [self._unfinished], "{task}", "Tasks of the whole store that have not ended."
        )

    def _unfinished(self, _options: object) -> Iterator[Any]:
        from opentelemetry.metrics import Observation  # noqa: PLC0415 - as above

        for reading in list(self.readings):
            value = reading.asked()
            if value is not None:
                yield Observation(value, {"sora2.service": reading.service})


@cache
def instruments() -> Instruments:
    """Those of this process, made when something is counted for the first time."""
    return Instruments()
