"""OAuth issuers: one that serves its keys, hosts that answer by hand, and the tokens they make."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import jwt
from anyio.abc import SocketAttribute, SocketStream
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sora2_mcp.clock import SystemClock
from tests.web import listening

ISSUER, AUDIENCE = "https://id.example/realm", "https://sora.example/mcp"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


class Issuer:
    """Serves its public keys; counts how often they are asked for."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self.asked = 0
        self.status = 200
        self.answers = anyio.Event()
        self.answers.set()
        public: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.keys = [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        async def answer(_: Request) -> JSONResponse:
            self.asked += 1
            await self.answers.wait()
            return JSONResponse({"keys": self.keys}, status_code=self.status)

        async with listening(Starlette(routes=[Route("/keys", answer)])) as base:
            yield f"{base}/keys"


def made(key: Any, *, algorithm: str = "RS256", kid: str | None = "k1", **changes: Any) -> str:
    """A token that is right but for the changes; None takes a claim out."""
    now = SystemClock().now()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "carol", "exp": now + timedelta(minutes=5), **changes}
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@asynccontextmanager
async def answering(answer: Callable[[SocketStream], Any]) -> AsyncIterator[str]:
    """A host whose answers are written by hand."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await answer(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/keys"  # noqa: S610 - no Django
        group.cancel_scope.cancel()
