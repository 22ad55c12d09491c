"""What Kie's models take as their input, by family. Pure.

Source: Kie's pages of each model, 2026-08 to 2026-10. Ids and inputs change monthly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sora2_mcp.simulator.order import (
    Check,
    Refusal,
    check_fields,
    check_switch,
    check_url,
    integer,
    one_of,
    prompt_up_to,
    urls,
)

_WIDE_OR_TALL: Final = one_of("16:9", "9:16")
_ANY_RATIO: Final = one_of("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
_PICTURES: Final = ("image_urls", "first_frame_url", "last_frame_url", "reference_image_urls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The models whose id begins with one of `prefixes`: their input's fields, and those they need."""

    prefixes: tuple[str, ...]
    prompt_characters: int
    fields: Mapping[str, Check] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    required_for_text: tuple[str, ...] = ()
    """Required where the id does not say that the video starts from a picture, refused where it does."""
    exclusive: frozenset[str] = frozenset()
    """Only one of these may be given."""

    def check(self, model: str, given: Mapping[str, Any]) -> None:
        """Checks the input of one of these models.

        Raises:
            Refusal: 422, a field is unknown, missing or does not fit.
        """
        # Every family has these two.
        checks = {"prompt": prompt_up_to(self.prompt_characters), "seed": integer(0, 2**31 - 1), **self.fields}
        # Kie refuses a field that the model does not have, so a misspelled one is found here and not in production.
        _refuse(model, (name for name in given if name not in checks))
        check_fields(given, checks)
        if len(self.exclusive & given.keys()) > 1:
            raise Refusal(422, f"input.{' and input.'.join(sorted(self.exclusive))} exclude each other")
        pictures = tuple(name for name in _PICTURES if name in self.fields)
        needed, refused = self.required_for_text, pictures if "text-to-video" in model else ()
        if "image-to-video" in model:
            needed, refused = pictures[:1], self.required_for_text
        for name in (*self.required, *needed):
            if name not in given:
                raise Refusal(422, f"input.{name} is required for {model}", param=name)
        _refuse(model, (name for name in refused if name in given))


def _refuse(model: str, names: Iterable[str]) -> None:
    for name in names:
        raise Refusal(422, f"input.{name} is not a field of {model}", param=name)


FAMILIES: Final = (
    Family(
        prefixes=("google/gemini-omni-flash", "gemini-omni"),
        prompt_characters=20_000,
        fields={
            "image_urls": urls(3),
            "aspect_ratio": _WIDE_OR_TALL,
            "resolution": one_of("720p", "1080p"),
            "duration": one_of("4", "6", "8", "10"),
        },
        required=("duration",),
    ),
    Family(
        prefixes=("kling-3.0/",),
        prompt_characters=2_500,
        fields={
            "image_urls": urls(2),
            "aspect_ratio": one_of("16:9", "9:16", "1:1"),
            "mode": one_of("std", "pro"),
            "duration": one_of(*map(str, range(3, 16))),
            "sound": check_switch,
        },
    ),
    Family(
        prefixes=("kling/v3-turbo",),
        prompt_characters=2_500,
        fields={
            "image_urls": urls(2),
            "aspect_ratio": one_of("16:9", "9:16", "1:1"),
            "resolution": one_of("720p", "1080p"),
        },
    ),
    Family(
        prefixes=("bytedance/seedance-2",),
        prompt_characters=20_000,
        fields={
            "first_frame_url": check_url,
            "reference_image_urls": urls(9),
            "aspect_ratio": _ANY_RATIO,
            "resolution": one_of("480p", "720p", "1080p"),
            "duration": integer(4, 15),
            "generate_audio": check_switch,
        },
        exclusive=frozenset({"first_frame_url", "reference_image_urls"}),
    ),
    Family(
        prefixes=("wan/2-7",),
        prompt_characters=5_000,
        fields={
            "first_frame_url": check_url,
            "last_frame_url": check_url,
            "ratio": _ANY_RATIO,
            "resolution": one_of("720p", "1080p"),
        },
    ),
    Family(
        prefixes=("minimax-h3/",),
        prompt_characters=7_000,
        fields={
            "first_frame_url": check_url,
            "last_frame_url": check_url,
            "aspect_ratio": _ANY_RATIO,
            "resolution": one_of("768P", "2K"),
            "duration": integer(4, 15),
        },
        required_for_text=("aspect_ratio",),
    ),
    Family(
        prefixes=("grok-imagine-video",),
        prompt_characters=4_096,
        fields={
            "image_urls": urls(7),
            "aspect_ratio": _ANY_RATIO,
            "resolution": one_of("480p", "720p", "1080p"),
        },
    ),
)


def check_input(model: str, given: Mapping[str, Any]) -> None:
    """Checks the input of a model of a known family; any other takes any input with a prompt.

    Raises:
        Refusal: 422, a field is unknown, missing or does not fit.
    """
    family = next((family for family in FAMILIES if model.startswith(family.prefixes)), None)
    if family is not None:
        family.check(model, given)
