"""Takes our key out of what others say: gateways repeat it in their errors, and errors are stored and shown."""

import re
from functools import lru_cache
from html.entities import codepoint2name

SHORTEST_KEY = 8
"""Anything shorter, as the simulator's, would be found within ordinary words."""


def without_key(text: str, key: str) -> str:
    """The text without the key, also where it is escaped as JSON (at any depth), a URL or HTML escapes it."""
    return text if len(key) < SHORTEST_KEY else _spelled(key).sub("***", text)


@lru_cache(maxsize=4)
def _spelled(key: str) -> re.Pattern[str]:
    # A run of backslashes is tried from its beginning only, and possessively: each further try would read it anew.
    return re.compile(r"(?<!\\)" + "".join(map(_character, key)))


def _character(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return r"(?>\\++|(?i:%5c))"
    spellings = [f"(?i:u{code:04x})", f"(?i:%{code:02x})", f"&#0*+{code};", f"(?i:&#x0*+{code:x};)"]
    if name := codepoint2name.get(code):
        spellings.append(f"&{name};")
    return rf"\\*+(?>{'|'.join([*spellings, re.escape(character)])})"
