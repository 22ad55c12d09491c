"""What the settings for HTTP mean, and whether they fit together."""

import ipaddress
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.readings import without_credentials
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.server.web.auth import token_verifier
from sora2_mcp.server.web.gate import check_reach
from sora2_mcp.settings import Settings

NAME = "http"
_FIELDS = (
    "auth_tokens",
    "oauth_issuer",
    "oauth_audience",
    "oauth_jwks_url",
    "allowed_hosts",
    "allowed_origins",
    "public_url",
)


def check_http(setup: Setup) -> Sequence[Finding]:
    """What would hold for ``serve --transport streamable-http``; other transports do not care."""
    settings = setup.settings
    if variable := setup.unusable(*_FIELDS):
        return [skipped(NAME, f"{variable} cannot be used, so the settings for HTTP make no whole.")]
    if not any(_is_given(settings, field) for field in _FIELDS):
        return [fine(NAME, "Nothing is set for HTTP: stdio needs nothing, and over HTTP only this machine is served.")]
    try:
        token_verifier(settings, setup.clock)
        check_reach(settings, None)
    except ConfigurationError as error:
        what = f"{error} The server does not start over HTTP; over stdio it does."
        return [problem(NAME, what, f"Set what is missing, or take {error.variable} and what goes with it out.")]
    return list(_doubts(settings)) or [fine(NAME, " ".join(_meanings(settings)))]


def _is_given(settings: Settings, field: str) -> bool:
    value = getattr(settings, field)
    return bool(settings.tokens if field == "auth_tokens" else value)


def _meanings(settings: Settings) -> Iterator[str]:
    names = ", ".join(name for name, _ in settings.tokens)
    if names:
        yield f"Over HTTP these may call, each with tasks of their own: {names}."
    if settings.oauth_issuer:
        yield f"Bearer JWTs of {without_credentials(settings.oauth_issuer)} are taken."
    if not settings.has_access_control:
        yield "Over HTTP only this machine is served, for there are no tokens."
    if served := [*settings.hosts, *settings.public_host]:
        yield f"Served as {', '.join(dict.fromkeys(served))} and by this machine's own names."
    if settings.origins:
        yield f"Pages of {', '.join(settings.origins)} may call."
    if settings.public_url:
        yield f"The service calls back at {settings.public_url.rstrip('/')}/callbacks/."


def _doubts(settings: Settings) -> Iterator[Finding]:
    """What starts, and probably is not meant so."""
    public = urlsplit(settings.public_url)
    if (
        settings.public_url
        and _is_private(public.hostname or "")
        and not _is_private(urlsplit(settings.base_url).hostname or "")
    ):
        what = f"The service cannot reach SORA2_PUBLIC_URL ({settings.public_url}), so it calls nobody back."
        yield warning(NAME, what, "Set SORA2_PUBLIC_URL to an address the world can reach, or take it out.")
    elif public.scheme == "http" and not _is_private(public.hostname or ""):
        what = "SORA2_PUBLIC_URL is http://: tokens and callbacks cross the net for anybody to read."
        yield warning(NAME, what, "Have a reverse proxy speak TLS, and set SORA2_PUBLIC_URL to its https:// address.")
    if settings.public_url and not settings.has_access_control:
        what = "SORA2_PUBLIC_URL without tokens: the service may call back, and nobody from elsewhere may call."
        yield warning(NAME, what, "Have the proxy pass on /callbacks/ only, or set SORA2_AUTH_TOKENS=name:token.")
    if settings.oauth_issuer and not settings.public_url:
        what = "Clients are not told whose tokens are taken, because SORA2_PUBLIC_URL is not set."
        yield warning(NAME, what, "Set SORA2_PUBLIC_URL to this server's address, unless your clients know the issuer.")
    if urlsplit(settings.oauth_jwks_url).scheme == "http" and not _is_private(
        urlsplit(settings.oauth_jwks_url).hostname or ""
    ):
        what = "SORA2_OAUTH_JWKS_URL is http://: whoever sits on the way can let anybody in."
        yield warning(NAME, what, "Use the issuer's https:// address.")


def _is_private(host: str) -> bool:
    """Whether only this machine or its own network reaches a host, as far as its name says."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
