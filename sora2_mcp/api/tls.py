"""TLS for the HTTP clients, prepared when the first https address is spoken to."""

import ssl
from typing import Any, Self

import anyio
import anyio.to_thread
import httpx2


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
        """An event hook: reads the certificates, once and in a thread, if the request needs them."""
        if request.url.scheme != "https":
            return
        async with self._preparing:
            if self._prepared is None:
                self._prepared = await anyio.to_thread.run_sync(httpx2.create_ssl_context)

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        self._ready().set_alpn_protocols(alpn_protocols)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._ready().wrap_bio(*arguments, **options)

    def _ready(self) -> ssl.SSLContext:
        if self._prepared is None:
            raise RuntimeError("prepare() is no event hook of this client")
        return self._prepared
