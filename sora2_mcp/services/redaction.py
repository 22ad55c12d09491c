"""Takes our API key out of answers: gateways repeat it in their errors, and errors are stored and shown."""

import re
from functools import lru_cache
from html.entities import codepoint2name

SHORTEST_KEY = 8
"""A shorter one, such as the simulator's, would be found within ordinary words."""


def without_key(text: str, key: str) -> str:
    """The text without the key, also where it is escaped as in JSON (at any depth), a URL or HTML."""
    return text if len(key) < SHORTEST_KEY else _pattern_of(key).sub("***", text)


# A process has one key; a doctor or a test may have a few.
@lru_cache(maxsize=4)
def _pattern_of(key: str) -> re.Pattern[str]:
    # A run of backslashes is tried from its beginning only, and possessively: each further try would read it anew.
    return re.compile(r"(?<!\\)" + "".join(map(_character, key)))


def _character(character: str) -> str:
    code = ord(character)
    # Each level of JSON doubles the backslashes, so any number of them stands for one.
    if character == "\\":
        return r"(?>\\++|(?i:%5c))"
    spellings = [f"(?i:u{code:04x})", f"(?i:%{code:02x})", f"&#0*+{code};", f"(?i:&#x0*+{code:x};)"]
    if name := codepoint2name.get(code):
        spellings.append(f"&{name};")
    return rf"\\*+(?>{'|'.join([*spellings, re.escape(character)])})"
