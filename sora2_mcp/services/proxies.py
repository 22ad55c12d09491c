"""Which way requests go: through the proxies that the environment names, and straight to this machine itself."""

from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any

import httpx2

from sora2_mcp import __version__
from sora2_mcp.services.heads import read_in_linear_time
from sora2_mcp.services.tls import TLSContext
from sora2_mcp.settings import environment_proxies

USER_AGENT = f"sora2-mcp/{__version__}"
PROXY = "an address that begins with http://, https://, socks5:// or socks5h://, without quotation marks"
"""What a proxy's variable takes."""

_PORTS = range(1, 65_536)
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")


class ProxySettingError(httpx2.ConnectError):
    """A variable names a proxy that cannot be used. The text never holds its value, which may be a secret."""


class NoCookies(CookieJar):
    """Keeps no cookies."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Ignores the cookies of an answer."""
        # A host could send thousands, which take long to read and fill up later requests.


def proxied_client(*, headers: Mapping[str, str] | None = None, **options: Any) -> httpx2.AsyncClient:
    """An HTTP client with these options and our user agent.

    Where a proxy's variable cannot be used, every request to another machine raises ``ProxySettingError``.
    """
    read_in_linear_time()
    # A proxy cannot reach this machine's own loopback, where the simulator and servers at home listen.
    direct = dict.fromkeys(_LOOPBACK)
    options |= {"headers": {"user-agent": USER_AGENT, **(headers or {})}, "cookies": NoCookies()}
    # Not raised here: what needs no network, such as listing tasks, works all the same.
    if variable := unusable_proxy():
        blocked = {"all://": _Blocked(variable)}
        return httpx2.AsyncClient(mounts={**direct, **blocked}, trust_env=False, **options)
    return httpx2.AsyncClient(mounts=direct, **options)


class _Blocked(httpx2.AsyncBaseTransport):
    def __init__(self, variable: str) -> None:
        self._variable = variable

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise ProxySettingError(f"{self._variable} cannot be used: it must be {PROXY}", request=request)


def is_proxied(url: str) -> bool:
    """Whether requests to this address go through a proxy, which then looks its name up."""
    client = proxied_client(verify=TLSContext())
    # httpx2 has no public way to ask which of its transports it would take: until it has, this is the one.
    return client._transport_for_url(httpx2.URL(url)) is not client._transport  # noqa: SLF001


def unusable_proxy() -> str:
    """The variable whose proxy httpx2 would not take; empty where it takes all."""
    return next((variable for variable, value in environment_proxies().items() if not is_proxy(value)), "")


def is_proxy(value: str) -> bool:
    """Whether httpx2 takes this for a proxy's address."""
    try:
        port = httpx2.Proxy(value if "://" in value else f"http://{value}").url.port
    except (ValueError, httpx2.InvalidURL):
        return False
    # httpx2 takes such a port, and fails with an error that names no variable once it connects.
    return port is None or port in _PORTS
