"""Who may call over HTTP: the tokens of the settings, or an issuer's bearer JWTs."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Protocol

import anyio
import anyio.to_thread
import jwt
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.clock import Clock
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.settings import Settings, variable_of

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Only those with a public key: with any other, who may check tokens could make them."""

_LEEWAY_SECONDS = 30
_SUBJECT_LIMIT = 200
_TOKEN_LIMIT = 16_384
_KEYS_FRESH_SECONDS = 300.0
_KEYS_PAUSE_SECONDS = 10.0
_KEYS_TIMEOUT_SECONDS = 5.0


class Witness(Protocol):
    """Knows whose a token is."""

    async def principal(self, token: str) -> str | None:
        """Whose token it is, None if it is nobody's."""
        ...


class Access:
    """Lets in whoever one of the witnesses knows; without any witness it is not to be used."""

    def __init__(self, witnesses: tuple[Witness, ...], challenge: str = "Bearer") -> None:
        self._witnesses = witnesses
        self._challenge = challenge

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """``app`` for known callers only; the others get 401."""
        inner = AuthContextMiddleware(app)

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            principal = await self._principal(Headers(scope=scope))
            if principal is None:
                refusal = JSONResponse(
                    {"error": "This server needs a token it knows: Authorization: Bearer <token>."},
                    status_code=401,
                    headers={"www-authenticate": self._challenge},
                )
                await refusal(scope, receive, send)
                return
            # The token itself goes no further: nothing behind this line can show it.
            user = AuthenticatedUser(AccessToken(token="", client_id=principal, scopes=[]))
            await inner({**scope, "user": user}, receive, send)

        return guard

    async def _principal(self, headers: Headers) -> str | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _TOKEN_LIMIT:
            return None
        for witness in self._witnesses:
            principal = await witness.principal(token)
            if principal is not None:
                return principal
        return None


class KnownTokens:
    """The tokens of ``SORA2_AUTH_TOKENS``."""

    def __init__(self, tokens: tuple[tuple[str, str], ...]) -> None:
        self._digests = [(name, sha256(token.encode()).digest()) for name, token in tokens]

    async def principal(self, token: str) -> str | None:
        given = sha256(token.encode()).digest()
        # All are compared, each in constant time: how long it takes says nothing of any of them.
        names = [name for name, digest in self._digests if hmac.compare_digest(given, digest)]
        return f"token:{names[0]}" if names else None


class IssuedTokens:
    """JWTs that an OAuth issuer made for this server. Source: RFC 9068, RFC 7519."""

    def __init__(self, *, issuer: str, audience: str, keys: "IssuerKeys") -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    async def principal(self, token: str) -> str | None:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.key(header.get("kid"), str(header.get("alg")))
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError):
            return None
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject.strip() or len(subject) > _SUBJECT_LIMIT:
            return None
        return f"jwt:{self._issuer}|{subject}"


class IssuerKeys:
    """An issuer's public keys: fetched when needed, kept for minutes, and asked for anew only now and then."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._source = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_KEYS_TIMEOUT_SECONDS)
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._turn = anyio.Lock()

    async def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key a token names, or the only one there is; None if it is unknown or of another kind."""
        if self._clock.monotonic() - self._fetched_at > _KEYS_FRESH_SECONDS or self._find(kid) is None:
            await self._refresh(kid)
        key = self._find(kid)
        return key if key is not None and key.algorithm_name == algorithm else None

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _refresh(self, kid: str | None) -> None:
        async with self._turn:
            now = self._clock.monotonic()
            stale = now - self._fetched_at > _KEYS_FRESH_SECONDS
            # Anybody can send tokens that name unknown keys: that must not become a flood of requests.
            if now - self._tried_at < _KEYS_PAUSE_SECONDS or not (stale or self._find(kid) is None):
                return
            self._tried_at = now
            try:
                found = await anyio.to_thread.run_sync(self._source.get_signing_keys, abandon_on_cancel=True)
            except jwt.PyJWTError:
                # An issuer that is away for a while does not lock out those whose keys are known.
                return
            self._keys = {key.key_id or "": key for key in found}
            self._fetched_at = now


def access_of(settings: Settings, clock: Clock) -> Access | None:
    """Who may come in by the settings; None where nobody is asked who they are.

    Raises:
        ConfigurationError: the OAuth variables are incomplete.
    """
    witnesses: list[Witness] = []
    if settings.tokens:
        witnesses.append(KnownTokens(settings.tokens))
    oauth = {name: getattr(settings, name) for name in ("oauth_issuer", "oauth_audience", "oauth_jwks_url")}
    missing = [variable_of(name) for name, value in oauth.items() if not value]
    if 0 < len(missing) < len(oauth):
        raise ConfigurationError(missing[0], "is not set; issuer, audience and JWKS address go together.")
    if not missing:
        keys = IssuerKeys(settings.oauth_jwks_url, clock)
        witnesses.append(IssuedTokens(issuer=settings.oauth_issuer, audience=settings.oauth_audience, keys=keys))
    return Access(tuple(witnesses), _challenge(settings)) if witnesses else None


def issuer_routes(settings: Settings) -> list[Route]:
    """Where clients read which issuer to turn to, if there is one and our address is known. Source: RFC 9728."""
    resource = _resource(settings)
    if resource is None:
        return []
    return create_protected_resource_routes(
        resource_url=resource, authorization_servers=[AnyHttpUrl(settings.oauth_issuer)]
    )


def _challenge(settings: Settings) -> str:
    resource = _resource(settings)
    return f'Bearer resource_metadata="{build_resource_metadata_url(resource)}"' if resource else "Bearer"


def _resource(settings: Settings) -> AnyHttpUrl | None:
    known = settings.oauth_issuer and settings.public_url
    return AnyHttpUrl(f"{settings.public_url.rstrip('/')}/mcp") if known else None
