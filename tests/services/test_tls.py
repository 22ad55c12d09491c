"""The machine's certificates: read for https only, once, and as the environment names them."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest

from sora2_mcp.services.client import http_client
from sora2_mcp.services.tls import CAFileError, TLSContext
from tests.certificates import HOST, self_signed

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def answering(context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers whatever it is sent; gives its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0, ssl=context)
    async with server:
        yield f"{'https' if context else 'http'}://{HOST}:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return self_signed(tmp_path)


@pytest.fixture
async def https(certificate: Path) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with answering(context) as url:
        yield url


def rehashed(folder: Path, certificate: Path) -> str:
    """A folder that OpenSSL finds the certificate in."""
    shelf = folder / "shelf"
    shelf.mkdir()
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(certificate)]
    (shelf / f"{subprocess.check_output(command, text=True).strip()}.0").write_bytes(certificate.read_bytes())
    return str(shelf)


async def got(tls: TLSContext, url: str) -> str:
    async with http_client(key="", tls=tls) as http:
        return (await http.get(url)).text


async def test_plain_http_reads_no_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    tls = TLSContext()

    async with answering() as http:
        assert await got(tls, http) == "ok"
    with pytest.raises(
        CAFileError, match=r"^SSL_CERT_FILE names .*missing\.pem\", which cannot be used \(No such file"
    ):
        await got(tls, "https://service.example")


async def test_a_folder_that_holds_no_certificates_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    (tmp_path / "company.pem").touch()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    with pytest.raises(CAFileError, match=r"^SSL_CERT_DIR names .* which cannot be used \(it holds no certificates; "):
        await got(TLSContext(), "https://service.example")


@pytest.mark.posix
async def test_of_a_list_of_folders_some_may_be_missing(
    certificate: Path, https: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([f"{tmp_path}/gone", rehashed(tmp_path, certificate)]))

    assert await got(TLSContext(), https) == "ok"


async def test_all_clients_share_what_the_first_https_request_has_read(
    certificate: Path, https: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = TLSContext()

    assert await got(tls, https) == "ok"
    certificate.unlink()
    assert await got(tls, https) == "ok"


@pytest.mark.posix
async def test_the_event_loop_goes_on_while_certificates_are_read(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow.pem"
    os.mkfifo(slow)
    monkeypatch.setenv("SSL_CERT_FILE", str(slow))

    async with anyio.create_task_group() as group:
        group.start_soon(TLSContext().prepare, httpx2.Request("GET", "https://service.example"))
        # Reading a FIFO blocks until it is written to. On the event loop it would block this line for ever.
        await anyio.to_thread.run_sync(slow.write_bytes, certificate.read_bytes())


async def test_a_certificate_that_nobody_vouches_for_is_refused(https: str) -> None:
    with pytest.raises(httpx2.ConnectError, match="self-signed certificate"):
        await got(TLSContext(), https)
