"""The one private name of OpenTelemetry's that we need, and what it does: a release that moves it fails here."""

from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled


def test_instrumentation_of_http_clients_still_stands_back_where_it_is_told_to() -> None:
    assert is_http_instrumentation_enabled()
    token = attach(set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, value=True))
    assert not is_http_instrumentation_enabled()
    detach(token)
