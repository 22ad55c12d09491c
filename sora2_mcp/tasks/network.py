"""The client that videos are fetched with: it connects within its reach only.

Importing this takes as long as httpcore2 does, so it is left until the handshake is over.
"""

from collections.abc import AsyncIterator, Iterable

import anyio
import httpcore2
import httpx2

from sora2_mcp.domain.configured import Network
from sora2_mcp.services.exchange import leave_others_their_turn, refuse_nested_codings
from sora2_mcp.services.proxies import proxied_client
from sora2_mcp.services.tls import TLSContext
from sora2_mcp.tasks.fetch import KEYED
from sora2_mcp.tasks.reach import Address, Reach, Resolve, resolved

_MAX_REDIRECTS = 5


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to checked addresses only. A certificate is still compared with the host's name."""

    def __init__(self, reach: Reach, network: httpcore2.AsyncNetworkBackend) -> None:
        self._reach = reach
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._addresses(host, timeout)
        # One that swallows what is sent to it must leave time for the others.
        each_seconds = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(str(address), port, each_seconds, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._network.connect_tcp(str(addresses[-1]), port, each_seconds, local_address, socket_options)

    async def _addresses(self, host: str, limit_seconds: float | None) -> list[Address]:
        try:
            with anyio.fail_after(limit_seconds):
                return await self._reach.addresses(host)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error


class _NoBody(httpx2.AsyncByteStream):
    """In place of a body that nobody wants; closing it closes that one."""

    def __init__(self, unread: httpx2.AsyncByteStream) -> None:
        self._unread = unread

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in tuple[bytes, ...]():
            yield piece

    async def aclose(self) -> None:
        await self._unread.aclose()


async def _leave_unread(response: httpx2.Response) -> None:
    """A redirect's body would be read whole before it is followed, however long it is."""
    if response.has_redirect_location and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _NoBody(response.stream)


class KeyHolder:
    """Adds the service's key to requests for the one address that it was asked to, and to no other.

    A redirect leads elsewhere, so it never carries the key, wherever it leads.
    """

    def __init__(self, key: str) -> None:
        self._key = key

    async def add(self, request: httpx2.Request) -> None:
        """An event hook."""
        request.headers.pop("authorization", None)
        if self._key and request.extensions.get(KEYED) == str(request.url):
            request.headers["authorization"] = f"Bearer {self._key}"


def files_client(
    base_url: str,
    *,
    key: str = "",
    reaches_api: bool = True,
    networks: tuple[Network, ...] = (),
    resolve: Resolve = resolved,
    network: httpcore2.AsyncNetworkBackend | None = None,
    tls: TLSContext | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """For videos: within its reach, and past any proxy where the simulator serves them.

    The ``key`` goes along only where a request asks for it by its ``KEYED`` extension. Not ``reaches_api``: what others
    name, and not the service, is fetched, so whatever else is on the API's machine is out of reach.

    ``networks`` are not public and allowed all the same.

    A ``transport`` takes the network's place: addresses that are written out are still checked, names are not resolved.

    Requests raise ``RefusedAddressError`` when they, or where they are redirected to, may not go there.
    """
    reach = Reach(httpx2.URL(base_url).raw_host.decode("ascii") if reaches_api else "", resolve, networks)
    tls = tls or TLSContext()
    client = proxied_client(
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        verify=tls,
        transport=transport,
        event_hooks={
            "request": [reach.check, KeyHolder(key).add, tls.prepare],
            "response": [_leave_unread, refuse_nested_codings, leave_others_their_turn],
        },
    )
    if transport is not None:
        return client
    # httpx2 has no public way to a transport's network, and a transport passed in would switch off the environment's
    # proxies: until it has, the one it made is changed.
    made = client._transport  # noqa: SLF001
    assert isinstance(made, httpx2.AsyncHTTPTransport)  # noqa: S101 - none was passed in
    made._pool._network_backend = CheckedBackend(reach, network or httpcore2.AnyIOBackend())  # noqa: SLF001
    return client
