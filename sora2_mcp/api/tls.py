"""TLS for the HTTP clients, prepared when the first https address is spoken to."""

import ssl
from typing import Any, Self

import anyio
import anyio.to_thread
import httpx2

from sora2_mcp.errors import quoted
from sora2_mcp.settings import certificate_source


class CAFileError(httpx2.ConnectError):
    """The certificate authorities to trust cannot be read; the text names the variable and the path."""


class TLSContext(ssl.SSLContext):
    """Trusts what the machine trusts. One serves all clients; each of them awaits ``prepare`` before a request.

    Reading the machine's certificates takes 20 to 50 ms: not on the event loop, and not for plain HTTP.
    """

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
        if request.url.scheme != "https":
            return
        async with self._preparing:
            if self._prepared is None:
                self._prepared = await anyio.to_thread.run_sync(_trusting)

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        self._ready().set_alpn_protocols(alpn_protocols)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._ready().wrap_bio(*arguments, **options)

    def _ready(self) -> ssl.SSLContext:
        if self._prepared is None:
            raise RuntimeError("prepare() is no event hook of this client")
        return self._prepared


def _trusting() -> ssl.SSLContext:
    variable, path = certificate_source()
    try:
        if variable == "SSL_CERT_DIR":
            # OpenSSL says nothing of a folder that is not there, and then trusts nobody.
            next(path.iterdir(), None)
        return httpx2.create_ssl_context()
    except OSError as error:
        place = f"{variable} names {quoted(str(path))}, which" if variable else "this machine's list of authorities"
        reason = "it holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise CAFileError(f"{place} cannot be used ({reason})") from error
