from dataclasses import replace

import pytest

from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import Sighting, Snapshot
from tests.clocks import START

ORDERED = VideoRequest(prompt="A cat", image_urls=("https://x.example/a.png",), aspect_ratio=AspectRatio.PORTRAIT)


@pytest.mark.parametrize(
    ("described", "stated", "fits"),
    [
        (ORDERED, {"prompt", "image_urls", "aspect_ratio", "quality", "watermark"}, True),
        (VideoRequest(prompt=" A cat\n"), {"prompt"}, True),
        (VideoRequest(prompt="A dog"), {"prompt"}, False),
        (VideoRequest(prompt="A cat"), {"prompt", "aspect_ratio"}, False),
        (VideoRequest(prompt="A cat"), {"prompt", "image_urls"}, False),
        (replace(ORDERED, quality=Quality.HD), {"prompt", "quality"}, False),
        (replace(ORDERED, watermark="me"), {"prompt", "watermark"}, False),
        (ORDERED, {"aspect_ratio"}, False),
        (None, set(), False),
    ],
)
def test_a_snapshot_fits_an_order_if_all_it_says_of_it_is_true(
    described: VideoRequest | None,
    stated: set[str],
    fits: bool,  # noqa: FBT001 - the outcome
) -> None:
    snapshot = Snapshot(sighting=Sighting.GENERATING, seen_at=START, request=described, stated=frozenset(stated))

    assert snapshot.fits(ORDERED) is fits
