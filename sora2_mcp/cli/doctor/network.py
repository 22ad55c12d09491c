"""Whether the way out is as the program needs it: proxies, certificates, and where names lead."""

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import anyio.to_thread

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, warning
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.services.proxies import PROXY, is_proxied, unusable_proxy
from sora2_mcp.services.tls import CAFileError, trusting
from sora2_mcp.tasks.reach import Address, Resolve, is_open, written_out

NAME = "network"
CERTIFICATE_HINT = (
    "Set SSL_CERT_FILE to the PEM file of your company's own certificate authority, or take it (and SSL_CERT_DIR) out."
)

_INSIDE = tuple(
    map(
        ip_network,
        ("198.18.0.0/15", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/8", "fd00::/8"),
    )
)
"""Where programs that map every name to an address of their own, companies and providers have theirs."""

_LOOKUP_SECONDS = 3.0


async def check_network(setup: Setup, resolve: Resolve | None) -> Sequence[Finding]:
    """One finding for each thing that is in the way; names are looked up only with ``resolve``."""
    # The simulator is reached all the same.
    of_the_way = warning if setup.settings.simulate else problem
    found = list[Finding]()
    if variable := unusable_proxy():
        what = f"{variable} cannot be used, so nothing beyond this machine can be reached."
        found.append(of_the_way(NAME, what, proxy_hint(setup)))
    try:
        # A file may be on a disk that hangs, which keeps the thread, not the check.
        await anyio.to_thread.run_sync(trusting, abandon_on_cancel=True)
    except CAFileError as error:
        found.append(of_the_way(NAME, f"{error}: no https address can be reached.", CERTIFICATE_HINT))
    if resolve is not None and not setup.unusable("api_base_url", "download_networks"):
        found += await _about_names(setup, resolve)
    proxies = f"Proxies are set in {' and '.join(setup.proxies)}" if setup.proxies else "No proxy is set"
    return found or [fine(NAME, f"{proxies}, and the certificates to trust can be read.")]


def proxy_hint(setup: Setup) -> str:
    """What to do about a proxy that stands in the way."""
    if variable := unusable_proxy():
        return f"Set {variable} to {PROXY}, or take it out."
    return (
        f"Correct {' and '.join(setup.proxies)} (a login stands in it as http://name:password@proxy:3128), or take out "
        "what is not needed; if all is right, those who run the proxy must let it through."
    )


async def _about_names(setup: Setup, resolve: Resolve) -> Sequence[Finding]:
    host = urlsplit(setup.settings.base_url).hostname or ""
    if written_out(host) or is_proxied(setup.settings.base_url):
        return []
    addresses = list[Address]()
    # A name without addresses is the service check's business.
    with suppress(OSError, UnicodeError), setup.clock.timeout(_LOOKUP_SECONDS):
        addresses = [ip_address(each) for each in await resolve(host)]
    if any(is_open(address, setup.settings.networks) for address in addresses):
        return []
    inside = [(address, network) for address in addresses for network in _INSIDE if address in network]
    if not inside:
        return []
    address, network = inside[0]
    what = f"{host} leads to {address}, which is not public: if videos lead there too, they cannot be saved."
    hint = (
        "If a VPN, a proxy program or your company's DNS gives such addresses to names, add "
        f"{network} to SORA2_DOWNLOAD_NETWORKS."
    )
    return [warning(NAME, what, hint)]
