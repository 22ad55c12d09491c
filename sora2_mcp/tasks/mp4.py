"""Whether a file is a whole MP4: its boxes are walked, not trusted.

Source: ISO/IEC 14496-12, "Object structure": a box is a 32-bit size, a type, and for size 1 a 64-bit size behind it.
"""

from pathlib import Path

_HEADER_BYTES = 8


def is_whole_mp4(path: Path) -> bool:
    """The boxes begin with ``ftyp``, hold ``moov`` and end exactly where the file does."""
    size = path.stat().st_size
    kinds = []
    with path.open("rb") as file:
        position = 0
        while position < size:
            file.seek(position)
            header = file.read(_HEADER_BYTES * 2)
            if len(header) < _HEADER_BYTES:
                return False
            kinds.append(header[4:8])
            length = _length(header, size - position)
            if length < _HEADER_BYTES:
                return False
            position += length
    return position == size and kinds[:1] == [b"ftyp"] and b"moov" in kinds


def _length(header: bytes, rest: int) -> int:
    length = int.from_bytes(header[:4], "big")
    if length == 0:  # the last box, up to the end of the file
        return rest
    return int.from_bytes(header[8:16], "big") if length == 1 else length
