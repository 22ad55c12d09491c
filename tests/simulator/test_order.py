import json
from typing import Any

import pytest

from sora2_mcp.simulator.dialects.sora2api import Sora2API
from sora2_mcp.simulator.faults import Fault
from sora2_mcp.simulator.order import Order, Refusal


def read_order(body: bytes) -> Order:
    return Sora2API().read_order(json.loads(body))


def test_an_order_keeps_the_fields_the_service_knows_as_they_were_submitted() -> None:
    submitted = {
        "prompt": "Ein Kätzchen [sim:order-drop]",
        "aspectRatio": "portrait",
        "quality": "hd",
        "imageUrls": ["https://example.com/cat.jpg"],
        "watermark": "",
        "callBackUrl": "http://127.0.0.1:9/hook",
    }

    order = read_order(json.dumps({**submitted, "model": "sora"}).encode())

    assert order == Order(
        prompt="Ein Kätzchen [sim:order-drop]",
        aspect_ratio="portrait",
        callback_url="http://127.0.0.1:9/hook",
        param_json=json.dumps(submitted, ensure_ascii=False),
        faults=(Fault(name="order-drop"),),
    )


def test_only_a_prompt_is_required_and_null_counts_as_not_given() -> None:
    order = read_order(b'{"prompt": "A cat", "quality": null, "imageUrls": null}')

    assert order == Order(
        prompt="A cat", aspect_ratio="landscape", callback_url="", param_json='{"prompt": "A cat"}', faults=()
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "prompt is required"),
        (b'{"prompt": null}', "prompt is required"),
        (b'{"prompt": " \\n"}', "prompt must not be blank"),
    ],
)
def test_a_body_without_a_prompt_is_refused_with_400(body: bytes, message: str) -> None:
    with pytest.raises(Refusal) as raised:
        read_order(body)

    assert (raised.value.code, raised.value.message) == (400, message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": 7}, "prompt must be a string"),
        ({"prompt": "x" * 5_001}, "prompt must have at most 5000 characters"),
        ({"aspectRatio": "square"}, "aspectRatio must be one of: landscape, portrait"),
        ({"aspectRatio": ["landscape"]}, "aspectRatio must be one of: landscape, portrait"),
        ({"quality": "4k"}, "quality must be one of: standard, hd"),
        ({"imageUrls": "https://example.com/cat.jpg"}, "imageUrls must be an array of http or https URLs"),
        ({"imageUrls": ["file:///etc/passwd"]}, "imageUrls must be an array of http or https URLs"),
        ({"imageUrls": ["http://[::1"]}, "imageUrls must be an array of http or https URLs"),
        ({"watermark": True}, "watermark must be a string"),
        ({"callBackUrl": "example.com/hook"}, "callBackUrl must be an http or https URL"),
        ({"callBackUrl": ""}, "callBackUrl must be an http or https URL"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_with_422_and_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(Refusal) as raised:
        read_order(json.dumps({"prompt": "A cat", **fields}).encode())

    assert (raised.value.code, raised.value.message) == (422, message)


def test_the_longest_prompt_is_accepted() -> None:
    assert read_order(json.dumps({"prompt": "x" * 5_000}).encode()).prompt == "x" * 5_000


def test_an_unknown_fault_in_a_prompt_is_refused_with_400_and_named() -> None:
    with pytest.raises(Refusal, match="Unknown fault 'order-418'") as raised:
        read_order(b'{"prompt": "A cat [sim:order-418]"}')

    assert raised.value.code == 400
