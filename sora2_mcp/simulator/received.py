"""What the simulator receives: requests, for tests to assert on and people to look at, their bodies, and files."""

import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sora2_mcp.simulator.order import Refusal

KEPT_UPLOADS: Final = 20


@dataclass(slots=True, kw_only=True)
class ReceivedRequest:
    """One API request. It never holds the key, only whether there was one.

    `task_id` is the task that a look names, or the one that an accepted order got; `body` is the JSON object of an
    order, or the fields of its form, in which a file is `{"filename": …, "content_type": …, "bytes": 1024}`. `code` is
    the HTTP status answered, None as long as there is no complete answer; `answered_at` is when it was ready to be
    sent, None if the connection was cut instead.
    """

    method: str
    path: str
    at: datetime
    has_key: bool = False
    task_id: str | None = None
    body: dict[str, Any] | None = None
    code: int | None = None
    answered_at: datetime | None = None

    @property
    def prompt(self) -> Any:
        """The prompt of an order, wherever its dialect puts it."""
        body = self.body or {}
        inner = body.get("input")
        return body.get("prompt", inner.get("prompt") if isinstance(inner, dict) else None)

    def spelled(self) -> dict[str, Any]:
        """As `GET /simulator/requests` lists it."""
        return {
            "method": self.method,
            "path": self.path,
            "hasKey": self.has_key,
            "taskId": self.task_id,
            "prompt": self.prompt,
            "body": self.body,
            "at": self.at.isoformat(),
            "code": self.code,
            "answeredAt": None if self.answered_at is None else self.answered_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file in a form."""

    filename: str
    content_type: str
    content: bytes


def is_form(request: Request) -> bool:
    """Whether a request says that it holds a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("multipart/form-data", "application/x-www-form-urlencoded")


def json_object(text: bytes) -> dict[str, Any]:
    """The JSON object that a body holds.

    Raises:
        Refusal: 400, it holds none.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Refusal(400, "Malformed JSON in the request body") from error
    if not isinstance(content, dict):
        raise Refusal(400, "The request body must be a JSON object")
    return content


async def read_form(request: Request, received: ReceivedRequest) -> dict[str, Any]:
    """The fields of a form, texts and `Attachment`s, which are logged. Of fields with the same name the last counts.

    Raises:
        Refusal: 400, the form is malformed.
    """
    try:
        # The form closes its files at the end of the block, so they are read within it.
        async with request.form() as form:
            fields = {name: await _value(value) for name, value in form.items()}
    except HTTPException as error:
        raise Refusal(400, "Malformed form in the request body") from error
    # The log keeps 10,000 requests: of a file it keeps what it was, not its bytes.
    received.body = {
        name: {"filename": value.filename, "content_type": value.content_type, "bytes": len(value.content)}
        if isinstance(value, Attachment)
        else value
        for name, value in fields.items()
    }
    return fields


async def _value(value: UploadFile | str) -> Attachment | str:
    if isinstance(value, str):
        return value
    return Attachment(
        filename=value.filename or "",
        content_type=value.content_type or "application/octet-stream",
        content=await value.read(),
    )


class Uploads:
    """The latest files that callers uploaded, in memory, each at a path that cannot be guessed."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Attachment] = OrderedDict()

    def add(self, file: Attachment) -> str:
        """Keeps a file; gives the token it is found by."""
        token = secrets.token_hex(16)
        self._files[token] = file
        # A stand-in runs for days beside a server: what it keeps of pictures has a bound.
        if len(self._files) > KEPT_UPLOADS:
            self._files.popitem(last=False)
        return token

    def answer(self, token: str) -> Response:
        """The file itself, 404 where it is not known."""
        file = self._files.get(token)
        if file is None:
            return Response(status_code=404)
        return Response(file.content, media_type=file.content_type)
