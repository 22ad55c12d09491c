"""Addresses of our own that open one thing for a time: all they say is in them, signed."""

import base64
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from secrets import token_bytes

from sora2_mcp.clock import Clock

_SIGNATURE_BYTES = 16
_STEPS = 24


class SignedTokens:
    """Tokens for paths: each stands for one text until it expires. They cannot be guessed, nor changed.

    The first key signs, all are taken, so replicas with the same keys open each other's tokens; without keys only this
    process opens its own. ``purpose`` keeps tokens of one kind from being taken for another.
    """

    def __init__(self, keys: Sequence[bytes], *, purpose: bytes, lasting: timedelta, clock: Clock) -> None:
        # Those of the settings may be longer than the algorithm takes.
        self._keys = [blake2b(key, digest_size=32).digest() for key in keys or [token_bytes(32)]]
        self._purpose = purpose
        self._lasting_seconds = lasting.total_seconds()
        self._clock = clock

    @property
    def until(self) -> datetime:
        """The end of a token that is made now: after ``lasting``, or a little earlier.

        It is rounded down, so that for a while it is the same token again: a page that shows a video anew does not load
        it anew.
        """
        step = self._lasting_seconds / _STEPS
        end = (self._clock.now().timestamp() + self._lasting_seconds) // step * step
        return datetime.fromtimestamp(int(end), UTC)

    def token(self, text: str) -> str:
        """A token for this text, good until ``until``."""
        signed = f"{int(self.until.timestamp())} {text}".encode()
        return _spelled(self._signature(self._keys[0], signed) + signed)

    def opened(self, token: str) -> str:
        """The text that a token stands for; empty where it is none of ours, or too old."""
        try:
            raw = base64.urlsafe_b64decode(token.encode() + b"==")
            given, signed = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
            # One token has one spelling: base64 would take others, with marks between its letters for example.
            is_ours = _spelled(raw) == token and self._is_signed(given, signed)
            until, _, text = signed.decode().partition(" ")
            return text if is_ours and self._clock.now() < datetime.fromtimestamp(int(until), UTC) else ""
        except (ValueError, OverflowError, OSError):
            return ""

    def _is_signed(self, given: bytes, signed: bytes) -> bool:
        return any(hmac.compare_digest(given, self._signature(key, signed)) for key in self._keys)

    def _signature(self, key: bytes, signed: bytes) -> bytes:
        return blake2b(signed, key=key, digest_size=_SIGNATURE_BYTES, person=self._purpose).digest()


def _spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
