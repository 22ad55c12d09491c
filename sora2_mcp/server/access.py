"""Who may call over HTTP: the tokens of the settings, or an issuer's bearer JWTs."""

import hmac
import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sora2_mcp.clock import Clock
from sora2_mcp.errors import ConfigurationError, LostAnswerError, NotReachedError
from sora2_mcp.services.client import http_client
from sora2_mcp.services.exchange import exchange
from sora2_mcp.settings import Settings, variable_of

logger = logging.getLogger(__name__)

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Only those with a public key: with any other, who may check tokens could make them."""

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
"""What reading a JWT or a key that somebody made up may raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and until when what they showed lets them in; None: for good."""

    principal: str
    expires_at: datetime | None = None


class Witness(Protocol):
    """Knows whose a token is."""

    async def caller(self, token: str) -> Caller | None:
        """Whose token it is, None if it is nobody's."""
        ...


class Access:
    """Lets in whoever one of the witnesses knows; without any witness it is not to be used."""

    def __init__(self, witnesses: tuple[Witness, ...], clock: Clock, challenge: str = "Bearer") -> None:
        self._witnesses = witnesses
        self._clock = clock
        self._challenge = challenge

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """``app`` for known callers only; the others get 401. What is open when a token expires, ends then."""
        inner = AuthContextMiddleware(app)

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            caller = await self._caller(Headers(scope=scope))
            if caller is None:
                await self._refusal()(scope, receive, send)
                return
            # The token itself goes no further: nothing behind this line can show it.
            user = AuthenticatedUser(AccessToken(token="", client_id=caller.principal, scopes=[]))
            answer = _Answer(send)
            with self._until(caller.expires_at, grace_seconds=_ENDING_SECONDS):
                await inner({**scope, "user": user}, self._received(receive, caller.expires_at, answer), answer.send)
            if caller.expires_at is None or self._clock.now() < caller.expires_at:
                return
            # Who does not read what was sent before cannot hold the connection by that.
            with self._clock.timeout(_ENDING_SECONDS):
                await (answer.end() if answer.is_started else self._refusal()(scope, receive, send))

        return guard

    def _until(self, at: datetime | None, *, grace_seconds: float = 0) -> AbstractContextManager[anyio.CancelScope]:
        if at is None:
            return anyio.CancelScope()
        return self._clock.timeout((at - self._clock.now()).total_seconds() + grace_seconds)

    def _received(self, receive: Receive, until: datetime | None, answer: "_Answer") -> Receive:
        """As if the client left at that time: then the SDK clears up behind it, which it does not when cancelled."""

        async def received() -> Message:
            with self._until(until):
                return await receive()
            answer.is_read = False
            return {"type": "http.disconnect"}

        return received

    def _refusal(self) -> JSONResponse:
        return JSONResponse(
            {"error": "This server needs a token it knows: Authorization: Bearer <token>."},
            status_code=401,
            headers={"www-authenticate": self._challenge},
        )

    async def _caller(self, headers: Headers) -> Caller | None:
        given = headers.getlist("authorization")
        # A proxy may have looked at another one of two than we would.
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _TOKEN_LIMIT:
            return None
        for witness in self._witnesses:
            caller = await witness.caller(token)
            if caller is not None:
                return caller
        return None


class _Answer:
    """An answer on its way, which can be ended early."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_started = self._is_endless = False
        self.is_read = True

    async def send(self, message: Message) -> None:
        if not self.is_read:
            return
        if message["type"] == "http.response.start":
            self.is_started = True
            self._is_endless = "content-length" not in Headers(raw=list(message.get("headers", ())))
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_endless = False
        await self._send(message)

    async def end(self) -> None:
        """Ends a stream properly. One of a known size cannot be: the web server breaks it off."""
        if self._is_endless:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class KnownTokens:
    """The tokens of ``SORA2_AUTH_TOKENS``."""

    def __init__(self, tokens: tuple[tuple[str, str], ...]) -> None:
        self._digests = [(name, sha256(token.encode()).digest()) for name, token in tokens]

    async def caller(self, token: str) -> Caller | None:
        given = sha256(token.encode()).digest()
        # All are compared, each in constant time: how long it takes says nothing of any of them.
        names = [name for name, digest in self._digests if hmac.compare_digest(given, digest)]
        return Caller(principal=f"token:{names[0]}") if names else None


class IssuedTokens:
    """JWTs that an OAuth issuer made for this server. Source: RFC 9068, RFC 7519."""

    def __init__(self, *, issuer: str, audience: str, keys: "IssuerKeys") -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    async def caller(self, token: str) -> Caller | None:
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
            expires_at = datetime.fromtimestamp(min(int(claims["exp"]) + _LEEWAY_SECONDS, _LAST_SECOND), UTC)
        except _UNREADABLE:
            return None
        # The library takes an instant in text as well, which RFC 7519 does not.
        if not _is_usable(claims["sub"]) or not isinstance(claims["exp"], int | float):
            return None
        return Caller(principal=f"jwt:{self._issuer}|{claims['sub']}", expires_at=expires_at)


def _is_usable(subject: Any) -> bool:
    """Whether every store and every client can take it. Half a surrogate pair is not printable either."""
    return (
        isinstance(subject, str)
        and 0 < len(subject.strip()) <= len(subject) <= _SUBJECT_LIMIT
        and subject.isprintable()
    )


class IssuerKeys:
    """An issuer's public keys: fetched when needed, renewed after minutes, and trusted for a day without its word."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = self._renewed_at = float("-inf")
        self._is_away = False
        self._turn = anyio.Lock()

    async def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key a token names, or the only one there is; None if it is unknown or of another kind.

        Whose key is known never waits for another caller's fetch, and at most a second for a renewal.
        """
        if self._find(kid) is None:
            await self._ask(kid)
        elif self._age_seconds > _KEYS_FRESH_SECONDS:
            await self._renew()
        key = self._find(kid)
        return key if key is not None and key.algorithm_name == algorithm else None

    @property
    def _age_seconds(self) -> float:
        return self._clock.monotonic() - self._fetched_at

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if self._age_seconds > _KEYS_TRUSTED_SECONDS:
            return None
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _ask(self, kid: str | None) -> None:
        async with self._turn:
            # Anybody can send tokens that name unknown keys: that must not become a flood of requests.
            if self._find(kid) is None and self._has_paused(self._asked_at):
                self._asked_at = self._clock.monotonic()
                await self._fetch(_KEYS_TIMEOUT_SECONDS)

    async def _renew(self) -> None:
        """One caller looks, and not for long; the others go on with the keys there are."""
        if self._turn.locked() or not self._has_paused(max(self._asked_at, self._renewed_at)):
            return
        async with self._turn:
            # Counted apart: a renewal that was cut short must not keep those with unknown keys from asking.
            self._renewed_at = self._clock.monotonic()
            await self._fetch(_RENEWAL_SECONDS)

    def _has_paused(self, since: float) -> bool:
        return self._clock.monotonic() - since >= _KEYS_PAUSE_SECONDS

    async def _fetch(self, limit_seconds: float) -> None:
        began_at, found, problem = self._clock.monotonic(), None, ""
        try:
            found = await self._read(limit_seconds)
        except (NotReachedError, LostAnswerError) as error:
            problem = error.reason
        except (ValueError, RecursionError) as error:
            problem = type(error).__name__
        if found is None:
            # An issuer that is away for a while does not lock out those whose keys are known.
            if not self._is_away:
                logger.warning("the issuer's keys could not be fetched (%s); known ones are good for a day", problem)
            self._is_away = True
            return
        if self._is_away:
            logger.info("the issuer's keys were fetched again")
        self._keys, self._fetched_at, self._is_away = found, began_at, False

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
    return Access(tuple(witnesses), clock, _challenge(settings)) if witnesses else None


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
