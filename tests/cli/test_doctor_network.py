"""Whether the way out is as it should be: proxies, certificates, and where names lead."""

import asyncio
from pathlib import Path

import pytest

from sora2_mcp.cli.doctor.report import Result, Verdict
from sora2_mcp.cli.doctor.service import check_network
from sora2_mcp.cli.doctor.setup import load_setup
from sora2_mcp.clock import Clock
from tests.certificates import self_signed
from tests.cli.conftest import Examined
from tests.cli.reading import outcome, the
from tests.clocks import FakeClock

pytestmark = pytest.mark.anyio

PROXY_HINT = (
    "Set {} to an address that begins with http://, https://, socks5:// or socks5h://, without quotation marks, or "
    "take it out."
)
CERTIFICATE_HINT = (
    "Set SSL_CERT_FILE to the PEM file of your company's own certificate authority, or take it (and SSL_CERT_DIR) out."
)


@pytest.fixture(autouse=True)
def no_certificates_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)


async def never(host: str) -> list[str]:
    raise AssertionError(f"{host} was looked up")


async def test_where_nothing_is_in_the_way_it_says_which_proxies_are_set(examined: Examined) -> None:
    rest = "and the certificates to trust can be read."

    assert outcome(await examined(offline=True), "network") == (Verdict.OK, f"No proxy is set, {rest}")
    assert outcome(await examined(offline=True, ALL_PROXY="socks5h://127.0.0.1:9"), "network") == (
        Verdict.OK,
        f"Proxies are set in ALL_PROXY, {rest}",
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks://topsecret:7890/"),
        ("all_proxy", "socks4://topsecret:7890"),
        ("HTTPS_PROXY", '"http://me:topsecret@127.0.0.1:8080"'),
        ("HTTP_PROXY", "http://topsecret:99999"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_named_and_its_value_is_not_shown(
    examined: Examined, variable: str, value: str
) -> None:
    what = f"{variable} cannot be used, so nothing beyond this machine can be reached."
    real = await examined(SORA2_API_BASE_URL="https://192.0.2.1/v1", resolve=never, **{variable: value})

    assert outcome(real, "network") == (Verdict.PROBLEM, what)
    assert the(real, "service").what.startswith(
        f"https://192.0.2.1/v1 could not be reached: {variable} cannot be used: it must be an address that begins with"
    )
    assert real.next_steps == [PROXY_HINT.format(variable)]
    simulated = await examined(simulate=True)
    assert outcome(simulated, "network") == (Verdict.WARNING, what)
    assert (simulated.status, simulated.next_steps) == (Verdict.WARNING, [PROXY_HINT.format(variable)])
    assert "topsecret" not in str(real.as_json()) + str(simulated.as_json())


async def test_a_proxy_that_wants_a_login_is_to_be_corrected(examined: Examined) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        address = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        variables = {"HTTPS_PROXY": f"http://me:topsecret@{address}", "SORA2_API_BASE_URL": "https://api.example/v1"}
        report = await examined(**variables, resolve=never)

    assert outcome(report, "service") == (
        Verdict.PROBLEM,
        "https://api.example/v1 could not be reached: the proxy wants a login (407).",
    )
    assert report.next_steps == [
        (
            "Correct HTTPS_PROXY (a login stands in it as http://name:password@proxy:3128), or take out what is not "
            "needed; if all is right, those who run the proxy must let it through."
        )
    ]


@pytest.mark.posix
async def test_certificates_that_cannot_be_read_are_named_with_variable_and_path(
    examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "empty").mkdir()
    for variable, name, reason in [
        ("SSL_CERT_DIR", "gone", "No such file or directory"),
        (
            "SSL_CERT_DIR",
            "empty",
            "it holds no certificates; `openssl rehash` gives them the names it looks for",
        ),
        ("SSL_CERT_FILE", "gone.pem", "No such file or directory"),
        ("SSL_CERT_FILE", "empty.pem", "it holds no certificates"),
    ]:
        report = await examined(simulate=True, **{variable: f"{tmp_path}/{name}"})

        what = (
            f'{variable} names "{tmp_path}/{name}", which cannot be used ({reason}): no https address can be reached.'
        )
        assert outcome(report, "network") == (Verdict.WARNING, what)
        assert report.next_steps == [CERTIFICATE_HINT]
        assert outcome(await examined(offline=True), "network") == (Verdict.PROBLEM, what)

    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed(tmp_path)))
    assert outcome(await examined(offline=True), "network")[0] is Verdict.OK


async def found(monkeypatch: pytest.MonkeyPatch, clock: Clock, *addresses: str, **variables: str) -> list[Result]:
    """What is found where the service's name leads to these addresses."""
    monkeypatch.setenv("SORA2_API_BASE_URL", "https://api.example/v1")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    async def resolve(host: str) -> list[str]:
        assert host == "api.example"
        if not addresses:
            raise OSError("no such name")
        return [*addresses]

    return [*await check_network(load_setup(clock=clock, resolve=resolve))]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.18.0.84", "198.18.0.0/15"),
        ("198.19.255.1", "198.18.0.0/15"),
        ("10.20.30.40", "10.0.0.0/8"),
        ("172.20.0.1", "172.16.0.0/12"),
        ("192.168.7.7", "192.168.0.0/16"),
        ("fd00:1::2", "fd00::/8"),
        ("fc00::5", "fc00::/8"),
    ],
)
async def test_a_name_that_leads_inside_is_a_doubt_until_its_network_is_allowed(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, address: str, network: str
) -> None:
    (doubt,) = await found(monkeypatch, clock, address)

    assert (doubt.status, doubt.what, doubt.hint) == (
        Verdict.WARNING,
        f"api.example leads to {address}, which is not public: if videos lead there too, they cannot be saved.",
        (
            "If a VPN, a proxy program or your company's DNS gives such addresses to names, add "
            f"{network} to SORA2_DOWNLOAD_NETWORKS."
        ),
    )
    (allowed,) = await found(monkeypatch, clock, address, SORA2_DOWNLOAD_NETWORKS=f"192.0.2.0/24,{network}")
    assert allowed.status is Verdict.OK


@pytest.mark.parametrize("addresses", [["8.8.8.8"], ["198.18.0.1", "2600::1"], ["127.0.0.1"], []])
async def test_names_that_lead_out_nowhere_or_to_this_machine_need_nothing(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, addresses: list[str]
) -> None:
    (finding,) = await found(monkeypatch, clock, *addresses)

    assert finding.status is Verdict.OK


@pytest.mark.parametrize("base_url", ["https://10.1.2.3/v1", "http://localhost:9/v1", "http://[fd00::1]/v1"])
async def test_what_is_no_name_is_not_looked_up(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, base_url: str
) -> None:
    monkeypatch.setenv("SORA2_API_BASE_URL", base_url)

    (finding,) = await check_network(load_setup(clock=clock, resolve=never))

    assert finding.status is Verdict.OK


async def test_a_name_that_the_proxy_looks_up_is_left_to_it(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setenv("SORA2_API_BASE_URL", "https://api.example/v1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    (proxied,) = await check_network(load_setup(clock=clock, resolve=never))
    (direct,) = await found(monkeypatch, clock, "10.0.0.1", NO_PROXY="api.example")

    assert (proxied.status, direct.status) == (Verdict.OK, Verdict.WARNING)


async def test_offline_and_on_the_simulator_no_name_is_looked_up(examined: Examined) -> None:
    for options in ({"offline": True}, {"simulate": True}):
        report = await examined(**options, SORA2_API_BASE_URL="https://api.example/v1", resolve=never)
        assert the(report, "network").status is Verdict.OK
