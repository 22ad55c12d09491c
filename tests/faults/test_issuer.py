"""A host of an issuer's keys that sends one byte after another holds no thread for as long as it likes."""

from contextlib import suppress

import anyio
import pytest
from anyio.abc import SocketStream
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from sora2_mcp.server.web.auth import IssuedTokens, IssuerKeys
from tests.clocks import PATIENCE_SECONDS, FakeClock
from tests.server.issuers import AUDIENCE, HEAD, ISSUER, answering, made

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", HEAD + b"\r\n"], ids=["head", "body"])
async def test_a_thread_that_reads_an_answer_that_drips_ends_after_its_time(clock: FakeClock, head: bytes) -> None:
    begun, broken_off, outcome = anyio.Event(), anyio.Event(), []

    async def drip(stream: SocketStream) -> None:
        await stream.send(head)
        begun.set()
        with suppress(anyio.BrokenResourceError):
            while True:
                await stream.send(b" ")
                await anyio.sleep(0.05)
        broken_off.set()

    async with answering(drip) as url, anyio.create_task_group() as group:
        verifier = IssuedTokens(issuer=ISSUER, audience=AUDIENCE, keys=IssuerKeys(url, clock))

        async def ask() -> None:
            outcome.append(await verifier.verify_token(made(generate_private_key(65537, 2048))))

        group.start_soon(ask)
        with anyio.fail_after(PATIENCE_SECONDS):
            await begun.wait()
            await clock.advance(4.9)
            assert outcome == []
            await clock.advance(0.1)
            assert outcome == [None]
            # The thread is not left behind for as long as the host likes.
            await broken_off.wait()
