"""The way of our requests: through the proxies that the environment names, and past them to this machine itself."""

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
    """A variable names a proxy in a way that cannot be used. The text never holds its value, which may be a secret."""


class NoCookies(CookieJar):
    """Takes none in: a host could send thousands, which takes long to read, and fill up what is sent to others."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Nothing."""


def proxied_client(*, headers: Mapping[str, str] | None = None, **options: Any) -> httpx2.AsyncClient:
    """An HTTP client with these options and our user agent.

    Where a variable cannot be used, every request to another machine raises ``ProxySettingError``: what needs no
    network works all the same.
    """
    read_in_linear_time()
    direct = dict.fromkeys(_LOOPBACK)
    options |= {"headers": {"user-agent": USER_AGENT, **(headers or {})}, "cookies": NoCookies()}
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
    """Whether requests to it go through a proxy, which then is the one that looks its name up."""
    client = proxied_client(verify=TLSContext())
    # httpx2 has no public way to ask which of its transports it would take: until it has, this is the one.
    return client._transport_for_url(httpx2.URL(url)) is not client._transport  # noqa: SLF001


def unusable_proxy() -> str:
    """The variable whose proxy httpx2 would not take, empty where it takes all."""
    for variable, value in environment_proxies().items():
        try:
            port = httpx2.Proxy(value if "://" in value else f"http://{value}").url.port
        except (ValueError, httpx2.InvalidURL):
            return variable
        if port is not None and port not in _PORTS:
            return variable
    return ""
