"""Which clip stands for a video. Drawn by `tools/clips`, one of each motif in each aspect ratio."""

from hashlib import sha256
from pathlib import Path
from typing import Final

CLIPS: Final = Path(__file__).with_name("clips")
# In this order the prompt's hash chooses: a change gives prompts other clips.
MOTIFS: Final = ("balloon", "bridge", "city", "goldfish", "planet", "sea")


def clip_of(prompt: str, aspect_ratio: str) -> Path:
    """The file that stands for the video of this prompt: the same in every process and after a restart."""
    # Python's own hash is another in every process. JSON can hold half a character, which has no bytes of its own.
    number = int.from_bytes(sha256(prompt.encode(errors="surrogatepass")).digest())
    return CLIPS / f"{MOTIFS[number % len(MOTIFS)]}-{aspect_ratio}.mp4"
