"""The service's JSON as it spells it, read leniently: all that servers of this family were seen to send is accepted.

Source: the vendor's quick start (fields, ``successFlag``), and the variants that public clients guard against.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sora2_mcp.domain.request import is_http_url
from sora2_mcp.errors import sanitized

WORDS_LIMIT = 2000
"""Characters of what the service says of an error or a failure."""

_MOST_BRACKETS = 12_000
"""Lists and objects take a hundred times their length to read. A prompt of nothing else, told twice, has 10,000."""


def parsed(text: str | bytes) -> Any:
    """What a JSON text holds; the half characters that cut-off texts end in become question marks.

    Raises:
        ValueError: it is no JSON, nested too deep, or in more parts than any answer.
    """
    plain = text.decode(json.detect_encoding(text), "surrogatepass") if isinstance(text, bytes) else text
    if plain.count("[") + plain.count("{") > _MOST_BRACKETS:
        raise ValueError("in too many parts")
    try:
        content = json.loads(plain)
        spelled = json.dumps(content, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    try:
        spelled.encode()
    except UnicodeEncodeError:
        return json.loads(spelled.encode(errors="replace"))
    return content


def integer(value: Any) -> int | None:
    """A whole number however it is written; anything else counts as absent."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return int(value) if -1e15 < value < 1e15 and value == int(value) else None
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,15}(\.0+)?\s*", value):
        return int(float(value))
    return None


def amount(value: Any) -> float | None:
    """A number that can be a price; anything else counts as absent."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,12}(\.\d{1,12})?\s*", value):
        value = float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e12 else None


def _flag(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return int(value.strip().lower() == "true")
    return integer(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _identifier(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _object(value: Any) -> dict[str, Any]:
    """An object, also one written as JSON text; anything else counts as empty."""
    if isinstance(value, str):
        try:
            value = parsed(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


LenientInteger = Annotated[int | None, BeforeValidator(integer)]
LenientAmount = Annotated[float | None, BeforeValidator(amount)]
LenientText = Annotated[str, BeforeValidator(_text)]
LenientIdentifier = Annotated[str, BeforeValidator(_identifier)]
LenientObject = Annotated[dict[str, Any], BeforeValidator(_object)]


class Lenient(BaseModel):
    """Unknown fields are ignored; known ones never make an answer unreadable."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, content: Any) -> Any:
        # A field that stands there with nothing in it must not hide another spelling of the same.
        if not isinstance(content, dict):
            return content
        return {name: value for name, value in content.items() if value is not None and value != ""}


class Envelope(Lenient):
    """``{"code": 200, "msg": "success", "data": {…}}``; some answers say ``message``, ``data`` may be null."""

    code: LenientInteger = None
    msg: LenientText = ""
    message: LenientText = ""
    data: Any = None

    @property
    def words(self) -> str:
        """What the service says, under whichever name, sanitized."""
        return sanitized(self.msg, WORDS_LIMIT) or sanitized(self.message, WORDS_LIMIT)


class SubmitData(Lenient):
    """``data`` of an accepted order."""

    task_id: LenientIdentifier = Field(default="", validation_alias=AliasChoices("taskId", "task_id", "recordId"))


class Callback(Lenient):
    """What the service posts when a task has ended; all that is read of it is which task it is about."""

    data: Annotated[SubmitData, BeforeValidator(_object)] = SubmitData()
    task_id: LenientIdentifier = Field(default="", validation_alias=AliasChoices("taskId", "task_id"))

    @property
    def said_id(self) -> str:
        """The id, in ``data`` or beside it."""
        return self.data.task_id or self.task_id


class Record(Lenient):
    """``data`` of record-info.

    ``successFlag``: 0 generating, 1 succeeded, 2 not created, 3 not generated; anything else is unknown. The video's
    address stands in ``response.imageUrl`` (yes, image), or in ``resultUrls`` in several places and spellings.

    Siblings of the same maker send ``state`` (waiting, queuing, generating, success, fail), ``resultJson``,
    ``failCode``, ``failMsg`` and ``param`` in their place. Source: Kie's documentation, 2026-10.
    """

    task_id: LenientIdentifier = Field(default="", validation_alias=AliasChoices("taskId", "task_id"))
    success_flag: Annotated[int | None, BeforeValidator(_flag)] = Field(default=None, validation_alias="successFlag")
    response: Any = None
    result_urls: Any = Field(default=None, validation_alias="resultUrls")
    info: LenientObject = {}
    parameters: LenientObject = Field(default={}, validation_alias=AliasChoices("paramJson", "promptJson", "param"))
    error_code: LenientInteger = Field(default=None, validation_alias="errorCode")
    error_message: LenientText = Field(default="", validation_alias="errorMessage")
    state: LenientText = ""
    result_json: Any = Field(default=None, validation_alias="resultJson")
    fail_code: LenientInteger = Field(default=None, validation_alias="failCode")
    fail_message: LenientText = Field(default="", validation_alias="failMsg")
    cost: LenientAmount = Field(default=None, validation_alias=AliasChoices("creditsConsumed", "consumeCredits"))

    @property
    def flag(self) -> int | None:
        """As ``successFlag``, also where only ``state`` tells; None where neither does."""
        if self.success_flag is not None or not self.state.strip():
            return self.success_flag
        return _FLAGS.get(self.state.strip().lower(), 0)

    @property
    def ordered(self) -> dict[str, Any]:
        """What was ordered; the siblings keep it in ``input``, as an object or as its text."""
        return _object(self.parameters.get("input")) or self.parameters

    @property
    def video_url(self) -> str:
        """The first http(s) address found where the service may put it; empty where there is none."""
        return first_url([self.response, self.result_urls, self.info, self.result_json])


_FLAGS = {
    **dict.fromkeys(("success", "succeeded", "succeed", "completed"), 1),
    **dict.fromkeys(("fail", "failed", "failure", "error", "cancelled", "canceled", "expired"), 3),
}
_DEEPEST = 8
_LOOKED_AT = 200
"""Values among which an address is looked for; answers have few, and to look at thousands would hold up everything."""

_URL_FIELDS = ("imageUrl", "videoUrl", "resultUrls", "resultUrl", "url", "info")


def first_url(value: Any) -> str:
    """The first http(s) address in what may be a URL, a list, an object, or any of these once more as JSON text."""
    return next(filter(None, islice(_looked_at(value, 0), _LOOKED_AT)), "")


def _looked_at(value: Any, depth: int) -> Iterator[str]:
    """For each value, in their order, the address that it is, or else nothing."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield from _in_text(value.strip(), depth)
        return
    yield ""
    if isinstance(value, dict):
        value = [value[field] for field in _URL_FIELDS if field in value]
    if isinstance(value, list):
        for item in value:
            yield from _looked_at(item, depth + 1)


def _in_text(text: str, depth: int) -> Iterator[str]:
    yield text if is_http_url(text) else ""
    if not text.startswith(("{", "[", '"')):
        return
    try:
        content = parsed(text)
    except ValueError:
        # A bracketed list without quotation marks: [https://a, https://b]
        items = [item.strip().strip("'\"") for item in text.strip("[]").split(",", _LOOKED_AT)]
        yield next(filter(is_http_url, items), "")
        return
    yield from _looked_at(content, depth + 1)
