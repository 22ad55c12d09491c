"""Reads the bodies of requests: JSON objects, and forms with files."""

import json
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sora2_mcp.simulator.order import Refusal
from sora2_mcp.simulator.received import ReceivedRequest, json_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file in a form."""

    filename: str
    content_type: str
    content: bytes

    def listed(self) -> dict[str, Any]:
        """As the log of requests holds it."""
        return {"filename": self.filename, "content_type": self.content_type, "bytes": len(self.content)}


async def read_json(request: Request, received: ReceivedRequest) -> dict[str, Any]:
    """The JSON object of a request; it is logged.

    Raises:
        Refusal: 400, the body is none.
    """
    body = await request.body()
    received.body = json_object(body)
    if received.body is None:
        raise Refusal(400, _complaint(body))
    return received.body


async def read_form(request: Request, received: ReceivedRequest) -> dict[str, Any]:
    """The fields of a form, texts and `Attachment`s; it is logged. Of fields with the same name the last counts.

    Raises:
        Refusal: 400, the form is malformed.
    """
    try:
        async with request.form() as form:
            fields = {name: await _value(value) for name, value in form.items()}
    except HTTPException as error:
        raise Refusal(400, "Malformed form in the request body") from error
    received.body = {name: value.listed() if isinstance(value, Attachment) else value for name, value in fields.items()}
    return fields


def is_form(request: Request) -> bool:
    """Whether a request says that it holds a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("multipart/form-data", "application/x-www-form-urlencoded")


async def _value(value: UploadFile | str) -> Attachment | str:
    if isinstance(value, str):
        return value
    return Attachment(
        filename=value.filename or "",
        content_type=value.content_type or "application/octet-stream",
        content=await value.read(),
    )


def _complaint(body: bytes) -> str:
    try:
        json.loads(body)
    except ValueError:
        return "Malformed JSON in the request body"
    return "The request body must be a JSON object"
