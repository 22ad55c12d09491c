"""What is configured, as text: forms that are taken, and rules for all of them. Pure; settings.py applies them."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
SQLITE = "sqlite:///"
SQLITE_FILE = re.compile(r"sqlite:///(/|[A-Za-z]:[\\/])[^?#]+")
_POSTGRES_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s@:/?#,\[\]]*)(:\d{1,5})?"
POSTGRES = re.compile(
    rf"postgres(ql)?://(?!$)([^\s@/?#]*@)?{_POSTGRES_HOST}(,{_POSTGRES_HOST})*(/[^\s/?#]*)?(\?[^\s#]*)?"
)
TOKEN_LENGTH = 16
"""The fewest characters of a token; shorter ones can be guessed."""

STATE_KEY_LENGTH = 32
"""The fewest characters of a key that seals; what the SDK asks for."""

_TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(rf"[!-+\--~]{{{TOKEN_LENGTH},512}}")
_STATE_KEY = re.compile(rf"[!-+\--~]{{{STATE_KEY_LENGTH},512}}")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:\d{1,5})?")
ORIGIN = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://{HOST.pattern}/?")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""What an address begins with, and a path does not: drives have one letter."""

_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")
_LEFT_OPEN = re.compile(
    # Nothing else is written so, wherever it stands.
    r"\$\{.*?\}|\{\{.*?\}\}|\$\(.*?\)|\{env:.*?\}|\$env:\w"
    # These might stand in a password: only between the marks that part addresses, paths and lists.
    r"|(?<![^/\\:@,;=\s])(\$([A-Z][A-Z0-9_]*|home)|%[A-Za-z_]\w*%)(?![^/\\:@,;=.\s])",
)
"""What hosts, shells and templates should have filled in: ``${HOME}``, ``$HOME``, ``%USERPROFILE%``, ``{{home}}``."""

QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_SEPARATORS = " \t,;:"


def counts_as_set(text: str) -> bool:
    """Whether a variable's text is a value, neither blank nor a placeholder that the host did not fill in."""
    return bool(text.strip()) and not _PLACEHOLDER.fullmatch(text.strip())


def is_whole(text: str) -> bool:
    """Whether a value is one: filled in, without quotes around it, and more than what parts a list."""
    in_quotes = len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES
    return not in_quotes and bool(text.strip(_SEPARATORS)) and not _LEFT_OPEN.search(text)


def listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pairs(text: str) -> list[tuple[str, str]]:
    """Names and their tokens."""
    return [(name.strip(), token.strip()) for name, _, token in (pair.partition(":") for pair in listed(text))]


def are_tokens(text: str) -> bool:
    """Whether it is ``name:token,name:token``, no name and no token twice."""
    given = pairs(text)
    names, tokens = {name for name, _ in given}, {token for _, token in given}
    fine = all(_TOKEN_NAME.fullmatch(name) and _TOKEN.fullmatch(token) for name, token in given)
    return fine and len(names) == len(tokens) == len(given)


def are_keys(text: str) -> bool:
    """Whether it is keys that seal, none of them twice."""
    keys = listed(text)
    return all(map(_STATE_KEY.fullmatch, keys)) and len(set(keys)) == len(keys)


def networks_in(text: str) -> tuple[Network, ...]:
    """The networks of a list.

    Raises:
        ValueError: one of them is none.
    """
    return tuple(ip_network(part, strict=False) for part in listed(text))


def as_sent(origin: str) -> str:
    """An origin as a browser sends it: of the web in lower case and without its usual port, others as they are."""
    plain = origin.rstrip("/")
    parts = urlsplit(plain.lower())
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme)
    return plain if usual is None else f"{parts.scheme}://{parts.netloc.removesuffix(usual)}"
