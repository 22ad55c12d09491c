"""Encodes pictures and a sound as a small MP4 that plays while it loads."""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import av
from PIL import Image

from tools.clips.track import RATE

FRAMES_PER_SECOND: Final = 24
LIMIT_BYTES: Final = 50_000
_BITS_PER_SECOND_OF_SOUND: Final = 32_000
# From the best that is tried to the worst that may be seen.
_QUALITIES: Final = range(24, 36)
# One thread, and no marks of the encoder's or of the time: a file made anew differs as little as x264 lets it.
_H264: Final = {
    "preset": "veryslow",
    "profile": "high",
    "tune": "animation",
    "threads": "1",
    "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709:keyint=72:aq-mode=3:psy=0",
}
_MP4: Final = {"movflags": "+faststart", "fflags": "+bitexact"}


def encode(path: Path, pictures: Sequence[Image.Image], sound: Sequence[float]) -> None:
    """Writes the file as good as `LIMIT_BYTES` allow; `sound` holds samples from -1 to 1.

    Raises:
        ValueError: it would look bad.
    """
    for quality in _QUALITIES:
        _encode(path, pictures, sound, quality)
        if path.stat().st_size <= LIMIT_BYTES:
            return
    raise ValueError(f"{path.name} moves too much for {LIMIT_BYTES:,} bytes.")


def _encode(path: Path, pictures: Sequence[Image.Image], sound: Sequence[float], quality: int) -> None:
    with av.open(str(path), "w", format="mp4", options=_MP4) as film:
        video = film.add_stream("libx264", rate=FRAMES_PER_SECOND, options={**_H264, "crf": str(quality)})
        video.width, video.height = pictures[0].size
        video.pix_fmt = "yuv420p"
        audio = film.add_stream("aac", rate=RATE, layout="mono", bit_rate=_BITS_PER_SECOND_OF_SOUND)
        for picture in pictures:
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]  # it has no annotation
            film.mux(video.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        film.mux(video.encode(None))
        heard = av.AudioFrame(format="fltp", layout="mono", samples=len(sound))
        heard.sample_rate = RATE
        heard.planes[0].update(array("f", sound).tobytes())
        film.mux(audio.encode(heard))
        film.mux(audio.encode(None))
