"""Callbacks of the service: unguessable paths, each of one order, and what a call on one leads to.

Anybody may post anything, so a callback is a hint and never the truth: it makes its order's task due.
"""

import base64
import hmac
import logging
import re
import secrets
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b, sha256

import anyio

from sora2_mcp.domain.task import Task
from sora2_mcp.errors import Sora2Error, StoreError
from sora2_mcp.tasks.background import Runs
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.polling import Polling
from sora2_mcp.telemetry.context import bind_task
from sora2_mcp.telemetry.spans import CALLBACK, count_outcome, set_outcome, traced

logger = logging.getLogger(__name__)

CALLBACK_FOLDER = "callbacks"
"""The paths are ``/callbacks/<secret>`` below the public address."""

PENDING_LIMIT = 2000
"""The most callbacks that wait for a store that is slow; what comes beyond is left to the poller."""

_WRITES_AT_ONCE = 2
_PAUSES_SECONDS = (1.0, 4.0, 15.0)
_RANDOM_BYTES = 18
_MARK_BYTES = 12
_SECRET = re.compile(r"[A-Za-z0-9_-]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackPath:
    """Where the service is to call back about one order; the empty one means not at all."""

    url: str = field(default="", repr=False)
    hash: str = ""


NO_CALLBACK = CallbackPath()


class CallbackPaths:
    """Makes paths below ``public_url`` and recognises its own by a mark made with ``key``.

    So what is posted to any other path costs no access to the store.
    """

    def __init__(self, public_url: str, key: bytes) -> None:
        self._public_url = public_url.rstrip("/")
        self._key = key

    def new(self) -> CallbackPath:
        """A path with 144 random bits; the empty one without a public address."""
        if not self._public_url:
            return NO_CALLBACK
        chance = secrets.token_bytes(_RANDOM_BYTES)
        secret = base64.urlsafe_b64encode(chance + self._mark(chance)).decode()
        return CallbackPath(url=f"{self._public_url}/{CALLBACK_FOLDER}/{secret}", hash=callback_hash(secret))

    def is_authentic(self, text: str) -> bool:
        """Whether it is a secret that was made with this key."""
        if not _SECRET.fullmatch(text):
            return False
        secret = base64.urlsafe_b64decode(text)
        return hmac.compare_digest(secret[_RANDOM_BYTES:], self._mark(secret[:_RANDOM_BYTES]))

    def _mark(self, chance: bytes) -> bytes:
        return blake2b(chance, key=self._key, digest_size=_MARK_BYTES).digest()


def callback_hash(secret: str) -> str:
    """What is stored of a secret. The secret has too much entropy to be found from it."""
    return sha256(secret.encode()).hexdigest()


class Callbacks:
    """Writes hints to the store, in the background, at most one at a time for each order."""

    def __init__(self, core: Core, polling: Polling, paths: CallbackPaths, stopping: anyio.Event) -> None:
        self._core = core
        self._polling = polling
        self._paths = paths
        self._stopping = stopping
        self._writes = Runs[Task | None](core.group, "a callback")
        self._turns = anyio.Semaphore(_WRITES_AT_ONCE)
        self._written: set[str] = set()

    @property
    def pending(self) -> int:
        """How many callbacks wait for the store."""
        return len(self._writes)

    async def received(self, secret: str, said_id: str = "") -> bool:
        """Whether the path is one of ours; True also where that is not known yet. The look is made afterwards.

        ``said_id``: the task the callback says it is about. Cancelling takes nothing back.
        """
        if not self._paths.is_authentic(secret):
            return False
        if self._stopping.is_set():
            return True
        hash = callback_hash(secret)
        # Only calls that say the same are the same.
        key = f"{hash} {said_id}"
        while key in self._written and (run := self._writes.get(key)) is not None:
            # Its hint may have been taken by a look already, which this callback must not count on.
            await run.done.wait()
        if self._writes.get(key) is not None:
            count_outcome(CALLBACK, "joined")
        elif len(self._writes) >= PENDING_LIMIT:
            count_outcome(CALLBACK, "dropped")
            return True
        try:
            return await self._writes.join(key, partial(self._take_in, key, hash, said_id)).result() is not None
        except Sora2Error:
            return True

    async def _take_in(self, key: str, hash: str, said_id: str) -> Task | None:
        with traced(CALLBACK):
            try:
                order = await self._write_hint(key, hash, said_id)
            except StoreError as error:
                logger.warning("a callback is lost because the task store does not work: %s", error)
                raise
            finally:
                self._written.discard(key)
            if order is None:
                set_outcome("unknown")
                return None
            bind_task(order)
            set_outcome("followed" if order.may_change else "ended_before")
            if not self._core.schedule.called_back:
                logger.info("callbacks arrive, so tasks that have one are looked at less often")
                self._core.schedule.called_back = True
            if order.may_change and (order.task_id or said_id):
                self._polling.look_soon(order)
        return order

    async def _write_hint(self, key: str, hash: str, said_id: str) -> Task | None:
        for pause in (*_PAUSES_SECONDS, None):
            async with self._turns:
                self._written.add(key)
                try:
                    return await self._core.store.hint(hash, said_id)
                except StoreError as error:
                    if pause is None:
                        raise
                    logger.debug("a callback could not be noted, and is tried again: %s", error)
            self._written.discard(key)
            await self._core.clock.sleep(pause)
        return None
