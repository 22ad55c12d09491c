"""Whether the rest of a file may be asked for, and whether what came is that rest.

Source: RFC 9110, sections 8.8 (validators), 13.1.5 (If-Range) and 14 (ranges).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime

_PART = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_SETTLED = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which file a host gives out, as far as its answer says."""

    total_bytes: int | None = None
    etag: str = ""
    modified: str = ""
    validator: str = ""
    """What If-Range may compare; empty if the host gave nothing that is different for every content."""

    @property
    def is_resumable(self) -> bool:
        """Whether a rest of it could be told from the rest of another file."""
        return bool(self.validator) or self.total_bytes is not None

    def rest_from(self, have_bytes: int) -> dict[str, str]:
        """The headers that ask for all but the first bytes, or for the whole of a file that has changed."""
        condition = {"if-range": self.validator} if self.validator else {}
        return {"range": f"bytes={have_bytes}-", **condition}

    def rest_in(self, headers: Mapping[str, str], have_bytes: int) -> "Version | None":
        """The version with what a 206 adds to it; None if that is not the rest of this file."""
        part = _PART.fullmatch(headers.get("content-range", "").strip())
        if part is None or is_encoded(headers) or not self._is_of(headers):
            return None
        first, last = int(part[1]), int(part[2])
        total = None if part[3] == "*" else int(part[3])
        if not have_bytes == first <= last or (total is not None and last >= total):
            return None
        if total != self.total_bytes and (not self.validator or None not in (total, self.total_bytes)):
            return None
        return replace(self, total_bytes=self.total_bytes if total is None else total)

    def _is_of(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer is about this file, as far as it says: hosts may ignore If-Range."""
        if "etag" in headers:
            return headers["etag"] == self.etag
        return headers.get("last-modified", self.modified) == self.modified


def version_of(headers: Mapping[str, str]) -> Version:
    """What a 200 says; nothing of an encoded body, whose length and ranges are not those of the file."""
    if is_encoded(headers):
        return Version()
    length, etag = headers.get("content-length", ""), headers.get("etag", "")
    return Version(
        total_bytes=int(length) if _LENGTH.fullmatch(length) else None,
        etag=etag,
        modified=headers.get("last-modified", ""),
        validator=etag if etag.startswith('"') else _strong_date(headers),
    )


def is_encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("content-encoding", "identity").strip().lower() != "identity"


def _strong_date(headers: Mapping[str, str]) -> str:
    """When the file was changed, unless so shortly before the answer that it may have changed twice."""
    modified = headers.get("last-modified", "")
    try:
        age = parsedate_to_datetime(headers.get("date", "")) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return ""
    return modified if age >= _SETTLED else ""
