"""Every message of a host's gets what JSON-RPC asks for: it is taken as a message, or answered with an error."""

import json
from typing import Any

import pytest

from sora2_mcp.server.messages import checked_message

PARSE_ERROR, INVALID_REQUEST = -32700, -32600


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


def calling(arguments: Any, id: Any = 7) -> bytes:
    params = {"name": "list_tasks", "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).encode()


PING = {"jsonrpc": "2.0", "id": 7, "method": "ping"}


def ping(**changes: Any) -> bytes:
    return json.dumps({**PING, **changes}).encode()


TAKEN = {
    "a request": ping(),
    "text as id": ping(id="seven"),
    "empty text as id": ping(id=""),
    "a huge id": ping(id=10**30),
    "a notification": b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
    "an answer": b'{"jsonrpc": "2.0", "id": 1, "result": {}}',
    "an error": b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}}',
    "unknown fields": ping(extra=1),
    "no number": b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"x": NaN}}',
    "nested as deep as anybody needs": calling(nested(150)),
    "a prompt of brackets": calling({"prompt": "[{" * 2500, "image_urls": ["https://x/[1]"] * 10}),
    "the largest order": calling({"prompt": "\U0001f98a" * 5000, "image_urls": ["https://x/" + "a" * 1990] * 10}),
}
REFUSED = {
    "no JSON": (b"hello", PARSE_ERROR, None),
    "half of it": (b'{"jsonrpc": "2.0", "id": 7', PARSE_ERROR, None),
    "two in a line": (ping() + ping(), PARSE_ERROR, None),
    "a control character": (b'{"jsonrpc": "2.0", "id": 7, "method": "p\x00"}', PARSE_ERROR, None),
    "no text": (b"\xff\xfe\xfa", PARSE_ERROR, None),
    "1,000 brackets": (b"[" * 1000, PARSE_ERROR, None),
    "1,000 pairs of brackets": (b"[" * 1000 + b"]" * 1000, PARSE_ERROR, None),
    "100,000 brackets": (b"[" * 100_000, INVALID_REQUEST, None),
    "2,000 objects in 4 levels": (calling([nested(4)] * 2000), INVALID_REQUEST, None),
    "300 levels in the arguments": (calling(nested(300)), INVALID_REQUEST, 7),
    "a batch": (b"[" + ping() + b"]", INVALID_REQUEST, None),
    "an empty batch": (b"[]", INVALID_REQUEST, None),
    "null": (b"null", INVALID_REQUEST, None),
    "a number": (b"7", INVALID_REQUEST, None),
    "an empty object": (b"{}", INVALID_REQUEST, None),
    "no jsonrpc": (b'{"id": 7, "method": "ping"}', INVALID_REQUEST, 7),
    "another jsonrpc": (ping(jsonrpc="1.0"), INVALID_REQUEST, 7),
    "half a number as id": (ping(id=1.5), INVALID_REQUEST, 1.5),
    "no number as id": (ping(id=float("nan")), INVALID_REQUEST, None),
    "a number without end as id": (b'{"jsonrpc": "2.0", "id": -1e999, "method": "ping"}', INVALID_REQUEST, None),
    "null as id": (ping(id=None), INVALID_REQUEST, None),
    "true as id": (ping(id=True), INVALID_REQUEST, None),
    "an object as id": (ping(id={}), INVALID_REQUEST, None),
    "no method": (b'{"jsonrpc": "2.0", "id": 7}', INVALID_REQUEST, 7),
    "a number as method": (ping(method=5), INVALID_REQUEST, 7),
    "a list of params": (ping(params=[1]), INVALID_REQUEST, 7),
    "text as params": (ping(params="x"), INVALID_REQUEST, 7),
    "a result that is no object": (b'{"jsonrpc": "2.0", "id": 7, "result": 5}', INVALID_REQUEST, None),
    "an error without a code": (b'{"jsonrpc": "2.0", "id": 7, "error": {}}', INVALID_REQUEST, None),
    "longer than any message": (ping(x="x" * 1_000_000), INVALID_REQUEST, None),
}


@pytest.mark.parametrize("line", TAKEN.values(), ids=TAKEN)
def test_what_is_a_message_is_taken_as_it_is(line: bytes) -> None:
    taken, refusal = checked_message(line)

    # A half or a whole character may be spelled otherwise.
    assert (repr(json.loads(taken)), refusal) == (repr(json.loads(line)), "")


@pytest.mark.parametrize(("line", "code", "id"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_message_is_answered_under_the_id_it_came_with(line: bytes, code: int, id: Any) -> None:
    taken, refusal = checked_message(line)

    answer = json.loads(refusal)
    assert (taken, refusal.count("\n")) == ("", 1)
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", id, code)
    assert len(answer["error"]["message"]) < 150


def test_a_mark_of_byte_order_is_left_out() -> None:
    assert checked_message(b"\xef\xbb\xbf" + ping()) == (ping().decode(), "")


def test_half_a_character_becomes_a_question_mark() -> None:
    taken, refusal = checked_message(ping(params={"x": "a\ud800b"}))

    assert (json.loads(taken)["params"], refusal) == ({"x": "a?b"}, "")
