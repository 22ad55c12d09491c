"""Whether the service answers, and accepts the key. Only ever looks: no order is made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread

from sora2_mcp.cli.doctor.finding import Finding, Verdict, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.folder import obstacle_to
from sora2_mcp.cli.doctor.network import CERTIFICATE_HINT, proxy_hint
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.domain.configured import DEFAULT_SERVICE, SERVICES, KnownService
from sora2_mcp.errors import CertificateError, GatewayError, LostAnswerError, NotReachedError, ProxyError, quoted
from sora2_mcp.server.simulated import state_folder
from sora2_mcp.services.chosen import service_of
from sora2_mcp.services.probe import Probe, Reply, open_probe
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running

SERVICE = "service"
KEY = "key"

_REFUSED = (401, 403)
_BUSY = (429, 455, 500, 502, 503, 504)
_NO_CREDITS = 402
_NOT_FOUND = 404
_KEY_PLACE = "the env of this server's entry in your host"


@asynccontextmanager
async def probe_of(setup: Setup) -> AsyncIterator[Probe]:
    """A probe of the service, or of a simulator with nothing on disk where the settings ask for one."""
    settings = setup.settings
    service = service_of(settings)
    if settings.simulate:
        async with (
            running(Simulator(), dialect=settings.service) as base_url,
            open_probe(service, base_url, setup.clock) as probe,
        ):
            yield probe
    else:
        async with open_probe(service, settings.base_url, setup.clock) as probe:
            yield probe


async def check_service(setup: Setup, probe: Probe) -> tuple[Finding, Reply | None]:
    """Asks without a key, which the service refuses and a wrong address does not."""
    if variable := setup.unusable("api_base_url"):
        return skipped(SERVICE, f"{variable} cannot be used, so there is nobody to ask."), None
    if missing := next((variable for variable in setup.settings.lacking if variable != "SORA2_API_KEY"), ""):
        return skipped(SERVICE, f"{missing} is not set, so the service cannot be asked."), None
    base_url = probe.base_url
    # A server of one's own is asked with the key at once: behind a gateway nothing else tells how it stands.
    key = "" if known_service(setup).base_url else setup.settings.key
    try:
        reply = await probe.ask(key)
    except (GatewayError, LostAnswerError) as error:
        return problem(
            SERVICE,
            f"{base_url} did not answer as {known_service(setup).title} does: {error.reason}.",
            _address_hint(setup),
        ), None
    except NotReachedError as error:
        what = f"{base_url} could not be reached: {error.reason}."
        return problem(SERVICE, what, _way_hint(setup, error)), None
    if reply.code == _NOT_FOUND:
        what = f"{base_url} answers, but not at this path (404{_words(setup, reply)})."
        return problem(SERVICE, what, _address_hint(setup)), None
    if reply.code in _BUSY:
        what = f"{base_url} answers, but cannot work just now ({reply.code}{_words(setup, reply)})."
        return warning(SERVICE, what, "Try again in some minutes; nothing is lost meanwhile."), reply
    return await _settled(setup, f"{base_url} answers in {_milliseconds(reply)}."), reply


async def _settled(setup: Setup, what: str) -> Finding:
    """A service that answers; the simulator must keep its tasks itself, too."""
    if not setup.settings.simulate:
        return fine(SERVICE, what)
    folder = state_folder(setup.settings)
    if obstacle := await anyio.to_thread.run_sync(obstacle_to, folder, abandon_on_cancel=True):
        hint = "Give this user the right to write there, or set SORA2_DATABASE_URL to a file elsewhere."
        return problem(SERVICE, f"The simulator cannot keep its tasks in {folder}: {obstacle}.", hint)
    return fine(SERVICE, f"The built-in simulator stands in for the service; {what}")


async def check_key(setup: Setup, probe: Probe | None, unasked: Reply | None) -> Finding:
    """Asks with the key; ``unasked`` is what the service said without one. A look costs nothing.

    Without a probe all that is looked at is whether there is a key.
    """
    if setup.settings.simulate:
        return skipped(KEY, "The simulator needs none.")
    if missing := _missing(setup, unasked):
        return missing
    if probe is None:
        return skipped(KEY, "SORA2_API_KEY is set; the service is not asked, because of --offline.")
    if unasked is None:
        return skipped(KEY, "SORA2_API_KEY is set; it was not shown to a service that did not answer as it should.")
    if not known_service(setup).base_url:
        return _verdict(setup, unasked)
    if unasked.code not in (*_REFUSED, *_BUSY):
        return skipped(KEY, "The service answers looks without a key too: whether it takes yours, an order will show.")
    try:
        reply = await probe.ask(setup.settings.key)
    except (NotReachedError, LostAnswerError) as error:
        return warning(KEY, f"Whether the key is accepted is not known: {error.reason}.", "Try again in a minute.")
    return await _with_balance(setup, probe, _verdict(setup, reply))


async def _with_balance(setup: Setup, probe: Probe, found: Finding) -> Finding:
    """A key that is accepted, and what is left in its account where that can be asked."""
    if found.status is not Verdict.OK:
        return found
    try:
        left = await probe.balance(setup.settings.key)
    except (NotReachedError, LostAnswerError):
        left = None
    return found if left is None else fine(KEY, f"{found.what} The account has {left:g} credits left.")


def _missing(setup: Setup, unasked: Reply | None) -> Finding | None:
    reading = setup.reading("api_key")
    if reading.allowed:
        return skipped(KEY, f"{reading.variable} cannot be used, so there is no key to ask with.")
    if setup.settings.key:
        return None
    known = known_service(setup)
    if "api_key" not in known.needs:
        if unasked is not None and unasked.code in _REFUSED:
            what = f"The server wants a key ({unasked.code}{_words(setup, unasked)}), and SORA2_API_KEY is not set."
            return problem(KEY, what, f"Set SORA2_API_KEY in {_KEY_PLACE}.")
        return skipped(KEY, "SORA2_API_KEY is not set; that server seems to want none.")
    where = f"Get a key at {known.account_page} and set" if known.account_page else "Set"
    hint = (
        f"{where} SORA2_API_KEY in {_KEY_PLACE} (if it is there, run this with it: SORA2_API_KEY=… sora2-mcp doctor), "
        "or try it without an account: sora2-mcp serve --simulate."
    )
    return problem(KEY, f"SORA2_API_KEY {reading.absence}: nothing can be ordered without a key.", hint)


def _verdict(setup: Setup, reply: Reply) -> Finding:
    words = _words(setup, reply)
    if reply.code in _REFUSED:
        hint = f"Correct SORA2_API_KEY in {_KEY_PLACE} (and SORA2_API_BASE_URL, if the key is of another gateway)."
        return problem(KEY, f"The service does not accept the key ({reply.code}{words}).", hint)
    if reply.code in _BUSY:
        return warning(
            KEY, f"Whether the key is accepted is not known ({reply.code}{words}).", "Try again in some minutes."
        )
    if reply.code == _NO_CREDITS:
        return warning(
            KEY, f"The key is accepted, but the account has no credits left (402{words}).", "Top up the account."
        )
    return fine(KEY, f"The key is accepted (asked without spending, {_milliseconds(reply)}).")


def _words(setup: Setup, reply: Reply) -> str:
    return f", the service says {quoted(setup.blot(reply.words))}" if reply.words else ""


def _milliseconds(reply: Reply) -> str:
    connecting = f", {reply.connect_seconds * 1000:.0f} of them to connect" if reply.connect_seconds else ""
    return f"{reply.seconds * 1000:.0f} ms{connecting}"


def _address_hint(setup: Setup) -> str:
    known = known_service(setup)
    vendors = f" (the vendor's is {known.base_url})" if known.base_url else ""
    return (
        f"Check SORA2_API_BASE_URL, path included{vendors}; if it is right, something on the way answers in the "
        "service's place: a proxy, or the network's login page."
    )


def known_service(setup: Setup) -> KnownService:
    """What is known of the service that is chosen."""
    return SERVICES[setup.settings.service]


def _way_hint(setup: Setup, error: NotReachedError) -> str:
    if isinstance(error, ProxyError):
        return proxy_hint(setup)
    if isinstance(error, CertificateError):
        return CERTIFICATE_HINT
    if setup.settings.service == DEFAULT_SERVICE and not setup.settings.api_base_url:
        return f'{known_service(setup).today} Living ones: kie, openrouter, openai (README, "Services").'
    proxies = f" Proxies are set in {' and '.join(setup.proxies)}: they may stand in the way." if setup.proxies else ""
    return f"Check the network and SORA2_API_BASE_URL.{proxies}"
