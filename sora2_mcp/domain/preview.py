"""What a look at a video gives."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a video is: its length in seconds, its size in pixels, its codecs. 0 and empty: it does not say."""

    seconds: float
    width: int
    height: int
    frame_rate: float
    codec: str
    sound: str
    """The codec of its sound; empty where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Frames of a video on one JPEG of at most 200 kB, and the moments they show, in seconds from its start."""

    jpeg: bytes
    moments: tuple[float, ...]
    facts: Facts
