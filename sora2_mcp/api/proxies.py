"""The way of our requests: through the proxies that the environment names, and past them to this machine itself."""

from collections.abc import Mapping
from typing import Any

import httpx2

from sora2_mcp import __version__
from sora2_mcp.settings import environment_proxies

USER_AGENT = f"sora2-mcp/{__version__}"
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")


class ProxySettingError(httpx2.ConnectError):
    """A variable names a proxy in a way that cannot be used. The text never holds its value, which may be a secret."""


def proxied_client(*, headers: Mapping[str, str] | None = None, **options: Any) -> httpx2.AsyncClient:
    """An HTTP client with these options, which says who we are.

    Where a variable cannot be used, every request to another machine raises ``ProxySettingError``: what needs no
    network works all the same.
    """
    direct = dict.fromkeys(_LOOPBACK)
    options["headers"] = {"user-agent": USER_AGENT, **(headers or {})}
    try:
        return httpx2.AsyncClient(mounts=direct, **options)
    except (ValueError, httpx2.InvalidURL):
        blocked = {"all://": _Blocked(_problem())}
        return httpx2.AsyncClient(mounts={**direct, **blocked}, trust_env=False, **options)


class _Blocked(httpx2.AsyncBaseTransport):
    def __init__(self, problem: str) -> None:
        self._problem = problem

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise ProxySettingError(self._problem, request=request)


def _problem() -> str:
    for variable, value in environment_proxies().items():
        try:
            httpx2.Proxy(value if "://" in value else f"http://{value}")
        except (ValueError, httpx2.InvalidURL):
            return (
                f"{variable} cannot be used: it must be an address that begins with http://, https://, socks5:// or "
                "socks5h://, without quotation marks"
            )
    return "NO_PROXY cannot be used: it must be a list of host names and addresses with commas between them"
