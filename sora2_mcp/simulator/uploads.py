"""Files that callers uploaded, kept in memory."""

import secrets
from collections import OrderedDict
from typing import Final

from starlette.responses import Response

from sora2_mcp.simulator.submission import Attachment

MAX_BYTES: Final = 10 * 1024 * 1024
KEPT_UPLOADS: Final = 20


class Uploads:
    """The latest uploads, each at a path nobody can guess."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Attachment] = OrderedDict()

    def add(self, file: Attachment) -> str:
        """Keeps a file; gives the token it is found by."""
        token = secrets.token_hex(16)
        self._files[token] = file
        if len(self._files) > KEPT_UPLOADS:
            self._files.popitem(last=False)
        return token

    def answer(self, token: str) -> Response:
        """The file itself, 404 where it is not known."""
        file = self._files.get(token)
        if file is None:
            return Response(status_code=404)
        return Response(file.content, media_type=file.content_type)
