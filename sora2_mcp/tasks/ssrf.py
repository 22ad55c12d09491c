"""The SSRF guard. A video is fetched over http(s) only, to public addresses, to where the API itself is, and to the
networks that are allowed in so many words (``SORA2_DOWNLOAD_NETWORKS``).

Every connection, the first and one for each redirect, is made to an address that was checked itself, so a name that
changes its address in between wins nothing. With a proxy in the environment it is the proxy that looks names up and
decides where they may lead; addresses written out and names of this computer are refused before it is asked.

Importing this takes as long as httpcore2 does, so it is left until the handshake is over.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import anyio
import httpcore2
import httpx2

from sora2_mcp.domain.configured import Network
from sora2_mcp.services.exchange import leave_others_their_turn, refuse_nested_codings
from sora2_mcp.services.proxies import proxied_client
from sora2_mcp.services.tls import TLSContext
from sora2_mcp.tasks.fetch import KEYED, NotPublicError, RefusedAddressError
from sora2_mcp.words import quoted

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[list[str]]]
"""A host's addresses, best first; an ``OSError`` when it has none."""

# Source: https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry. Written out
# because what Python's is_global says depends on its version.
_CLOSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "168.63.129.16/32",  # Azure's own services for the machine it runs on, at a public address
        ),
    )
)  # fmt: skip
_MAX_REDIRECTS = 5
_PORTS = range(1, 65_536)
_OPEN_6 = IPv6Network("2000::/3")
_CLOSED_6 = (IPv6Network("2001::/23"), IPv6Network("2001:db8::/32"), IPv6Network("3fff::/20"))
_COMPATIBLE = IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")


def is_open(address: Address, networks: tuple[Network, ...] = ()) -> bool:
    """Whether a download may go there: it is public, or in one of the networks that are allowed.

    An address that carries others is open if all of those are.
    """
    if any(address in network for network in networks):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_4)
    if carried := _carried(address):
        return all(is_open(each, networks) for each in carried)
    return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)


def _carried(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses inside a mapped, 6to4, Teredo, compatible or NAT64 one."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _COMPATIBLE or address in _NAT64:
        return (IPv4Address(address.packed[-4:]),)
    return ()


async def resolved(host: str) -> list[str]:
    """What the system's resolver says."""
    found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class SSRFGuard:
    """Says which addresses may be connected to, for one API base."""

    def __init__(self, api_host: str, resolve: Resolve, networks: tuple[Network, ...] = ()) -> None:
        """``api_host`` is empty where not even the API's own addresses may be reached."""
        self._api_host = api_host
        self._resolve = resolve
        self._networks = networks

    async def addresses(self, host: str) -> list[Address]:
        """The addresses of a host that may be connected to, best first; never empty.

        Raises:
            RefusedAddressError: it has none of those. OSError: it has no address at all.
        """
        return await self._allowed([ipaddress.ip_address(each) for each in await self._resolve(host)])

    async def check(self, request: httpx2.Request) -> None:
        """Refuses what is known to be wrong before anything is sent, through a proxy too."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise RefusedAddressError(f"its address leads to {quoted(url.scheme)}, which is not http or https.")
        if url.port is not None and url.port not in _PORTS:
            raise RefusedAddressError("its address names a port that there is not.")
        written = written_out(url.raw_host.decode("ascii"))
        if written:
            await self._allowed(written)

    async def _allowed(self, found: list[Address]) -> list[Address]:
        if all(is_open(address, self._networks) for address in found):
            return found
        own = await self._own()
        allowed = [address for address in found if address in own or is_open(address, self._networks)]
        if not allowed:
            place = str(found[0]).partition("%")[0]
            raise NotPublicError(f"its address leads to {place}, which is not public.")
        return allowed

    async def _own(self) -> set[Address]:
        """Where the API is at this moment."""
        if not self._api_host:
            return set()
        try:
            return {ipaddress.ip_address(each) for each in await self._resolve(self._api_host)}
        except OSError:
            return set()


def written_out(host: str) -> list[Address]:
    """The addresses that a host's very spelling means, in short and numeric forms too; none for other names."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return [IPv4Address("127.0.0.1"), IPv6Address("::1")]
    try:
        return [ipaddress.ip_address(name)]
    except ValueError:
        pass
    try:
        return [IPv4Address(socket.inet_aton(name))]
    except OSError:
        return []


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to checked addresses only. A certificate is still compared with the host's name."""

    def __init__(self, guard: SSRFGuard, network: httpcore2.AsyncNetworkBackend) -> None:
        self._guard = guard
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
                return await self._guard.addresses(host)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error


class _NoBody(httpx2.AsyncByteStream):
    """Takes the place of a body that is not needed; closing it closes that one."""

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
    guard = SSRFGuard(httpx2.URL(base_url).raw_host.decode("ascii") if reaches_api else "", resolve, networks)
    tls = tls or TLSContext()
    client = proxied_client(
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        verify=tls,
        transport=transport,
        event_hooks={
            "request": [guard.check, KeyHolder(key).add, tls.prepare],
            "response": [_leave_unread, refuse_nested_codings, leave_others_their_turn],
        },
    )
    if transport is not None:
        return client
    # httpx2 has no public way to a transport's network, and a transport passed in would switch off the environment's
    # proxies: until it has, the one it made is changed.
    made = client._transport  # noqa: SLF001
    assert isinstance(made, httpx2.AsyncHTTPTransport)  # noqa: S101 - none was passed in
    made._pool._network_backend = GuardedBackend(guard, network or httpcore2.AnyIOBackend())  # noqa: SLF001
    return client
