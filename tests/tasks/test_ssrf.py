"""Where a download may go: real connections on loopback, and a resolver that says what the test wants."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import anyio
import httpcore2
import httpx2
import pytest
from starlette.datastructures import Headers
from starlette.responses import FileResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.domain.configured import networks_in
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.tasks.fetch import RefusedAddressError
from sora2_mcp.tasks.ssrf import files_client, is_open, resolved
from tests.network import NETWORK
from tests.servers import KEY, agent

pytestmark = pytest.mark.anyio

MAPPED = ip_address("::ffff:192.168.0.1")
"""Pythons before 3.13 write it in another way."""

API = "http://127.0.0.1:1/api/v1/sora2"
PUBLIC_API = "https://api.example.com"
PUBLIC = "93.184.215.14"
REACH_HINT = (
    "Next: Give the user the link instead. If a VPN, a proxy program or a company's DNS maps names to such addresses, "
    "ask them to allow that network in SORA2_DOWNLOAD_NETWORKS and to restart the server."
)
LINK_HINT = "Next: Give the user the link instead."
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfile"

CLOSED = [
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.255", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1",
    "198.18.0.1", "168.63.129.16", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
    "fec0::1", "2001:db8::1", "4000::1", "64:ff9b:1::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2001:0:7f00:1:0:0:f5ff:fffe", "2001:0:808:808:0:0:80ff:fffe",
]  # fmt: skip
"""The last one is Teredo with a public server and 127.0.0.1 behind it."""

OPEN = [
    "8.8.8.8", PUBLIC, "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8",
    "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("address", CLOSED)
def test_no_download_goes_to_an_address_that_is_not_public(address: str) -> None:
    assert not is_open(ip_address(address))


async def test_no_download_goes_to_a_port_that_there_is_not() -> None:
    async with files_client(PUBLIC_API) as http:
        with pytest.raises(RefusedAddressError, match="names a port that there is not"):
            await http.get("https://cdn.example.com:99999/x.mp4")


@pytest.mark.parametrize("address", OPEN)
def test_a_public_address_is_one_in_every_spelling(address: str) -> None:
    assert is_open(ip_address(address))


class Names:
    """A resolver: each name's answers, one after the other, the last one for ever; addresses are themselves."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.asked: list[str] = []
        self._answers = {name.replace("_", "."): iter(each) for name, each in answers.items()}
        self._last: dict[str, list[str]] = {}

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        answers: Iterator[list[str]] = self._answers.get(host, iter([]))
        self._last[host] = next(answers, self._last.get(host, []))
        found = self._last[host]
        try:
            return found or [str(ip_address(host))]
        except ValueError:
            raise OSError(f"nobody knows {host}") from None


class Network(httpcore2.AnyIOBackend):
    """Notes where connections go, and makes those to public addresses to a host on loopback instead."""

    def __init__(self, port: int = 0, dead: Iterable[str] = ()) -> None:
        self.connected: list[str] = []
        self._port, self._dead = port, set(dead)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.connected.append(host)
        if host in self._dead:
            raise httpcore2.ConnectError("nobody there")
        if is_open(ip_address(host)):
            host, port = "127.0.0.1", self._port
        return await super().connect_tcp(host, port, timeout, local_address, socket_options)


@dataclass
class Host:
    """A host on loopback, and all it received."""

    port: int = 0
    received: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def host(answer: bytes = OK, address: str = "127.0.0.1") -> AsyncIterator[Host]:
    """Answers everything with ``answer``."""
    it = Host()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        it.received.append(await reader.read(65536))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, address, 0)
    it.port = server.sockets[0].getsockname()[1]
    async with server:
        yield it


def redirect(target: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n".encode()


async def got(url: str, names: Names, network: Network, base_url: str = PUBLIC_API) -> str:
    """What a download of ``url`` brings."""
    async with files_client(base_url, resolve=names, network=network) as client:
        with anyio.fail_after(10):
            return (await client.get(url)).text


async def refusal(url: str, names: Names, network: Network, base_url: str = PUBLIC_API) -> str:
    """The reason why nothing may be downloaded from there."""
    with pytest.raises(RefusedAddressError) as raised:
        await got(url, names, network, base_url)
    return str(raised.value)


async def test_a_public_name_is_looked_up_once_and_connected_to_by_its_address() -> None:
    names = Names(cdn_example_com=[[PUBLIC]])
    async with host() as there:
        network = Network(there.port)
        assert await got("http://cdn.example.com/x.mp4", names, network) == "file"

    assert (names.asked, network.connected) == (["cdn.example.com"], [PUBLIC])
    assert b"host: cdn.example.com\r\n" in there.received[0].lower()


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fe80::1", "::ffff:7f00:1"])
async def test_a_name_that_leads_to_a_closed_address_is_refused(address: str) -> None:
    names, network = Names(cdn_example_com=[[address]], api_example_com=[[PUBLIC]]), Network()

    reason = await refusal("http://cdn.example.com/x.mp4", names, network)

    assert reason == f"its address leads to {ip_address(address)}, which is not public."
    assert network.connected == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_a_network_that_is_allowed_in_so_many_words_is_gone_to_and_no_other(address: str) -> None:
    allowed = networks_in("127.0.0.0/8, fd00::/8")
    names = Names(cdn_example_com=[[address]], other_example_com=[["10.0.0.1"]])
    async with host() as there, files_client(PUBLIC_API, resolve=names, networks=allowed) as client:
        assert (await client.get(f"http://cdn.example.com:{there.port}/x.mp4")).text == "file"
        assert (await client.get(f"http://127.0.0.1:{there.port}/x.mp4")).text == "file"
        with pytest.raises(RefusedAddressError):
            await client.get("http://other.example.com/x.mp4")


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "localhost.", "cdn.localhost", "[::1]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "[fe80::1]", "192.168.0.1", "[fd00:ec2::254]",
        "inside.example.com", "mapped.example.com", "[64:ff9b::a9fe:a9fe]",
    ],
)  # fmt: skip
async def test_a_redirect_to_a_closed_address_is_refused_and_nothing_is_sent_there(place: str) -> None:
    names = Names(
        cdn_example_com=[[PUBLIC]],
        api_example_com=[[PUBLIC]],
        inside_example_com=[["10.1.2.3"]],
        mapped_example_com=[["::ffff:10.1.2.3"]],
    )
    async with host() as closed, host(redirect(f"http://{place}:{closed.port}/x")) as there:
        network = Network(there.port)
        reason = await refusal("http://cdn.example.com/x.mp4", names, network)

    assert reason.startswith("its address leads to ")
    assert reason.endswith(", which is not public.")
    assert (network.connected, closed.received) == ([PUBLIC], [])


@pytest.mark.parametrize("target", ["ftp://cdn.example.com/x.mp4", "file:///etc/passwd", "gopher://127.0.0.1/"])
async def test_a_redirect_to_anything_but_http_is_refused(target: str) -> None:
    names = Names(cdn_example_com=[[PUBLIC]])
    async with host(redirect(target)) as there:
        reason = await refusal("http://cdn.example.com/x.mp4", names, Network(there.port))

    scheme = target.partition(":")[0]
    assert reason == f'its address leads to "{scheme}", which is not http or https.'


async def test_a_redirects_body_is_never_read() -> None:
    names = Names(cdn_example_com=[["127.0.0.1"]])
    async with host() as there:
        endless = redirect(f"http://127.0.0.1:{there.port}/x").replace(b"length: 0", b"length: 999999999")
        async with host(endless) as first:
            assert await got(f"http://cdn.example.com:{first.port}/x.mp4", names, Network(), API) == "file"


async def test_what_one_host_wants_remembered_is_told_to_no_other() -> None:
    names = Names(one_example_com=[[PUBLIC]], other_example_com=[[PUBLIC]])
    asks = OK.replace(b"\r\n", b"\r\nset-cookie: filler=" + b"x" * 4000 + b"; domain=example.com\r\n", 1)
    async with host(asks) as there, files_client(PUBLIC_API, resolve=names, network=Network(there.port)) as client:
        for name in ("one", "other"):
            await client.get(f"http://{name}.example.com/x.mp4")

    assert [b"filler" in sent for sent in there.received] == [False, False]


async def test_a_name_that_changes_its_address_after_the_check_wins_nothing() -> None:
    names = Names(cdn_example_com=[[PUBLIC], ["127.0.0.1"]], api_example_com=[[PUBLIC]])
    async with host() as there, host() as closed:
        network = Network(there.port)
        url = f"http://cdn.example.com:{closed.port}/x.mp4"
        assert await got(url, names, network) == "file"
        assert (names.asked, network.connected, closed.received) == (["cdn.example.com"], [PUBLIC], [])

        await refusal(url, names, network)
    assert (network.connected, closed.received) == ([PUBLIC], [])


async def test_a_name_that_changes_its_address_during_a_redirect_to_itself_is_refused() -> None:
    names = Names(cdn_example_com=[[PUBLIC], ["169.254.169.254"]], api_example_com=[[PUBLIC]])
    async with host(redirect("http://cdn.example.com:8080/x")) as there:
        network = Network(there.port)
        reason = await refusal("http://cdn.example.com/x.mp4", names, network)

    assert reason == "its address leads to 169.254.169.254, which is not public."
    assert network.connected == [PUBLIC]


async def test_of_a_mixed_answer_only_the_public_addresses_are_tried() -> None:
    names = Names(cdn_example_com=[["127.0.0.1", "8.8.8.8", "::1", PUBLIC]], api_example_com=[[PUBLIC]])
    async with host() as there:
        network = Network(there.port, dead=["8.8.8.8"])
        assert await got("http://cdn.example.com/x.mp4", names, network) == "file"

    assert network.connected == ["8.8.8.8", PUBLIC]


async def test_an_address_nobody_answers_at_is_no_refusal() -> None:
    names = Names(cdn_example_com=[["8.8.8.8", PUBLIC]])
    with pytest.raises(httpx2.ConnectError):
        await got("http://cdn.example.com/x.mp4", names, Network(dead=["8.8.8.8", PUBLIC]))


async def test_a_name_nobody_knows_is_no_refusal() -> None:
    with pytest.raises(httpx2.ConnectError):
        await got("http://cdn.example.com/x.mp4", Names(), Network())


@pytest.mark.parametrize("base_url", [API, "http://gateway.example.com/api"])
async def test_the_apis_own_address_is_open_on_any_port(base_url: str) -> None:
    names = Names(gateway_example_com=[["127.0.0.1"]], cdn_example_com=[["127.0.0.1"]])
    async with host() as there:
        for name in ("127.0.0.1", "cdn.example.com"):
            assert await got(f"http://{name}:{there.port}/x", names, Network(), base_url) == "file"


@pytest.mark.parametrize("place", ["127.0.0.2", "[::1]", "10.0.0.1", "[::ffff:127.0.0.1]"])
async def test_only_the_very_address_of_the_api_is_open(place: str) -> None:
    network = Network()
    await refusal(f"http://{place}:1/x", Names(), network, API)
    assert network.connected == []


async def test_where_the_api_is_counts_at_the_moment_of_the_check() -> None:
    names = Names(gateway_example_com=[["127.0.0.1"], [PUBLIC]], cdn_example_com=[["127.0.0.1"]])
    async with (
        host(redirect("http://cdn.example.com:8080/x")) as there,
        files_client("http://gateway.example.com", resolve=names, network=Network()) as client,
    ):
        with pytest.raises(RefusedAddressError):
            await client.get(f"http://cdn.example.com:{there.port}/x")
    assert len(there.received) == 1


async def test_an_api_that_cannot_be_found_opens_nothing() -> None:
    await refusal("http://10.0.0.1/x", Names(), Network(), PUBLIC_API)


async def test_a_certificate_is_asked_of_the_name_and_not_of_the_address() -> None:
    names = Names(cdn_example_com=[[PUBLIC]])
    async with host(b"") as there:
        with pytest.raises(httpx2.TransportError):
            await got("https://cdn.example.com/x.mp4", names, Network(there.port))

    assert b"cdn.example.com" in there.received[0]


async def test_the_environments_proxy_looks_names_up_but_never_sees_what_is_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = Names(api_example_com=[[PUBLIC]])
    async with host() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await got("http://cdn.example.com/x.mp4", names, Network()) == "file"
        assert names.asked == []
        for place in ("10.0.0.1", "127.1", "localhost", "[::ffff:10.0.0.1]", "169.254.169.254", "x.localhost"):
            await refusal(f"http://{place}/x.mp4", names, Network())

    assert [sent.split(b"\r\n")[0] for sent in proxy.received] == [b"GET http://cdn.example.com/x.mp4 HTTP/1.1"]


async def test_names_outside_a_proxys_care_are_checked_as_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.com")
    await refusal("http://cdn.example.com/x", Names(cdn_example_com=[["10.0.0.1"]]), Network())


async def test_the_systems_resolver_gives_each_address_once() -> None:
    assert await resolved("127.0.0.1") == ["127.0.0.1"]
    with pytest.raises(socket.gaierror):
        await resolved("x" * 70 + ".invalid")


class Redirecting:
    """Put before the simulator's app: every video is somewhere else; keeps what asked for one."""

    def __init__(self, app: ASGIApp, target: str, seen: list[Headers]) -> None:
        self._app, self._target, self._seen = app, target, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/videos/"):
            self._seen.append(Headers(scope=scope))
            await RedirectResponse(self._target)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://127.0.0.2:1/x", "its address leads to 127.0.0.2, which is not public."),
        ("http://[::1]:1/x", "its address leads to ::1, which is not public."),
        ("http://169.254.169.254/latest/meta-data", "its address leads to 169.254.169.254, which is not public."),
        ("http://192.168.0.1/x", "its address leads to 192.168.0.1, which is not public."),
        ("http://[::ffff:192.168.0.1]/x", f"its address leads to {MAPPED}, which is not public."),
        ("ftp://127.0.0.1/x", 'its address leads to "ftp", which is not http or https.'),
        ("file:///etc/passwd", 'its address leads to "file", which is not http or https.'),
        ("/videos/again", "its host redirects too often."),
    ],
)
async def test_the_agent_reads_why_a_video_was_not_fetched(tmp_path: Path, target: str, reason: str) -> None:
    simulator, seen = Simulator(seconds_per_task=0), list[Headers]()
    simulator.app.add_middleware(Redirecting, target=target, seen=seen)
    async with agent(tmp_path, simulator=simulator) as me:
        task_id = (await me.content("generate_video", prompt="A cat"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)

        assert (await me.error("download_video", task_id=task_id)).splitlines() == [
            f"Not saved: The video of task {task_id} was not saved: {reason} Nothing was spent.",
            "Repeating the same call cannot help.",
            REACH_HINT if "public" in reason else LINK_HINT,
        ]

    assert list(tmp_path.rglob("*.part")) == []
    assert not [each for each in seen if "authorization" in each or KEY in str(each)]
    assert len(seen) == (6 if target.startswith("/") else 1)


async def test_the_api_key_never_goes_to_a_videos_host(tmp_path: Path) -> None:
    clip, asked = clip_of("A cat", "landscape"), list[Headers]()

    async def video_host(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(Headers(scope=scope))
        await FileResponse(clip)(scope, receive, send)

    simulator, seen = Simulator(seconds_per_task=0), list[Headers]()
    async with NETWORK.serving(video_host) as there:
        simulator.app.add_middleware(Redirecting, target=f"{there}/x.mp4", seen=seen)
        async with agent(tmp_path, simulator=simulator) as me:
            task_id = (await me.content("generate_video", prompt="A cat"))["task_id"]
            await me.content("wait_for_video", task_id=task_id)
            saved = await me.content("download_video", task_id=task_id)

    assert saved["size_bytes"] == clip.stat().st_size
    (headers,) = asked
    assert "authorization" not in headers
    assert KEY not in str(headers)
