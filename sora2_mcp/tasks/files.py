"""Video files on disk: names that are safe on every system, folders, and whether a file is a whole MP4.

Source: ISO/IEC 14496-12, "Object structure": a box is a 32-bit size, a type, and for size 1 a 64-bit size behind it.
"""

import errno
import os
import re
import stat
import unicodedata
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path

import anyio

from sora2_mcp.domain.task import LOCAL, SavedFile
from sora2_mcp.errors import DownloadError

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)

_READ_CHARACTERS = 500
_LIMIT_BYTES = 120
_WORDS_LIMIT_BYTES = 60
_LONGEST_ID = 50
_SHOWN = 24
"""Ids of gateways begin alike for a hundred characters."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_SUFFIX = ".mp4"

_HEADER_BYTES = 8
_LONG_HEADER_BYTES = 16
_MOST_BOXES = 100_000
"""An hour in fragments of a second has a tenth of that; a file of the smallest boxes would be walked for minutes."""


async def is_kept(file: SavedFile) -> bool:
    """Whether it still lies where it was saved, and is the video as far as its size tells."""
    try:
        found = await anyio.Path(file.path).stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == file.size_bytes


def prepared(folder: Path, id: str) -> None:
    """Makes the folder, and takes away what others have left of the task's video.

    Its lease is ours, so that belongs to a process that died in the middle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{id}.*.part"):
        left.unlink(missing_ok=True)


def folder_of(folder: Path, principal: str) -> Path:
    """The folder itself for ``local``, a folder of its own for each other principal."""
    if principal == LOCAL:
        return folder
    name = safe_name(principal, "other").removesuffix(".mp4")
    return folder / f"{name}-{sha256(principal.encode()).hexdigest()[:32]}"


def placed(part: Path, folder: Path, name: str, reference: str) -> Path:
    """Gives a complete file its name, atomically, never replacing another; a taken name gets the task's id."""
    others = (with_suffix(name, f"{reference}-{number}") for number in range(2, 100))
    for candidate in (name, with_suffix(name, reference), *others):
        path = folder / candidate
        try:
            os.link(part, path)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if not _moved(part, path):
                continue
        _keep_names(folder)
        return path
    hint = "Choose another filename and call download_video again."
    problem = f"too many files called {name} exist already."
    raise DownloadError(reference, problem, hint, cli_hint="Choose another --filename.")


def _moved(part: Path, path: Path) -> bool:
    """On a file system without hard links the name is kept with an empty file, which is then replaced."""
    try:
        path.open("xb").close()
    except FileExistsError:
        return False
    try:
        part.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def _keep_names(folder: Path) -> None:
    """A power failure must not take the name of a file that the store calls saved. Windows sees to that itself."""
    if hasattr(os, "O_DIRECTORY"):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Some network file systems know no such thing.
            with suppress(OSError):
                os.fsync(opened)
        finally:
            os.close(opened)


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


def is_whole_mp4(path: Path) -> bool:
    """The boxes begin with ``ftyp``, hold a description and pictures, and end exactly where the file does."""
    size, position = path.stat().st_size, 0
    described = filled = False
    boxes = 0
    with path.open("rb") as file:
        while position < size and boxes < _MOST_BOXES:
            boxes += 1
            file.seek(position)
            header = file.read(_LONG_HEADER_BYTES)
            kind, length = header[4:8], _length(header, size - position)
            if length is None or (position == 0 and kind != b"ftyp"):
                return False
            described |= kind == b"moov"
            filled |= kind in (b"mdat", b"moof")
            position += length
    return position == size and described and filled


def _length(header: bytes, rest: int) -> int | None:
    """The box's whole length; None where the header is cut off or says what cannot be."""
    length, least = int.from_bytes(header[:4], "big"), _HEADER_BYTES
    if length == 0:  # the last box, up to the end of the file
        length = rest
    elif length == 1:
        length, least = int.from_bytes(header[8:], "big"), _LONG_HEADER_BYTES
    return length if len(header) >= least and length >= least else None
