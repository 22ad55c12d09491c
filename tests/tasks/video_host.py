"""A video's host that answers as a test tells it, and whoever saves from it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sora2_mcp.domain.task import SavedFile
from sora2_mcp.errors import DownloadError
from sora2_mcp.services.exchange import leave_others_their_turn
from sora2_mcp.tasks.fetch import fetch
from tests.clocks import FakeClock

URL = "https://cdn.example.com/x.mp4"
START = b"\0\0\0\x10ftypmp42\0\0\0\0" + b"\0\0\0\x08moov"
FRAMES = bytes(range(256)) * 4000
MP4 = START + (8 + len(FRAMES)).to_bytes(4, "big") + b"mdat" + FRAMES
"""A whole one, of three pieces and a bit, as they are read."""


class Pieces(httpx2.AsyncByteStream):
    """A body that comes in pieces, counts them, and may break."""

    def __init__(self, pieces: Iterable[bytes], fault: Exception | None = None) -> None:
        self.given = 0
        self._pieces, self._fault = pieces, fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.given += 1
            yield piece
        if self._fault is not None:
            raise self._fault


class PassingClock(FakeClock):
    """Time that passes as soon as somebody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.advance(seconds)


Answer = httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response | Awaitable[httpx2.Response]]


class Host:
    """Saves what its answers bring, and keeps what the caller was told on the way."""

    def __init__(self, folder: Path) -> None:
        self.part = folder / ".x.part"
        self.clock = PassingClock()
        self.told: list[tuple[int, int | None]] = []
        self.requests: list[httpx2.Request] = []

    async def fetched(self, *answers: Answer, url: str = URL, limit_bytes: int = 10_000_000) -> SavedFile:
        """Gives these answers in turn, the last one to every request after."""

        async def respond(request: httpx2.Request) -> httpx2.Response:
            self.requests.append(request)
            answer = answers[min(len(self.requests), len(answers)) - 1]
            if isinstance(answer, Exception):
                raise answer
            given = answer if isinstance(answer, httpx2.Response) else answer(request)
            return given if isinstance(given, httpx2.Response) else await given

        async def progress(received: int, total: int | None) -> None:
            self.told.append((received, total))

        hooks: dict[str, list[Any]] = {"response": [leave_others_their_turn]}
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(respond), event_hooks=hooks) as http:
            return await fetch(
                http,
                url=url,
                part=self.part,
                task_id="t1",
                limit_bytes=limit_bytes,
                clock=self.clock,
                progress=progress,
            )

    async def problem(self, *answers: Answer, url: str = URL, limit_bytes: int = 10_000_000) -> DownloadError:
        with pytest.raises(DownloadError) as raised:
            await self.fetched(*answers, url=url, limit_bytes=limit_bytes)
        assert raised.value.hint
        return raised.value

    @property
    def asked(self) -> list[str | None]:
        """The range of every request; None where the whole file was asked for."""
        return [request.headers.get("range") for request in self.requests]


def pieces_of(content: bytes, size: int = 1000) -> Pieces:
    return Pieces([content[start : start + size] for start in range(0, len(content), size)])
