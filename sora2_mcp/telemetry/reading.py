"""A number that takes a question to find out, for those who ask for it from another thread and cannot wait."""

import threading
from contextlib import suppress

import anyio
from anyio.from_thread import BlockingPortal


class Reading:
    """Holds a number of one service as it was read last; it is read again only after somebody has asked.

    ``portal``: into the event loop of those who read it, which makes this.
    """

    def __init__(self, service: str, portal: BlockingPortal) -> None:
        self.service = service
        self.value: int | None = None
        self._portal = portal
        self._thread = threading.get_ident()
        self._wanted = anyio.Event()

    def asked(self) -> int | None:
        """The number, None where it was not read yet; and a wish that it be read again. From any thread."""
        value = self.value
        if threading.get_ident() == self._thread:
            self._wanted.set()
        else:
            # Those who read it may have just ended.
            with suppress(RuntimeError):
                self._portal.start_task_soon(self._want)
        return value

    async def wanted(self) -> None:
        """Returns once somebody has asked since the last time."""
        await self._wanted.wait()
        self._wanted = anyio.Event()

    def _want(self) -> None:
        self._wanted.set()
