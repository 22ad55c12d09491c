"""Foreign words, made safe to show: of services, hosts and files."""

import re

_HARMLESS = str.maketrans({'"': "'", "<": "‹", ">": "›"})
_MARKUP = re.compile(r"<[^<>]{0,400}>")


def sanitized(text: str, limit: int) -> str:
    """Foreign words as one line of at most so many characters: no control or bidi characters, no links in Markdown."""
    # White space can be dropped, so a bit more than the limit is looked at, and never all of what may be megabytes.
    visible = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    # A link needs its two brackets side by side.
    plain = " ".join(visible.split()).replace("](", "] (")
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def quoted(text: str, limit: int = 300) -> str:
    """Foreign words, safe to show an agent: sanitized, no markup, shortened, in quotes."""
    plain = sanitized(_MARKUP.sub(" ", text[: 8 * limit]), limit).translate(_HARMLESS)
    return f'"{plain}"'
