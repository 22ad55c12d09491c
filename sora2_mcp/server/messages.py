"""What a message of a client must look like, over whichever transport it comes."""

import json
from math import inf
from typing import Any

from mcp_types import INVALID_REQUEST, PARSE_ERROR, jsonrpc_message_adapter

from sora2_mcp.domain.request import IMAGE_LIMIT, KEY_LIMIT, PROMPT_LIMIT, URL_LIMIT, WATERMARK_LIMIT

_BYTES_EACH = 12
"""A character beyond U+FFFF, as JSON may write it: ``\\ud83d\\ude00``."""

_ENVELOPE_BYTES = 20_000
"""The message around the arguments, with an answer's sealed state and what hosts add."""

LONGEST_CALL_BYTES = _ENVELOPE_BYTES + _BYTES_EACH * (
    PROMPT_LIMIT + IMAGE_LIMIT * URL_LIMIT + WATERMARK_LIMIT + URL_LIMIT + KEY_LIMIT
)
"""What an order may need with every argument at its limit; no other call needs more."""

_MOST_BRACKETS = 7_000
"""Lists and objects take a hundred times their length to read; no call needs more, with a prompt of nothing else."""

_NO_REQUEST = (
    'Invalid request: it must have "jsonrpc": "2.0", a method, params in an object, and an id that is text or whole'
)


def _refusal(code: int, message: str, id: str | float | None = None) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}) + "\n"


TOO_LONG = _refusal(INVALID_REQUEST, f"Invalid request: a message has at most {LONGEST_CALL_BYTES:,} bytes")
_TOO_MANY = _refusal(INVALID_REQUEST, f"Invalid request: a message has at most {_MOST_BRACKETS:,} brackets")


def checked_message(received: bytes | bytearray) -> tuple[str, str]:
    """The message as the SDK takes it, or else, in the second place, the answer that JSON-RPC asks for.

    The SDK itself drops what it cannot read, and takes a request with a faulty id for a notification: its sender
    would wait for ever. Source: JSON-RPC 2.0, sections 4 and 5.1.
    """
    text = received.decode("utf-8-sig", errors="replace")
    if len(received) > LONGEST_CALL_BYTES:
        return "", TOO_LONG
    if received.count(b"[") + received.count(b"{") > _MOST_BRACKETS:
        return "", _TOO_MANY
    try:
        content = json.loads(text)
    except RecursionError:
        return "", _refusal(PARSE_ERROR, "Parse error: this message is nested too deep")
    except ValueError:
        return "", _refusal(PARSE_ERROR, "Parse error: this message is no JSON")
    if not isinstance(content, dict):
        return "", _refusal(INVALID_REQUEST, "Invalid request: a message is one object; batches are not taken")
    if "\\ud" in text.lower():
        # The SDK would drop the whole message for half a character.
        text = json.dumps(content, ensure_ascii=False).encode(errors="replace").decode()
    if _is_message(content) and _is_readable(text):
        return text, ""
    id = content.get("id")
    # What is no number in JSON (NaN, Infinity) would make the answer unreadable.
    is_id = isinstance(id, str) or (isinstance(id, int | float) and not isinstance(id, bool) and abs(id) < inf)
    # A client that gets an error under the id of its own answer would take it for the answer to its own question.
    return "", _refusal(
        INVALID_REQUEST, _NO_REQUEST, id if is_id and not content.keys() & {"result", "error"} else None
    )


def _is_message(content: dict[str, Any]) -> bool:
    """Whether it is one, as far as the kinds of its fields tell: looked at first, as reading takes longer."""
    id = content.get("id")
    is_named = isinstance(id, str | int) and not isinstance(id, bool)
    if content.get("jsonrpc") != "2.0" or ("id" in content and not is_named):
        return False
    if "method" in content:
        return isinstance(content["method"], str) and isinstance(content.get("params", {}), dict | None)
    return isinstance(content.get("result", content.get("error")), dict)


def _is_readable(text: str) -> bool:
    """Whether the SDK takes it: its reader goes less deep than Python's."""
    try:
        jsonrpc_message_adapter.validate_json(text, by_name=False)
    except ValueError:
        return False
    return True
