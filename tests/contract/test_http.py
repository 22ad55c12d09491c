"""The few private names of httpx2 that we need: a release that moves one fails here, by name."""

import inspect

import httpcore2
import httpx2

from sora2_mcp.tasks.ssrf import GuardedBackend, files_client


def test_the_pool_still_makes_its_connections_with_the_network_it_holds() -> None:
    transport = files_client("http://127.0.0.1")._transport

    assert isinstance(transport, httpx2.AsyncHTTPTransport)
    assert isinstance(transport._pool, httpcore2.AsyncConnectionPool)
    assert isinstance(transport._pool._network_backend, GuardedBackend)
    made = transport._pool.create_connection(httpcore2.Origin(b"https", b"cdn.example.com", 443))
    assert isinstance(made, httpcore2.AsyncHTTPConnection)
    assert made._network_backend is transport._pool._network_backend


def test_the_environments_proxies_are_still_put_beside_that_transport() -> None:
    source = inspect.getsource(httpx2.AsyncClient._transport_for_url)

    assert "return self._transport if transport is None else transport" in source


def test_every_redirect_still_passes_the_hooks() -> None:
    source = inspect.getsource(httpx2.AsyncClient._send_handling_redirects)

    assert source.index("while True:") < source.index('for hook in self._event_hooks["request"]:')
