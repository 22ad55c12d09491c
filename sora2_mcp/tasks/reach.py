"""Where the download of a video may go: over http(s), to public addresses, to where the API itself is, and to the
networks that are allowed in so many words (``SORA2_DOWNLOAD_NETWORKS``).

Every connection, the first and one for each redirect, is made to an address that was checked itself, so a name that
changes its address in between wins nothing. With a proxy in the environment it is the proxy that looks names up and
decides where they may lead; addresses written out and names of this computer are refused before it is asked.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import anyio
import httpx2

from sora2_mcp.domain.configured import Network
from sora2_mcp.errors import quoted

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
_PORTS = range(1, 65_536)
_OPEN_6 = IPv6Network("2000::/3")
_CLOSED_6 = (IPv6Network("2001::/23"), IPv6Network("2001:db8::/32"), IPv6Network("3fff::/20"))
_COMPATIBLE = IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")


class RefusedAddressError(httpx2.RequestError):
    """A download would have gone where none may go; the message is the reason, a sentence about the video."""


class NotPublicError(RefusedAddressError):
    """It would have gone to an address that is not public and not allowed."""


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


class Reach:
    """The rule itself, for one API base."""

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
