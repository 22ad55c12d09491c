"""What every message passes on its way to a handler: its log context, its span, and the words of its errors."""

import logging
import re
from dataclasses import replace
from typing import Any, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR
from pydantic import ValidationError

from sora2_mcp.server import errors
from sora2_mcp.server.confirm import too_late
from sora2_mcp.server.principal import current_principal
from sora2_mcp.telemetry.context import log_context, new_request_id, request_context
from sora2_mcp.telemetry.spans import tag_error, tag_request

logger = logging.getLogger(__name__)

Request = ServerRequestContext[Any, Any]

_TRACE_FIELDS = ("baggage", "traceparent", "tracestate")
_LONGEST_TRACE = 8192
"""Source: W3C Baggage, 3.3.2; OpenTelemetry's propagators read no more, and log what they do not read."""

_MUCH_BLANK = re.compile(r"\s{100}")
"""OpenTelemetry reads white space in the square of its length."""

_CRASHED = "This request failed inside the server; its log says why."


class _UnsaidError(MCPError):
    """Stands for an error as long as the SDK's span listens: the error's own words may hold what a client sent."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error.code if isinstance(error, MCPError) else INTERNAL_ERROR, type(error).__name__)
        self.meant = error


async def explain_late_answers(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Says what an answer that comes too late means for the order.

    It stays an error of the protocol: a state that fails its check must be refused, not answered.
    """
    try:
        return await call_next(ctx)
    except MCPError as error:
        if ctx.method != "tools/call" or error.data != {"reason": "invalid_request_state"}:
            raise
        raise MCPError(error.code, errors.described(too_late(), "generate_video"), error.data) from error


async def with_own_words(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Just outside the SDK's span: gives the client the error's own words, and only words that are meant for it."""
    try:
        return await call_next(_readable(ctx))
    except _UnsaidError as error:
        meant = error.meant
    except (MCPError, ValidationError):
        raise
    except Exception as error:
        # The border of one request: the SDK would send a stranger's exception as it is.
        logger.exception("a request of the method %s failed unexpectedly", ctx.method)
        raise MCPError(INTERNAL_ERROR, _CRASHED) from error
    raise meant


async def observed(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Just inside the SDK's span: gives the request a name, and the span no more of an error than its class."""
    # Over HTTP the request has its id already.
    with request_context(log_context().request_id or new_request_id(), current_principal()):
        try:
            return await call_next(ctx)
        except ValidationError:
            # The SDK tells its span nothing of what was sent in these.
            raise
        except Exception as error:  # noqa: BLE001 - another one is raised for it
            tag_error(error)
            raise _UnsaidError(error) from None
        finally:
            tag_request()


def _readable(ctx: Request) -> Request:
    """Without trace fields that OpenTelemetry's propagators fail on, or take long to read."""
    unreadable = {name for name in _TRACE_FIELDS if not _is_trace((ctx.meta or {}).get(name, ""))}
    if not unreadable:
        return ctx
    meta = {name: value for name, value in (ctx.meta or {}).items() if name not in unreadable}
    return replace(ctx, meta=cast("Any", meta))


def _is_trace(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TRACE and not _MUCH_BLANK.search(value)
