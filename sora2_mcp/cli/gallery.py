"""``sora2-mcp gallery``: the page of the HTTP server, over this machine's own tasks, in a browser."""

import argparse
import sys
import threading
import webbrowser
from collections.abc import Callable

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.web.serve import serve_http
from sora2_mcp.settings import Settings

_OWN_ONLY = dict.fromkeys(
    ("auth_tokens", "oauth_issuer", "oauth_audience", "oauth_jwks_url", "allowed_hosts", "public_url"), ""
)
"""Settings of a server for others: here nothing but this machine is served, and without a token."""


async def gallery(arguments: argparse.Namespace, ending: Callable[[], None]) -> int:
    """Serves until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: a variable cannot be used, or the port cannot be listened on.
    """
    simulate = {"simulate": True} if arguments.simulate else {}
    runtime = Runtime(Settings.load(**_OWN_ONLY, **simulate))

    def ready(address: str) -> None:
        sys.stdout.write(f"Your videos: {address}/\nEnd it with Ctrl+C.\n")
        sys.stdout.flush()
        if not arguments.no_browser:
            # In a thread that nothing waits for: some browsers return when they are closed.
            threading.Thread(target=webbrowser.open, args=[f"{address}/"], daemon=True).start()

    await serve_http(runtime, "127.0.0.1", arguments.port, ready=ready, ending=ending)
    return 0
