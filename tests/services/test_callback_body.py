"""What is read of a callback: which task it says it is about, and nothing that could raise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sora2_mcp.services.sora2api import Sora2API

RECORD = {
    "taskId": "sora2_task_a",
    "paramJson": "{}",
    "successFlag": 1,
    "response": {"imageUrl": "https://x.example/a"},
}
SHORT = {"taskId": "sora2_task_a", "promptJson": "{}", "resultUrls": ["https://x.example/a.mp4"]}


@pytest.mark.parametrize(
    "content",
    [
        {"code": 200, "msg": "success", "data": RECORD},
        {"code": 200, "msg": "success", "data": SHORT},
        {"code": 501, "msg": "Generation failed", "data": {"taskId": "sora2_task_a"}},
        {"code": 500, "msg": "Server error", "data": None, "taskId": "sora2_task_a"},
        {"code": "200", "data": json.dumps(RECORD)},
        {"data": {"task_id": " sora2_task_a "}},
        RECORD,
    ],
)
def test_the_id_is_found_in_every_shape_that_is_known(content: Any) -> None:
    assert Sora2API().callback_task_id(json.dumps(content).encode()) == "sora2_task_a"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff\xfe\x00",
        b"[" * 50_000,
        b'{"data": [1]}',
        b'{"data": {"taskId": {"a": 1}}}',
        b'{"data": {"taskId": true}}',
        b'{"data": {"taskId": "a\\u0000b"}}',
        b'{"data": {"taskId": "' + b"x" * 1001 + b'"}}',
        b'{"data": {"taskId": ' + b"9" * 5000 + b"}}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_names_no_task_gives_none(body: bytes) -> None:
    assert Sora2API().callback_task_id(body) == ""


@given(some.binary(max_size=500) | some.text(max_size=500).map(lambda text: json.dumps({"data": text}).encode()))
def test_no_body_at_all_is_an_error(body: bytes) -> None:
    assert len(Sora2API().callback_task_id(body)) <= 1000
