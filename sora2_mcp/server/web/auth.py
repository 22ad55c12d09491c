"""Who may call over HTTP: the tokens of the settings, and bearer JWTs of an OAuth issuer."""

import hmac
import json
import logging
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import anyio
import anyio.to_thread
import jwt
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, BearerAuthBackend
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl
from starlette.authentication import AuthCredentials, BaseUser
from starlette.datastructures import Headers
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sora2_mcp.clock import Clock
from sora2_mcp.errors import ConfigurationError, LostAnswerError, NotReachedError
from sora2_mcp.services.client import http_client
from sora2_mcp.services.exchange import exchange
from sora2_mcp.settings import Settings, variable_of

logger = logging.getLogger(__name__)

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Only those with a public key: with any other, a server that checks tokens could make them."""

_LEEWAY_SECONDS = 30
_SUBJECT_LIMIT = 200
_TOKEN_LIMIT = 16_384
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999: a ``datetime`` holds nothing later."""

_ENDING_SECONDS = 1.0
_KEYS_FRESH_SECONDS = 300.0
_KEYS_TRUSTED_SECONDS = 86_400.0
_KEYS_PAUSE_SECONDS = 10.0
_KEYS_TIMEOUT_SECONDS = 5.0
_RENEWAL_SECONDS = 1.0
_PRIVATE_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a made-up JWT or key may raise."""


class StaticTokens(TokenVerifier):
    """The tokens of ``SORA2_AUTH_TOKENS``."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._digests = [(name, sha256(token.encode()).digest()) for name, token in tokens]

    async def verify_token(self, token: str) -> AccessToken | None:
        given = sha256(token.encode()).digest()
        # All are compared, each in constant time: how long it takes says nothing of any of them.
        names = [name for name, digest in self._digests if hmac.compare_digest(given, digest)]
        return _access(f"token:{names[0]}") if names else None


class IssuedTokens(TokenVerifier):
    """JWTs that an OAuth issuer made for this server. Source: RFC 9068, RFC 7519."""

    def __init__(self, *, issuer: str, audience: str, keys: "IssuerKeys") -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    async def verify_token(self, token: str) -> AccessToken | None:
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
            expires_at = min(int(claims["exp"]) + _LEEWAY_SECONDS, _LAST_SECOND)
        except _UNREADABLE:
            return None
        # PyJWT takes an instant in text as well, which RFC 7519 does not.
        if not _is_usable(claims["sub"]) or not isinstance(claims["exp"], int | float):
            return None
        return _access(f"jwt:{self._issuer}|{claims['sub']}", expires_at)


def _access(principal: str, expires_at: int | None = None) -> AccessToken:
    # The token itself goes no further: nothing behind the verifier can show it.
    return AccessToken(token="", client_id=principal, scopes=[], expires_at=expires_at)


def _is_usable(subject: Any) -> bool:
    """Whether every store and every client can take it. Half a surrogate pair is not printable either."""
    return (
        isinstance(subject, str)
        and 0 < len(subject.strip()) <= len(subject) <= _SUBJECT_LIMIT
        and subject.isprintable()
    )


class IssuerKeys:
    """An issuer's public keys: fetched when needed, renewed after minutes, and trusted for a day while it is away.

    A caller whose key is known never waits for another caller's fetch, and at most a second for a renewal.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = self._renewed_at = float("-inf")
        self._is_away = False
        self._turn = anyio.Lock()

    async def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key a token names, or the only one there is; None if it is unknown or of another kind."""
        if self._find(kid) is None:
            async with self._turn:
                # Anybody can send tokens that name unknown keys: that must not become a flood of requests.
                if self._find(kid) is None and self._seconds_since(self._asked_at) >= _KEYS_PAUSE_SECONDS:
                    self._asked_at = self._clock.monotonic()
                    await self._fetch(_KEYS_TIMEOUT_SECONDS)
        elif self._needs_renewal():
            async with self._turn:
                # Counted apart: a renewal that was cut short must not keep a caller with an unknown key from asking.
                self._renewed_at = self._clock.monotonic()
                await self._fetch(_RENEWAL_SECONDS)
        key = self._find(kid)
        return key if key is not None and key.algorithm_name == algorithm else None

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if self._seconds_since(self._fetched_at) > _KEYS_TRUSTED_SECONDS:
            return None
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _needs_renewal(self) -> bool:
        """Whether it is this caller that looks: one at a time, and not often."""
        last = max(self._asked_at, self._renewed_at)
        is_stale = self._seconds_since(self._fetched_at) > _KEYS_FRESH_SECONDS
        return is_stale and self._seconds_since(last) >= _KEYS_PAUSE_SECONDS and not self._turn.locked()

    def _seconds_since(self, instant: float) -> float:
        return self._clock.monotonic() - instant

    async def _fetch(self, limit_seconds: float) -> None:
        began_at = self._clock.monotonic()
        try:
            keys = await self._read(limit_seconds)
        except (NotReachedError, LostAnswerError, ValueError, RecursionError) as error:
            if not self._is_away:
                reason = getattr(error, "reason", type(error).__name__)
                logger.warning("the issuer's keys could not be fetched (%s); known ones are good for a day", reason)
            self._is_away = True
            return
        if self._is_away:
            logger.info("the issuer's keys were fetched again")
        self._keys, self._fetched_at, self._is_away = keys, began_at, False

    async def _read(self, limit_seconds: float) -> dict[str, jwt.PyJWK]:
        # Redirects are not followed: the address of the settings is the one that is trusted.
        async with http_client(key="") as http:
            get = http.build_request("GET", self._url, timeout=limit_seconds)
            answer = await exchange(http, get, clock=self._clock, limit_seconds=limit_seconds)
        if answer.status != 200:
            raise LostAnswerError(f"HTTP {answer.status}")
        return await anyio.to_thread.run_sync(_keys_in, answer.text)


def _keys_in(body: str) -> dict[str, jwt.PyJWK]:
    """The signing keys of a JWK set, by name. Source: RFC 7517."""
    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("The issuer's answer is no JWK set.")
    return {key.key_id: key for key in map(_signing_key, entries) if key is not None and key.key_id}


def _signing_key(entry: Any) -> jwt.PyJWK | None:
    """None for what is no key, or of a kind not known here: it does not take the others away."""
    if not isinstance(entry, dict) or entry.get("use") not in ("sig", None) or not isinstance(entry.get("kid"), str):
        return None
    # Of a private key, which no issuer should show, the primes would be checked: half a second in which no thread runs.
    public = {name: value for name, value in entry.items() if name not in _PRIVATE_PARTS}
    try:
        return jwt.PyJWK(public)
    except _UNREADABLE:
        return None


class AnyToken(TokenVerifier):
    """A token that one of several verifiers knows."""

    def __init__(self, verifiers: Sequence[TokenVerifier]) -> None:
        self._verifiers = verifiers

    async def verify_token(self, token: str) -> AccessToken | None:
        token = token.strip(" ")
        if token and len(token) <= _TOKEN_LIMIT:
            for verifier in self._verifiers:
                if access := await verifier.verify_token(token):
                    return access
        return None


def token_verifier(settings: Settings, clock: Clock) -> TokenVerifier | None:
    """What knows the tokens of the settings; None where no token is asked for.

    Raises:
        ConfigurationError: the OAuth variables are incomplete.
    """
    verifiers: list[TokenVerifier] = [StaticTokens(settings.tokens)] if settings.tokens else []
    oauth = {name: getattr(settings, name) for name in ("oauth_issuer", "oauth_audience", "oauth_jwks_url")}
    missing = [variable_of(name) for name, value in oauth.items() if not value]
    if 0 < len(missing) < len(oauth):
        raise ConfigurationError(missing[0], "is not set; issuer, audience and JWKS address go together.")
    if not missing:
        keys = IssuerKeys(settings.oauth_jwks_url, clock)
        verifiers.append(IssuedTokens(issuer=settings.oauth_issuer, audience=settings.oauth_audience, keys=keys))
    return AnyToken(verifiers) if verifiers else None


def authenticated(app: ASGIApp, verifier: TokenVerifier, settings: Settings, clock: Clock) -> ASGIApp:
    """``app`` for callers with a token that the verifier knows; the others get 401."""
    resource = _resource(settings)
    challenge = f'Bearer resource_metadata="{build_resource_metadata_url(resource)}"' if resource else "Bearer"
    known = RequireToken(AuthContextMiddleware(app), challenge, clock)
    return AuthenticationMiddleware(known, backend=_OneBearer(verifier))


class _OneBearer(BearerAuthBackend):
    """Takes no token where there are two headers: a proxy may have looked at the other one."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        return await super().authenticate(conn) if len(conn.headers.getlist("authorization")) == 1 else None


class RequireToken:
    """Refuses with 401 what has no token, and ends what is open when its token expires."""

    def __init__(self, app: ASGIApp, challenge: str, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._refusal = JSONResponse(
            {"error": "This server needs a token it knows: Authorization: Bearer <token>."},
            status_code=401,
            headers={"www-authenticate": challenge},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("user")
        if not isinstance(user, AuthenticatedUser):
            await self._refusal(scope, receive, send)
        elif user.access_token.expires_at is None:
            await self._app(scope, receive, send)
        else:
            await self._answer_until(user.access_token.expires_at, scope, receive, send)

    async def _answer_until(self, expires_at: int, scope: Scope, receive: Receive, send: Send) -> None:
        is_started = is_endless = False

        def seconds_left() -> float:
            return expires_at - self._clock.now().timestamp()

        async def receive_in_time() -> Message:
            with self._clock.timeout(seconds_left()):
                return await receive()
            # As if the client had left: then the SDK cleans up, which it does not when cancelled.
            return {"type": "http.disconnect"}

        async def send_noted(message: Message) -> None:
            nonlocal is_started, is_endless
            if message["type"] == "http.response.start":
                is_started, is_endless = True, "content-length" not in Headers(raw=list(message.get("headers", ())))
            elif not message.get("more_body", False):
                is_endless = False
            await send(message)

        with self._clock.timeout(seconds_left() + _ENDING_SECONDS):
            await self._app(scope, receive_in_time, send_noted)
        if seconds_left() > 0:
            return
        # A client that does not read what was sent before cannot hold the connection by that.
        with self._clock.timeout(_ENDING_SECONDS):
            if not is_started:
                await self._refusal(scope, receive, send)
            elif is_endless:
                # An answer of known size cannot be ended early: the web server breaks it off.
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def issuer_routes(settings: Settings) -> list[Route]:
    """Where clients read which issuer to turn to, if there is one and our address is known. Source: RFC 9728."""
    resource = _resource(settings)
    if resource is None:
        return []
    return create_protected_resource_routes(
        resource_url=resource, authorization_servers=[AnyHttpUrl(settings.oauth_issuer)]
    )


def _resource(settings: Settings) -> AnyHttpUrl | None:
    known = settings.oauth_issuer and settings.public_url
    return AnyHttpUrl(f"{settings.public_url.rstrip('/')}/mcp") if known else None
