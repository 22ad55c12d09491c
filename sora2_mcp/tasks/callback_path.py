"""The unguessable paths on which the service calls back: each names one order, and only its hash is kept."""

import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

CALLBACK_FOLDER = "callbacks"
"""The paths are ``/callbacks/<secret>`` below the public address."""

_RANDOM_BYTES = 24
_SECRET = re.compile(r"[A-Za-z0-9_-]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackPath:
    """Where the service is to call back about one order; the empty one means not at all."""

    url: str = field(default="", repr=False)
    hash: str = ""


NO_CALLBACK = CallbackPath()


def new_callback_path(public_url: str) -> CallbackPath:
    """A path nobody can guess (192 random bits), below ``public_url``."""
    secret = secrets.token_urlsafe(_RANDOM_BYTES)
    return CallbackPath(url=f"{public_url.rstrip('/')}/{CALLBACK_FOLDER}/{secret}", hash=callback_hash(secret))


def may_be_secret(text: str) -> bool:
    """Whether it has the shape of what ``new_callback_path`` makes; anything else need not be looked for."""
    return _SECRET.fullmatch(text) is not None


def callback_hash(secret: str) -> str:
    """What is kept of a secret: there is too much chance in it to be found from its hash."""
    return sha256(secret.encode()).hexdigest()
