"""Names for video files that are safe on every system."""

import re
import unicodedata
from hashlib import blake2b

_READ_CHARACTERS = 500
_LIMIT_BYTES = 120
_WORDS_LIMIT_BYTES = 60
_LONGEST_ID = 50
_SHOWN = 24
"""Ids of gateways begin alike for a hundred characters."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_SUFFIX = ".mp4"


def safe_name(wanted: str, fallback: str) -> str:
    """A file name that stays in its folder, made from ``wanted`` where anything of it is left; ends in ``.mp4``."""
    stem = _stem(re.split(r"[/\\]", wanted)[-1]) or _stem(fallback) or "video"
    return stem + _SUFFIX


def with_suffix(name: str, addition: str) -> str:
    """The name with ``addition`` before its ``.mp4``; a long one by its beginning and a mark of the whole."""
    short = addition if len(addition) <= _LONGEST_ID else f"{addition[:_SHOWN]}-{_mark(addition)}"
    return f"{name.removesuffix(_SUFFIX)}-{_stem(short)}{_SUFFIX}"


def _mark(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=6).hexdigest()


def default_name(prompt: str, task_id: str) -> str:
    """A name people recognise: the prompt's first words and the task's id."""
    words = re.sub(r"[^\w]+", "-", prompt[:200].lower()).strip("-_")
    start = _shortened(words[:40], _WORDS_LIMIT_BYTES).rstrip("-_")
    if len(task_id) > _LONGEST_ID:
        task_id = f"{task_id[:_SHOWN]}-{_mark(task_id)}"
    return safe_name(f"{start}-{task_id}" if start else task_id, task_id)


def _stem(text: str) -> str:
    # Of the rest nothing would be left, and the time this takes grows with the square of the marks in a row.
    whole = unicodedata.normalize("NFC", text[:_READ_CHARACTERS])
    printable = "".join(" " if char.isspace() else char for char in whole if not _unprintable(char))
    stem = _FORBIDDEN.sub("_", printable).rstrip(" .")
    if stem.lower().endswith(_SUFFIX):
        stem = stem[: -len(_SUFFIX)]
    stem = _shortened(stem.strip(" ."), _LIMIT_BYTES)
    return f"_{stem}" if _RESERVED.fullmatch(stem) else stem


def _unprintable(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn")


def _shortened(stem: str, limit_bytes: int) -> str:
    return stem.encode()[:limit_bytes].decode(errors="ignore").rstrip(" .")
