"""What strangers send: raw HTTP, names and pages, messages, tokens. The same sample every time."""

import base64
import hmac
import json
import random
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sora2_mcp.clock import SystemClock
from tests.server.issuers import AUDIENCE, ISSUER, Issuer
from tests.server.test_bodies import META


def asked(line: str, *headers: bytes, body: bytes = b"", host: bytes = b"Host: localhost\r\n") -> bytes:
    """A request for this machine, the last of its connection, with headers as they are."""
    return (
        line.encode()
        + b"\r\n"
        + host
        + b"Connection: close\r\n"
        + b"".join(f + b"\r\n" for f in headers)
        + b"\r\n"
        + body
    )


NEXT = asked("GET /healthz HTTP/1.1")
GET, POST = "GET /healthz HTTP/1.1", "POST /mcp HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"


def framed(*headers: bytes, body: bytes) -> bytes:
    """A request whose body may be thought to end here or there, and after it another one, or what looks like it."""
    return b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body + NEXT


# Each with its answers. Where there are two, the second is the one to NEXT: the body ended where RFC 9112 has it end.
RAW: dict[str, tuple[bytes, list[int]]] = {
    "length and chunks": (framed(b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\n"), [400, 200]),
    "chunks and a length that takes in what follows": (
        framed(CHUNKED, b"Content-Length: 90", body=b"0\r\n\r\n"),
        [400, 200],
    ),
    "two lengths": (framed(b"Content-Length: 0", b"Content-Length: 5", body=b"hello"), [400]),
    "a list of two lengths": (framed(b"Content-Length: 0, 5", body=b"hello"), [400]),
    "the same length twice": (framed(b"Content-Length: 0", b"Content-Length: 0", body=b""), [400, 200]),
    "a length with a sign": (framed(b"Content-Length: +5", body=b"hello"), [400]),
    "a length below zero": (framed(b"Content-Length: -1", body=b""), [400]),
    "a length in hexadecimal": (framed(b"Content-Length: 0x5", body=b"hello"), [400]),
    "a length with an underscore": (framed(b"Content-Length: 1_0", body=b"hellohello"), [400]),
    "a length of no digits": (framed(b"Content-Length: ", body=b""), [400]),
    "a length of other digits": (framed("Content-Length: ٥".encode(), body=b"hello"), [400]),
    "a length of 19 digits": (asked(POST, b"Content-Length: 9999999999999999999"), [413]),
    "a length of 5,000 digits": (asked(POST, b"Content-Length: " + b"9" * 5000), [400]),
    "chunks by another name": (framed(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), [400]),
    "chunks twice": (framed(CHUNKED, CHUNKED, body=b"0\r\n\r\n"), [400]),
    "chunks after something else": (framed(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), [400]),
    "chunks after a vertical tab": (framed(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), [400]),
    "chunks with a space before the colon": (framed(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), [400]),
    "a size that is none": (framed(CHUNKED, body=b"xyz\r\nhello\r\n0\r\n\r\n"), [400]),
    "a size below zero": (framed(CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n"), [400]),
    "a size of 0x": (framed(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"), [400]),
    "a size of 40 digits": (framed(CHUNKED, body=b"f" * 40 + b"\r\nhello\r\n0\r\n\r\n"), [400]),
    "a size that is too small": (framed(CHUNKED, body=b"3\r\nhello\r\n0\r\n\r\n"), [400]),
    "a header of two lines": (asked(GET, b"X-A: a", b" b"), [200]),
    "a first header that goes on from nowhere": (asked(GET, host=b" Host: localhost\r\n"), [400]),
    "a space before the colon": (asked(GET, b"X-A : a"), [400]),
    "no colon": (asked(GET, b"nonsense"), [400]),
    "no name": (asked(GET, b": a"), [400]),
    "NUL in a name": (asked(GET, b"X\x00A: a"), [400]),
    "NUL in a value": (asked(GET, b"X-A: a\x00b"), [400]),
    "CR in a value": (asked(GET, b"X-A: a\rX-B: b"), [400]),
    "two hosts": (asked(POST, b"Host: localhost"), [400]),
    "no host": (asked(POST, host=b""), [400]),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", [400]),
    "HTTP/1.0": (asked("POST /mcp HTTP/1.0"), [421]),
    "HTTP/9.9": (asked("GET /healthz HTTP/9.9"), [200]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", [404, 400]),
    "a change to HTTP/2": (asked(GET, b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), [200]),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + bytes(200) + b"\r\n\r\n", [400]),
    "nothing but line ends": (b"\r\n" * 1000, [400]),
    "another service's address": (asked("GET http://evil.example/mcp HTTP/1.1"), [404]),
    "its own whole address": (asked("GET http://localhost/healthz HTTP/1.1"), [404]),
    "the server as a whole": (asked("OPTIONS * HTTP/1.1"), [404]),
    "a tunnel": (asked("CONNECT evil.example:443 HTTP/1.1"), [404]),
    "TRACE": (asked("TRACE /mcp HTTP/1.1"), [405]),
    "a method that there is not": (asked("BREW /callbacks/x HTTP/1.1"), [405]),
    "a method in small letters": (asked("post /callbacks/x HTTP/1.1"), [405]),
    "a method that is no word": (asked("P@ST\x01 /mcp HTTP/1.1"), [400]),
    "no method": (asked("/healthz HTTP/1.1"), [400]),
    "spaces in the path": (asked("GET /health z HTTP/1.1"), [400]),
    "letters beyond ASCII in the path": (asked("GET /héalthz HTTP/1.1"), [400]),
}
LONG: dict[str, bytes] = {
    "a line": asked(f"GET /{'a' * 1_000_000} HTTP/1.1"),
    "a value": asked(GET, b"X-A: " + b"a" * 1_000_000),
    "headers": asked(GET, *[b"X-%d: a" % number for number in range(100_000)]),
    "an extension": framed(CHUNKED, body=b"5;x=" + b"y" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n"),
    "trailers": framed(CHUNKED, body=b"0\r\n" + b"x: y\r\n" * 200_000 + b"\r\n"),
}
CUT_OFF: dict[str, bytes] = {
    "before the first byte": b"",
    "in a name": b"GET /healthz HTTP/1.1\r\nHos",
    "in a body": asked(POST, b"Content-Length: 9", body=b"{"),
    "in a chunk": asked(POST, CHUNKED, body=b"5\r\nhel"),
}
PATHS = [
    "/callbacks/", "/callbacks/../mcp", "/callbacks/..%2f..%2fetc%2fpasswd", "/callbacks/%00", "/callbacks/%ff%fe",
    "/callbacks/%ed%a0%80", "/callbacks/" + "a" * 5000, "/callbacks/x;/../../mcp", "/callbacks//etc/passwd",
    "/callbacks\\..\\mcp", "/mcp/../healthz", "/mcp/..%2fhealthz", "/./mcp", "//mcp", "/mcp//", "/mcp%00", "/mcp%2f",
    "/mcp;x", "/mcp.json", "/MCP", "/messages/..", "/messages/?session_id=%00", "/messages/?session_id[]=1", "/%",
]  # fmt: skip


HOSTS = ["127.0.0.1", "127.0.0.1:8000", "LOCALHOST:1", "[::1]", "sora.example:8443", "other.example:8443"]
FOREIGN_HOSTS = [
    "", "evil.example", "localhost.", "localhost.evil.example", "evil@localhost", "localhost:80:80", "localhost:123456",
    "localhost,evil.example", "localhost/", "localhost\n", "127.1", "2130706433", "0.0.0.0", "[::]",
    "[::ffff:127.0.0.1]", "::1", "other.example", "other.example:8444", "sora.example.", "xsora.example",
]  # fmt: skip
ORIGINS = [None, "http://localhost:6274", "https://127.0.0.1", "http://[::1]:80", "https://chat.example"]
FOREIGN_ORIGINS = [
    "", "null", "http://evil.example", "http://localhost.evil.example", "http://localhost@evil.example",
    "http://localhost:123456", "http://localhost/", "http://localhost\n", "http://0.0.0.0", "file://",
    "http://chat.example", "https://chat.example:443", "https://CHAT.example", "https://xchat.example",
    "https://sora.example", "http://localhost, https://chat.example",
]  # fmt: skip


METHODS = [
    "ping", "initialize", "server/discover", "tools/list", "tools/call", "resources/list", "resources/read",
    "resources/templates/list", "resources/subscribe", "resources/unsubscribe", "prompts/list", "prompts/get",
    "completion/complete", "logging/setLevel", "tasks/get", "no/such", "", "__init__", "tools/call\x00", "\u202e",
]  # fmt: skip
"""``subscriptions/listen`` is not among them: its answer is a stream."""

TOOLS = ["generate_video", "get_task_status", "wait_for_video", "list_tasks", "download_video", "", "no_such_tool"]
FIELDS = ["task_id", "prompt", "image_urls", "timeout_seconds", "cursor", "limit", "filename", "idempotency_key", "x"]


def odd(chance: random.Random) -> Any:
    """A value that few expect."""
    nested: Any = {}
    for _ in range(chance.choice([3, 3, 30, 300])):
        nested = {"a": nested} if chance.random() < 0.5 else [nested]
    return chance.choice([
        None, True, 0, -1, 10**30, 1.5, float("nan"), float("inf"), "", "x" * 6000, "\x00", "\ud800", "\u202e", "a\nb",
        [], {}, [[]], ["a"] * 100, nested, "../../etc/passwd", "sora2://tasks/../usage", "sora2://tasks/%00", "file:///etc",
        "'; DROP TABLE tasks; --", "{{7*7}}", "http://169.254.169.254/", "__proto__", {"__class__": "x"},
    ])  # fmt: skip


def parameters(chance: random.Random) -> dict[str, Any]:
    """Those of no method in particular, plausible here and there."""
    fields = {chance.choice(FIELDS): odd(chance) for _ in range(chance.randrange(4))}
    given = {
        "name": (0.95, chance.choice([*TOOLS, *TOOLS, odd(chance)])),
        "arguments": (0.95, chance.choice([fields] * 9 + [odd(chance)])),
        "uri": (0.6, odd(chance)),
        "cursor": (0.3, odd(chance)),
        "ref": (0.6, chance.choice([{"type": "ref/prompt", "name": odd(chance)}, odd(chance)])),
        "argument": (0.6, chance.choice([{"name": "task_id", "value": odd(chance)}, odd(chance)])),
        "level": (0.6, odd(chance)),
        "_meta": (0.1, chance.choice([{"progressToken": odd(chance)}, odd(chance)])),
    }
    return {name: value for name, (how_often, value) in given.items() if chance.random() < how_often}


def messages(seed: int, *, is_modern: bool = False) -> Iterator[tuple[dict[str, Any], bytes]]:
    """300 messages; every one that keeps a valid id has one of its own."""
    chance = random.Random(seed)  # noqa: S311 - the same ones every time
    for number in range(300):
        message: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": chance.choice([1000 + number, f"id {number}", -number - 1, 10**20 + number]),
            "method": chance.choice(METHODS + ["tools/call"] * len(METHODS)),
            "params": parameters(chance),
        }
        if is_modern and chance.random() < 0.8:
            message["params"]["_meta"] = META
        if chance.random() < 0.3:
            message[chance.choice([*message, "extra"])] = odd(chance)
        if chance.random() < 0.1:
            del message[chance.choice([*message])]
        yield message, json.dumps(message).encode()


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _text(value: Any) -> str:
    return _b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def _changed(base: dict[str, Any], change: dict[str, Any] | bytes | None) -> Any:
    if isinstance(change, bytes):
        return change
    return {name: value for name, value in {**base, **(change or {})}.items() if value is not ...}


class Forger:
    """Makes tokens with the issuer's key, a stranger's, or a secret that everybody knows."""

    def __init__(self, own: RSAPrivateKey, stranger: RSAPrivateKey, strangers_url: str) -> None:
        self._own, self._stranger, self._url = own, stranger, strangers_url
        now = int(SystemClock().now().timestamp())
        self.later = now + 300
        self._claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "carol", "exp": now + 300}

    def made(
        self,
        head: dict[str, Any] | bytes | None = None,
        claims: dict[str, Any] | bytes | None = None,
        *,
        key: RSAPrivateKey | bytes | None = None,
    ) -> str:
        """A token with changes; ``...`` takes a field out, bytes take the place of all."""
        header = {"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
        parts = [_changed(header, head), _changed(self._claims, claims)]
        signed = ".".join(map(_text, parts))
        if isinstance(key, bytes):
            digest = {"HS384": "sha384", "HS512": "sha512"}.get(parts[0]["alg"], "sha256")
            return f"{signed}.{_b64(hmac.digest(key, signed.encode(), digest))}"
        return f"{signed}.{_b64((key or self._own).sign(signed.encode(), PKCS1v15(), SHA256()))}"

    def without_signature(self) -> Iterator[str]:
        """Claims that nobody signed, or not these."""
        head, claims, signature = self.made().split(".")
        algs: list[Any] = ["none", "None", "NONE", "nOnE", "none ", "", None, [], ["RS256"], {}, 0, True, ...]
        for alg in algs:
            yield self.made({"alg": alg})
            yield self.made({"alg": alg}).rpartition(".")[0] + "."
        other = _text({**self._claims, "sub": "admin"})
        for alg in ("RS256", "ES256", "PS256", "EdDSA"):
            yield f"{_text({'alg': alg, 'kid': 'k1'})}.{claims}."
            yield f"{_text({'alg': alg, 'kid': 'k1'})}.{claims}.{_b64(bytes(64))}"
            yield f"{_text({'alg': alg, 'kid': 'k1'})}.{claims}.{_b64(bytes(256))}"
        yield from (
            f"{head}.{other}.{signature}",
            f"{head}.{claims}",
            f"{head}.{claims}.{signature}.x",
            f"{head}..{signature}",
        )
        yield from (f".{claims}.{signature}", "..", "....", f"{head}.{claims}.{signature}.{signature}.{signature}")

    def by_the_public_key(self) -> Iterator[str]:
        """With HMAC, whose secret is what anybody can read, or nothing."""
        public = self._own.public_key()
        formats = [
            (e, f)
            for e in (Encoding.PEM, Encoding.DER)
            for f in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1)
        ]
        secrets = [public.public_bytes(*each) for each in formats]
        number = public.public_numbers().n.to_bytes(256, "big")
        secrets += [secrets[0].strip(), number, _b64(number).encode(), b"", b"\x00", b"k1", b"secret"]
        for secret in secrets:
            yield from (self.made({"alg": alg}, key=secret) for alg in ("HS256", "HS384", "HS512", "hs256", "RS256"))

    def by_a_key_of_its_own(self) -> Iterator[str]:
        """With a stranger's key, which comes along or is to be fetched."""
        [jwk] = Issuer(self._stranger).keys
        for kid in ("k1", "unknown", ..., self._url):
            for brought in ({"jwk": jwk}, {"jku": self._url}, {"x5u": self._url}, {"x5c": [jwk["n"]]}, {"keys": [jwk]}):
                yield self.made({"kid": kid, **brought}, key=self._stranger)

    def with_odd_heads(self) -> Iterator[str]:
        """Headers that lead elsewhere, ask for what is not known here, or are none; the signature is right."""
        for kid in ("", "K1", "k1\x00", "k1 ", "../../dev/null", "' OR 1=1 --", "x" * 9000, ["k1"], {"k1": 1}, 0, True):
            yield self.made({"kid": kid})
            yield self.made({"kid": kid, "alg": "HS256"}, key=b"")
        crits: list[Any] = [["exp"], ["unknown"], ["b64", "unknown"], [], "b64", {}, [1], None, True]
        for crit in crits:
            yield self.made({"crit": crit})
        yield from (self.made({"crit": ["b64"], "b64": False}), self.made({"b64": False}))
        yield from (self.made(raw) for raw in (b"[]", b"null", b"1", b"", b"\xff", b"[" * 5000, b'{"a":' * 2000))

    def with_odd_claims(self) -> Iterator[str]:
        """Claims for others, for other times, or of other kinds; the signature is right."""
        far = self.later * 2
        odd: dict[str, list[Any]] = {
            "aud": ["", [], [""], ["https://other.example"], [AUDIENCE, 1], [[AUDIENCE]], {AUDIENCE: 1}, True, None,
                    AUDIENCE + "/", AUDIENCE[:-1], AUDIENCE.upper(), f"{AUDIENCE} https://other.example"],
            "iss": ["", [ISSUER], {ISSUER: 1}, ISSUER + "/", ISSUER.upper(), f"{ISSUER}\x00", None, True],
            "nbf": [far, far + 0.5, str(far), 10**400, [1], {}, "soon", float("nan"), float("inf"), None],
            "iat": [far, str(far), 10**400, "x", [1], None],
            "exp": ["", "soon", "1", str(self.later), f" {self.later} ", "1e99", "inf", -1, 0,
                    -(10**400), True, None, {},
                    float("nan"), float("-inf"), self.later - 900.5],
            "sub": ["", None, True, 1, ["carol"], {"a": 1}, "\u200b", "carol\u2028", "x" * 9000],
        }  # fmt: skip
        yield from (self.made(claims={name: value}) for name, values in odd.items() for value in values)
        yield from (
            self.made(claims=raw) for raw in (b"[]", b"null", b"1", b"", b"\xff", b"[" * 5000, b'{"exp":' * 2000)
        )
        yield self.made(claims={"padding": "x" * 20_000})

    def all(self) -> Iterator[str]:
        """None of them may get in."""
        yield from self.without_signature()
        yield from self.by_the_public_key()
        yield from self.by_a_key_of_its_own()
        yield from self.with_odd_heads()
        yield from self.with_odd_claims()
