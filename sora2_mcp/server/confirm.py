"""Asking a person before money is spent, in both protocol eras.

Legacy clients are asked in mid-call. Modern ones get the question as the call's interim result and repeat the call with
the answer; the state that goes with it is sealed by the SDK to these very arguments, and used for one order only.
"""

import json
from hashlib import sha256
from typing import Any
from uuid import uuid4

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError

from sora2_mcp.domain.request import Quality, VideoRequest
from sora2_mcp.errors import CannotAskError, DeclinedError, NotAskedError
from sora2_mcp.words import quoted

_QUESTION = "order"
_PROMPT_SHOWN = 300


class Consent(BaseModel):
    """The form as it comes back."""

    order: bool = True


def must_ask(setting: str, request: VideoRequest) -> bool:
    """Whether ``SORA2_CONFIRM`` wants a person to be asked before this order."""
    return setting == "always" or (setting == "hd" and request.quality is Quality.HD)


async def consent(ctx: Context, request: VideoRequest, price_unit: str = "credits") -> str | InputRequiredResult:
    """What identifies a person's yes to this order, or the question to be put first.

    The same yes always gives the same text, so that a repeated answer orders nothing twice.

    Raises:
        CannotAskError: the host cannot ask. DeclinedError: the person said no.
    """
    _check_host(ctx)
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return await _answer_in_mid_call(ctx, request, price_unit)
    if ctx.request_state is None or not is_answered(ctx):
        return _asked(request, price_unit)
    answer = (ctx.input_responses or {})[_QUESTION]
    if not isinstance(answer, ElicitResult) or answer.action != "accept" or not _is_yes(answer):
        raise DeclinedError
    return _mark(ctx.request_state)


def is_answered(ctx: Context) -> bool:
    """Whether the call brings the answer to a question it was given before."""
    return ctx.request_state is not None and _QUESTION in (ctx.input_responses or {})


def too_late() -> NotAskedError:
    """What to say of an answer to a question that this server, as it runs now, no longer knows."""
    return NotAskedError(
        "answered a question that is not open here (it is older than ten minutes, of before a restart, about another "
        "order, or of another replica that does not share SORA2_STATE_KEYS)"
    )


async def _answer_in_mid_call(ctx: Context, request: VideoRequest, price_unit: str) -> str:
    # Not ctx.elicit(): it makes a form of the model, whose docstring a person would read.
    asking = ctx.session.elicit_form(
        _question(request, price_unit), _form(price_unit), related_request_id=ctx.request_id
    )
    try:
        answer = await asking
        agreed = answer.action == "accept" and Consent.model_validate(answer.content).order
    except MCPError as error:
        raise CannotAskError(f"answered the question with an error: {quoted(error.message)}") from error
    except ValueError as error:
        raise CannotAskError("gave an answer that cannot be read") from error
    if not agreed:
        raise DeclinedError
    # An answer in mid-call cannot come again, so each counts as new.
    return _mark(uuid4().hex)


def _is_yes(answer: ElicitResult) -> bool:
    try:
        # Some hosts have no form, only a button: a person who accepts without one says yes.
        return Consent.model_validate(answer.content or {}).order
    except ValidationError:
        return False


def _asked(request: VideoRequest, price_unit: str) -> InputRequiredResult:
    form = ElicitRequestFormParams(message=_question(request, price_unit), requested_schema=_form(price_unit))
    # The same order asked about twice are two questions, and a yes is for one of them.
    state = json.dumps({"consent": uuid4().hex})
    return InputRequiredResult(input_requests={_QUESTION: ElicitRequest(params=form)}, request_state=state)


def _check_host(ctx: Context) -> None:
    capabilities = ctx.client_capabilities
    asking = capabilities.elicitation if capabilities is not None else None
    if asking is None or (asking.form is None and asking.url is not None):
        raise CannotAskError


def _form(price_unit: str) -> dict[str, Any]:
    asked = {"type": "boolean", "title": "Order this video", "description": _costs(price_unit).strip(), "default": True}
    return {"type": "object", "properties": {"order": {name: value for name, value in asked.items() if value != ""}}}


def _costs(price_unit: str) -> str:
    return f" It costs {price_unit}." if price_unit else ""


def _question(request: VideoRequest, price_unit: str) -> str:
    shown = request.prompt if len(request.prompt) <= _PROMPT_SHOWN else request.prompt[:_PROMPT_SHOWN] + "…"
    images = f", from {len(request.image_urls)} image(s)" if request.image_urls else ""
    length = f", {request.seconds} s" if request.seconds else ""
    kind = f"{request.aspect_ratio}, {request.quality}{length}{images}"
    return f"Order this video ({kind})?{_costs(price_unit)}\n{quoted(shown)}"


def _mark(state: str) -> str:
    return sha256(state.encode()).hexdigest()
