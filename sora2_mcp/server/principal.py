"""Whose call it is."""

from mcp.server.auth.middleware.auth_context import get_access_token

from sora2_mcp.domain.task import LOCAL


def current_principal() -> str:
    """The principal of the request being worked on: the one its token was given to, or ``local`` without tokens.

    Only to be called while a request is handled, in its own task or one started from it.
    """
    token = get_access_token()
    return token.client_id if token is not None else LOCAL
