"""TLS for the HTTP clients, prepared when the first https address is spoken to."""

import os
import re
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread
import httpx2

from sora2_mcp.settings import certificate_source
from sora2_mcp.words import quoted

_HASHED = re.compile(r"[0-9a-fA-F]{8}\.\d+")
"""What OpenSSL looks for in a folder: ``openssl rehash`` gives such names."""

_NONE = "it holds no certificates"


class CAFileError(httpx2.ConnectError):
    """The certificate authorities to trust cannot be read; the text names the variable and the path."""


class TLSContext(ssl.SSLContext):
    """Trusts what the machine trusts. One serves all clients; each of them awaits ``prepare`` before a request."""

    def __new__(cls) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self) -> None:
        self._prepared: ssl.SSLContext | None = None
        self._preparing = anyio.Lock()

    async def prepare(self, request: httpx2.Request) -> None:
        """An event hook: reads the certificates, once and in a thread, if the request needs them.

        Raises:
            CAFileError: they cannot be read; the next request tries again.
        """
        # Reading the machine's certificates takes 20 to 50 ms: not on the event loop, and not for plain HTTP.
        if request.url.scheme != "https":
            return
        # Requests that start together wait for one reading.
        async with self._preparing:
            if self._prepared is None:
                self._prepared = await anyio.to_thread.run_sync(trusting)

    # These two are all that httpcore2 and anyio call of a context.
    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        self._ready().set_alpn_protocols(alpn_protocols)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._ready().wrap_bio(*arguments, **options)

    def _ready(self) -> ssl.SSLContext:
        if self._prepared is None:
            raise RuntimeError("prepare() is no event hook of this client")
        return self._prepared


def trusting() -> ssl.SSLContext:
    """A context that trusts what the environment names, else what the machine trusts.

    Raises:
        CAFileError: that cannot be read, or is no certificate.
    """
    return _read(*certificate_source(), httpx2.create_ssl_context)


def check_authorities(variable: str, path: Path) -> None:
    """Reads what a variable is to name; nothing is trusted yet.

    Raises:
        CAFileError: that cannot be read, or is no certificate.
    """
    file = path if variable == "SSL_CERT_FILE" else None
    _read(variable, path, partial(ssl.create_default_context, cafile=file))


def _read(variable: str, path: Path, read: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    place = f"{variable} names {quoted(str(path))}, which" if variable else "this machine's list of authorities"
    try:
        # OpenSSL accepts a folder without certificates, and then trusts no server.
        if variable == "SSL_CERT_DIR" and not _holds_certificates(path):
            raise CAFileError(f"{place} cannot be used ({_NONE}; `openssl rehash` gives them the names it looks for)")
        return read()
    except OSError as error:
        reason = _NONE if isinstance(error, ssl.SSLError) else error.strerror
        raise CAFileError(f"{place} cannot be used ({reason})") from error


def _holds_certificates(path: Path) -> bool:
    folders = [Path(folder) for folder in str(path).split(os.pathsep)]
    # In a list a folder may be missing.
    there = folders if len(folders) == 1 else filter(Path.is_dir, folders)
    return any(_HASHED.fullmatch(entry.name) for folder in there for entry in folder.iterdir())
