"""Whether the service can be reached, answers and accepts the key. No order is made."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import anyio.to_thread

from sora2_mcp.cli.doctor.report import Result, Verdict, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.setup import Setup, Source
from sora2_mcp.cli.doctor.storage import obstacle_in
from sora2_mcp.cli.hosts.entries import hosts_with_key
from sora2_mcp.domain.configured import DEFAULT_SERVICE, SERVICES
from sora2_mcp.errors import CertificateError, GatewayError, LostAnswerError, NotReachedError, ProxyError
from sora2_mcp.runtime import simulator_folder
from sora2_mcp.services.chosen import service_of
from sora2_mcp.services.probe import Probe, Reply, open_probe
from sora2_mcp.services.proxies import PROXY, is_proxied, unusable_proxy
from sora2_mcp.services.tls import CAFileError, trusting
from sora2_mcp.tasks.ssrf import Address, is_open, written_out
from sora2_mcp.words import quoted

_LOOKUP_SECONDS = 3.0
_INSIDE = tuple(
    map(
        ip_network,
        ("198.18.0.0/15", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/8", "fd00::/8"),
    )
)
"""The networks of companies, of providers, and of programs that give each name an address of their own."""

_REFUSED = (401, 403)
_BUSY = (429, 455, 500, 502, 503, 504)
_NO_CREDITS = 402
_NOT_FOUND = 404
_ABSENCE = {
    Source.PLACEHOLDER: "holds a placeholder that the host did not fill in, which counts as not set",
    Source.EMPTY: "is empty, which counts as not set",
}
_SOURCE = "in the environment"
"""Where a key is set: settings have no other source."""

_KEY_PLACE = "the env of this server's entry in your host"
_CERTIFICATE_HINT = (
    "Set SSL_CERT_FILE to the PEM file of your company's own certificate authority, or take it (and SSL_CERT_DIR) out."
)

_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""This program is younger than that."""

_TOLERATED = timedelta(seconds=30)
_GROSS = timedelta(hours=1)
_CLOCK_HINT = "Let the system keep its clock by itself (NTP), then start running servers again."


async def check_network(setup: Setup) -> Sequence[Result]:
    """One result for each thing that is wrong with proxies, certificates, or the addresses that names lead to."""
    # The simulator is reached all the same.
    grave = warning if setup.settings.simulate else problem
    found = list[Result]()
    if variable := unusable_proxy():
        what = f"{variable} cannot be used, so nothing beyond this machine can be reached."
        found.append(grave(what, _proxy_hint(setup)))
    try:
        # A file on a disk that hangs keeps the thread busy, and not the check.
        await anyio.to_thread.run_sync(trusting, abandon_on_cancel=True)
    except CAFileError as error:
        found.append(grave(f"{error}: no https address can be reached.", _CERTIFICATE_HINT))
    found += await _about_name(setup)
    proxies = f"Proxies are set in {setup.proxies}" if setup.proxies else "No proxy is set"
    return found or [fine(f"{proxies}, and the certificates to trust can be read.")]


async def _about_name(setup: Setup) -> Sequence[Result]:
    if setup.offline or setup.settings.simulate or setup.unusable("api_base_url", "download_networks"):
        return []
    host = urlsplit(setup.settings.base_url).hostname or ""
    if written_out(host) or is_proxied(setup.settings.base_url):
        return []
    addresses = list[Address]()
    # The check of the service reports a name without addresses.
    with suppress(OSError, UnicodeError), setup.clock.timeout(_LOOKUP_SECONDS):
        addresses = [ip_address(each) for each in await setup.resolve(host)]
    inside = [(address, network) for address in addresses for network in _INSIDE if address in network]
    if not inside or any(is_open(address, setup.settings.networks) for address in addresses):
        return []
    address, network = inside[0]
    what = f"{host} leads to {address}, which is not public: if videos lead there too, they cannot be saved."
    hint = (
        "If a VPN, a proxy program or your company's DNS gives such addresses to names, add "
        f"{network} to SORA2_DOWNLOAD_NETWORKS."
    )
    return [warning(what, hint)]


def _proxy_hint(setup: Setup) -> str:
    if variable := unusable_proxy():
        return f"Set {variable} to {PROXY}, or take it out."
    return (
        f"Correct {setup.proxies} (a login stands in it as http://name:password@proxy:3128), or take out "
        "what is not needed; if all is right, those who run the proxy must let it through."
    )


@asynccontextmanager
async def _probe(setup: Setup) -> AsyncIterator[Probe]:
    """A probe of the service, or of a simulator with nothing on disk where the settings ask for one."""
    settings = setup.settings
    if settings.simulate:
        from sora2_mcp.simulator.app import Simulator  # noqa: PLC0415 - brings Starlette, which may be broken
        from sora2_mcp.simulator.serve import running  # noqa: PLC0415

        endpoint: AbstractAsyncContextManager[str] = running(Simulator(), dialect=settings.service)
    else:
        endpoint = nullcontext(settings.base_url)
    async with endpoint as base_url, open_probe(service_of(settings), base_url, setup.clock) as probe:
        yield probe


async def check_service(setup: Setup) -> Sequence[Result]:
    """Asks without a key, which the service refuses and a wrong address does not."""
    if setup.offline:
        return [skipped("Not asked, because of --offline.")]
    if variable := setup.unusable("api_base_url"):
        return [skipped(f"{variable} cannot be used, so the service cannot be asked.")]
    if missing := next((variable for variable in setup.settings.lacking if variable != "SORA2_API_KEY"), ""):
        return [skipped(f"{missing} is not set, so the service cannot be asked.")]
    known = SERVICES[setup.settings.service]
    async with _probe(setup) as probe:
        base_url = probe.base_url
        try:
            # A server of one's own is asked with the key at once: a gateway before it tells nothing without one.
            reply = await probe.ask("" if known.base_url else setup.settings.key)
        except (GatewayError, LostAnswerError) as error:
            return [problem(f"{base_url} did not answer as {known.title} does: {error.reason}.", _address_hint(setup))]
        except NotReachedError as error:
            return [problem(f"{base_url} could not be reached: {error.reason}.", _way_hint(setup, error))]
    if reply.code == _NOT_FOUND:
        what = f"{base_url} answers, but not at this path (404{_words(setup, reply)})."
        return [problem(what, _address_hint(setup))]
    setup.reply = reply
    if reply.code in _BUSY:
        what = f"{base_url} answers, but cannot work just now ({reply.code}{_words(setup, reply)})."
        return [warning(what, "Try again in some minutes; nothing is lost meanwhile.")]
    what = f"{base_url} answers in {_milliseconds(reply)}."
    if not setup.settings.simulate:
        return [fine(what)]
    folder = simulator_folder(setup.settings)
    if obstacle := await obstacle_in(folder):
        hint = "Give this user the right to write there, or set SORA2_DATABASE_URL to a file elsewhere."
        return [problem(f"The simulator cannot keep its tasks in {folder}: {obstacle}.", hint)]
    return [fine(f"The built-in simulator stands in for the service; {what}")]


def _address_hint(setup: Setup) -> str:
    known = SERVICES[setup.settings.service]
    vendors = f" (the vendor's is {known.base_url})" if known.base_url else ""
    return (
        f"Check SORA2_API_BASE_URL, path included{vendors}; if it is right, something on the way answers in the "
        "service's place: a proxy, or the network's login page."
    )


def _way_hint(setup: Setup, error: NotReachedError) -> str:
    if isinstance(error, ProxyError):
        return _proxy_hint(setup)
    if isinstance(error, CertificateError):
        return _CERTIFICATE_HINT
    if setup.settings.base_url == SERVICES[DEFAULT_SERVICE].base_url:
        return f'{SERVICES[DEFAULT_SERVICE].today} See README, "Which services make videos today".'
    proxies = f" Proxies are set in {setup.proxies}: they may stand in the way." if setup.proxies else ""
    return f"Check the network and SORA2_API_BASE_URL.{proxies}"


async def check_key(setup: Setup) -> Sequence[Result]:
    """Asks with the key, which costs nothing, if the service answered as it should without one."""
    if setup.settings.simulate:
        return [skipped("The simulator needs none.")]
    if setup.setting("api_key").allowed:
        return [skipped("SORA2_API_KEY cannot be used, so there is no key to ask with.")]
    if not setup.settings.key:
        return [await anyio.to_thread.run_sync(_about_missing_key, setup)]
    if setup.offline:
        return [skipped(f"SORA2_API_KEY is set {_SOURCE}; the service is not asked, because of --offline.")]
    if setup.reply is None:
        what = f"SORA2_API_KEY is set {_SOURCE}; it was not shown to a service that did not answer as it should."
        return [skipped(what)]
    if not SERVICES[setup.settings.service].base_url:
        # The check of the service has asked with the key already.
        return [_about_key(setup, setup.reply)]
    if setup.reply.code not in (*_REFUSED, *_BUSY):
        return [skipped("The service answers looks without a key too: whether it takes yours, an order will show.")]
    async with _probe(setup) as probe:
        try:
            found = _about_key(setup, await probe.ask(setup.settings.key))
        except (NotReachedError, LostAnswerError) as error:
            return [warning(f"Whether the key is accepted is not known: {error.reason}.", "Try again in a minute.")]
        with suppress(NotReachedError, LostAnswerError):
            if found.status is Verdict.OK and (left := await probe.balance(setup.settings.key)) is not None:
                return [fine(f"{found.what} The account has {left:g} credits left.")]
    return [found]


def _about_missing_key(setup: Setup) -> Result:
    known, reply = SERVICES[setup.settings.service], setup.reply
    if "api_key" not in known.needs:
        if reply is not None and reply.code in _REFUSED:
            what = f"The server wants a key ({reply.code}{_words(setup, reply)}), and SORA2_API_KEY is not set."
            return problem(what, f"Set SORA2_API_KEY in {_KEY_PLACE}.")
        return skipped("SORA2_API_KEY is not set; that server seems to want none.")
    absence = _ABSENCE.get(setup.setting("api_key").source, "is not set")
    where = f"Get a key at {known.account_page} and set" if known.account_page else "Set"
    hint = (
        f"{where} SORA2_API_KEY in {_KEY_PLACE} (if it is there, run this with it: SORA2_API_KEY=… sora2-mcp doctor), "
        "or try it without an account: sora2-mcp serve --simulate."
    )
    places = [f"{host.title} ({path})" for host, path in hosts_with_key(setup.variables)]
    elsewhere = f" An entry has one, which only its host sees: {', '.join(places)}." if places else ""
    return problem(f"SORA2_API_KEY {absence}: nothing can be ordered without a key.{elsewhere}", hint)


def _about_key(setup: Setup, reply: Reply) -> Result:
    found = _judged(setup, reply)
    return replace(found, what=f"{found.what} The key is the one of SORA2_API_KEY {_SOURCE}.")


def _judged(setup: Setup, reply: Reply) -> Result:
    words = _words(setup, reply)
    if reply.code in _REFUSED:
        hint = f"Correct SORA2_API_KEY in {_KEY_PLACE} (and SORA2_API_BASE_URL, if the key is of another gateway)."
        return problem(f"The service does not accept the key ({reply.code}{words}).", hint)
    if reply.code in _BUSY:
        what = f"Whether the key is accepted is not known ({reply.code}{words})."
        return warning(what, "Try again in some minutes.")
    if reply.code == _NO_CREDITS:
        what = f"The key is accepted, but the account has no credits left (402{words})."
        return warning(what, "Top up the account.")
    return fine(f"The key is accepted (asked without spending, {_milliseconds(reply)}).")


def _words(setup: Setup, reply: Reply) -> str:
    return f", the service says {quoted(setup.redact(reply.words))}" if reply.words else ""


def _milliseconds(reply: Reply) -> str:
    connecting = f", {reply.connect_seconds * 1000:.0f} of them to connect" if reply.connect_seconds else ""
    return f"{reply.seconds * 1000:.0f} ms{connecting}"


async def check_clock(setup: Setup) -> Sequence[Result]:
    """This machine's time against the service's, and against the newest that is stored.

    Leases, expiry and certificates depend on it.
    """
    now = setup.clock.now()
    shown = f"The clock says {now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _EARLIEST:
        return [problem(f"{shown}, which is long past.", _CLOCK_HINT)]
    served_at = setup.reply.served_at if setup.reply else None
    newest_at = setup.survey.newest_at if setup.survey else None
    if setup.reply and served_at:
        # The service wrote its date about halfway through, and in whole seconds.
        ahead = setup.reply.received_at - timedelta(seconds=setup.reply.seconds / 2) - served_at
        if abs(ahead) > _TOLERATED:
            grave = problem if abs(ahead) > _GROSS else warning
            return [grave(f"{shown}, {_span(ahead)} the service's.", _CLOCK_HINT)]
    if newest_at and newest_at - now > _TOLERATED:
        return [
            warning(f"{shown}, {_span(now - newest_at)} the newest change of a task: it was set back.", _CLOCK_HINT)
        ]
    if served_at:
        return [fine(f"{shown}, as the service's does.")]
    if newest_at:
        return [fine(f"{shown}, later than all that is stored; the service told no time.")]
    return [skipped(f"{shown}, and nothing told a time to compare it with.")]


def _span(ahead: timedelta) -> str:
    seconds = round(abs(ahead).total_seconds())
    hours, minutes = f"{seconds / 3600:.1f} h", f"{seconds / 60:.0f} min"
    amount = hours if seconds >= 5400 else minutes if seconds >= 120 else f"{seconds} s"
    return f"{amount} {'ahead of' if ahead > timedelta(0) else 'behind'}"
