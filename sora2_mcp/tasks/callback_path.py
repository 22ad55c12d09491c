"""The unguessable paths on which the service calls back: each names one order, and only its hash is kept."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass, field
from hashlib import blake2b, sha256

CALLBACK_FOLDER = "callbacks"
"""The paths are ``/callbacks/<secret>`` below the public address."""

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
    """Makes paths below ``public_url`` and knows its own again by a mark made with ``key``.

    So what is posted to any other path costs no look into the store.
    """

    def __init__(self, public_url: str, key: bytes) -> None:
        self._public_url = public_url.rstrip("/")
        self._key = key

    def new(self) -> CallbackPath:
        """A path nobody can guess (144 random bits); the empty one without a public address."""
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
    """What is kept of a secret: there is too much chance in it to be found from its hash."""
    return sha256(secret.encode()).hexdigest()
