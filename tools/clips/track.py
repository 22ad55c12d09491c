"""A sound to compose: tones with a beginning and an end, and noise that swells."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from tools.clips.canvas import chances

RATE: Final = 32_000
SECONDS: Final = 3.0
# A little less than the pictures: an encoder fills its first and its last block, and the film must not grow by them.
_SAMPLES: Final = round(RATE * (SECONDS - 0.05))
_PEAK: Final = 0.5
# Notes are half tones above or below it, the a below the middle c.
_BASE_HERTZ: Final = 220.0
Timbre = Sequence[float]
"""How loud the tone and its overtones are."""

BELL: Final = (1.0, 0.0, 0.35, 0.0, 0.08)
REED: Final = (1.0, 0.5, 0.3, 0.15, 0.08)
SOFT: Final = (1.0, 0.25, 0.06)


class Track:
    """One voice, `SECONDS` long."""

    def __init__(self) -> None:
        self._samples = [0.0] * _SAMPLES

    def tone(
        self,
        note: float,
        at: float,
        seconds: float,
        loudness: float = 1.0,
        *,
        timbre: Timbre = SOFT,
        rise: float = 0.02,
    ) -> None:
        """A tone that rises within `rise` seconds and dies away until it ends."""
        frequency = _BASE_HERTZ * 2 ** (note / 12)
        first = round(at * RATE)
        for sample in range(min(round(seconds * RATE), _SAMPLES - first)):
            passed = sample / RATE
            phase = 2 * math.pi * frequency * passed
            envelope = min(1.0, passed / rise) * (1 - passed / seconds) ** 2
            heard = sum(part * math.sin(phase * (number + 1)) for number, part in enumerate(timbre) if part)
            self._samples[first + sample] += loudness * envelope * heard

    def slide(self, start: float, end: float, at: float, seconds: float, loudness: float = 1.0) -> None:
        """A short tone between two notes, as of a bubble."""
        first, phase = round(at * RATE), 0.0
        count = min(round(seconds * RATE), _SAMPLES - first)
        for sample in range(count):
            done = sample / count
            phase += 2 * math.pi * _BASE_HERTZ * 2 ** ((start + (end - start) * done) / 12) / RATE
            self._samples[first + sample] += loudness * math.sin(math.pi * done) ** 2 * math.sin(phase)

    def noise(self, loudness: Callable[[float], float], *, dull: float, seed: int = 1) -> None:
        """Noise as loud as `loudness` of the second; the duller (0 to 1), the lower it sounds."""
        chance, low, lower = chances(seed), 0.0, 0.0
        for sample in range(_SAMPLES):
            low = dull * low + (1 - dull) * chance.uniform(-1, 1)
            lower = dull * lower + (1 - dull) * low
            self._samples[sample] += loudness(sample / RATE) * lower

    def echo(self, seconds: float, strength: float) -> None:
        """Repeats everything after so many seconds, again and again, weaker each time."""
        delay = round(seconds * RATE)
        for sample in range(delay, _SAMPLES):
            self._samples[sample] += strength * self._samples[sample - delay]

    def samples(self) -> list[float]:
        """The sound, from -1 to 1, as loud as every other, without a click at its ends."""
        loudest = max(map(abs, self._samples))
        edge = RATE // 20
        return [
            value * _PEAK / loudest * min(1.0, place / edge, (_SAMPLES - 1 - place) / edge)
            for place, value in enumerate(self._samples)
        ]
