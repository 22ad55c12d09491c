"""The services' JSON as they spell it, read leniently: all that servers of this family were seen to send is accepted.

Source: the vendor's quick start (fields, ``successFlag``), and the variants that public clients guard against.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sora2_mcp.domain.request import is_http_url
from sora2_mcp.words import sanitized

WORDS_LIMIT = 2000
"""Characters of what the service says of an error or a failure."""

# All that servers were seen to use; a word that is missing here would leave its task generating for 15 days.
SUCCEEDED_WORDS = frozenset({"completed", "succeeded", "succeed", "success"})
FAILED_WORDS = frozenset({"failed", "fail", "failure", "error", "cancelled", "canceled", "expired"})

# Lists and objects take a hundred times their length to read. A prompt of nothing else, repeated in the record, has
# 10,000, and must pass.
_ANSWER_BRACKETS = 12_000


def parsed(text: str | bytes) -> Any:
    """What a JSON text holds; half characters become question marks.

    Raises:
        ValueError: it is no JSON, nested too deep, or in more parts than any answer.
    """
    # A body with half characters as bytes must not fail here, but below, with those that are escaped.
    plain = text.decode(json.detect_encoding(text), "surrogatepass") if isinstance(text, bytes) else text
    if plain.count("[") + plain.count("{") > _ANSWER_BRACKETS:
        raise ValueError("in too many parts")
    try:
        content = json.loads(plain)
        spelled = json.dumps(content, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    # Services cut texts off in the middle of an emoji; neither a database nor a client takes the half that is left.
    try:
        spelled.encode()
    except UnicodeEncodeError:
        return json.loads(spelled.encode(errors="replace"))
    return content


def object_in(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object that a text holds; None where it holds something else."""
    try:
        content = parsed(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def integer(value: Any) -> int | None:
    """A whole number however it is written; anything else counts as absent."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        # The range also keeps out NaN and infinity, which ``int`` does not take.
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
        return object_in(value) or {}
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
    """``{"code": 200, "msg": "success", "data": {…}}``; some answers have ``message``, ``data`` may be null."""

    code: LenientInteger = None
    msg: LenientText = ""
    message: LenientText = ""
    data: Any = None

    @property
    def words(self) -> str:
        """The service's words, under either name, sanitized."""
        return sanitized(self.msg, WORDS_LIMIT) or sanitized(self.message, WORDS_LIMIT)


class SubmitData(Lenient):
    """``data`` of an accepted order."""

    task_id: LenientIdentifier = Field(default="", validation_alias=AliasChoices("taskId", "task_id", "recordId"))


class Callback(Lenient):
    """What the service posts when a task has ended. Only the task's id is read: the rest is never believed."""

    data: Annotated[SubmitData, BeforeValidator(_object)] = SubmitData()
    task_id: LenientIdentifier = Field(default="", validation_alias=AliasChoices("taskId", "task_id"))

    @property
    def any_id(self) -> str:
        """The id, in ``data`` or beside it."""
        return self.data.task_id or self.task_id


class Record(Lenient):
    """``data`` of record-info.

    ``successFlag``: 0 generating, 1 succeeded, 2 not created, 3 not generated; anything else is unknown.
    """

    task_id: LenientIdentifier = Field(default="", validation_alias=AliasChoices("taskId", "task_id"))
    success_flag: Annotated[int | None, BeforeValidator(_flag)] = Field(default=None, validation_alias="successFlag")
    # The video's address stands in ``response.imageUrl`` (yes, image), or in ``resultUrls`` in several places.
    response: Any = None
    result_urls: Any = Field(default=None, validation_alias="resultUrls")
    info: LenientObject = {}
    parameters: LenientObject = Field(default={}, validation_alias=AliasChoices("paramJson", "promptJson", "param"))
    error_code: LenientInteger = Field(default=None, validation_alias="errorCode")
    error_message: LenientText = Field(default="", validation_alias="errorMessage")
    # Siblings of the same maker send these in place of the four above: ``state`` is waiting, queuing, generating,
    # success or fail. Source: Kie's documentation, 2026-10.
    state: LenientText = ""
    result_json: Any = Field(default=None, validation_alias="resultJson")
    fail_code: LenientInteger = Field(default=None, validation_alias="failCode")
    fail_message: LenientText = Field(default="", validation_alias="failMsg")
    cost: LenientAmount = Field(default=None, validation_alias=AliasChoices("creditsConsumed", "consumeCredits"))

    @property
    def flag(self) -> int | None:
        """As ``successFlag``, also where there is only ``state``; None where there is neither."""
        if self.success_flag is not None or not self.state.strip():
            return self.success_flag
        # An unknown state is no end: the task goes on until a known one comes.
        return _FLAGS.get(self.state.strip().lower(), 0)

    @property
    def ordered(self) -> dict[str, Any]:
        """What was ordered, with the spellings of the order."""
        # Siblings keep it in ``input``, as an object or as its text.
        return _object(self.parameters.get("input")) or self.parameters

    @property
    def video_url(self) -> str:
        """The first http(s) address found where the service may put it; empty where there is none."""
        return first_url([self.response, self.result_urls, self.info, self.result_json])


_FLAGS = {**dict.fromkeys(SUCCEEDED_WORDS, 1), **dict.fromkeys(FAILED_WORDS, 3)}
_DEEPEST = 8
# Answers have few values; thousands, tried one by one, would hold up the event loop.
_MOST_VALUES = 200
_URL_FIELDS = ("imageUrl", "videoUrl", "resultUrls", "resultUrl", "url", "info")


def first_url(value: Any) -> str:
    """The first http(s) address in what may be a URL, a list, an object, or any of these once more as JSON text."""
    return next(filter(None, islice(_addresses(value, 0), _MOST_VALUES)), "")


def _addresses(value: Any, depth: int) -> Iterator[str]:
    """For each value, in their order, the address that it is, or an empty text."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield from _in_text(value.strip(), depth)
        return
    # A list and an object count among the values, too: those without an address could be thousands.
    yield ""
    if isinstance(value, dict):
        value = [value[field] for field in _URL_FIELDS if field in value]
    if isinstance(value, list):
        for item in value:
            yield from _addresses(item, depth + 1)


def _in_text(text: str, depth: int) -> Iterator[str]:
    yield text if is_http_url(text) else ""
    if not text.startswith(("{", "[", '"')):
        return
    try:
        content = parsed(text)
    except ValueError:
        # A bracketed list without quotation marks: [https://a, https://b]
        items = [item.strip().strip("'\"") for item in text.strip("[]").split(",", _MOST_VALUES)]
        yield next(filter(is_http_url, items), "")
        return
    yield from _addresses(content, depth + 1)
