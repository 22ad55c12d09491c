"""Whether a file is a whole MP4: its boxes are walked, not trusted.

Source: ISO/IEC 14496-12, "Object structure": a box is a 32-bit size, a type, and for size 1 a 64-bit size behind it.
"""

from pathlib import Path

_HEADER_BYTES = 8
_LONG_HEADER_BYTES = 16
_MOST_BOXES = 100_000
"""An hour in fragments of a second has a tenth of that; a file of the smallest boxes would be walked for minutes."""


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
