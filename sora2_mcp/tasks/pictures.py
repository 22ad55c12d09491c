"""Pictures of one's own: files below one folder, in whichever form the service takes them.

In a request such a picture is ``file:///folder/cat.png#<digest>``: the digest tells one state of the file from another.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import anyio.to_thread
import httpx2

from sora2_mcp.clock import Clock
from sora2_mcp.domain.request import VideoRequest, is_http_url
from sora2_mcp.errors import ArgumentError, ImageNotFetchedError, LostAnswerError
from sora2_mcp.services.service import Picture, PictureForm
from sora2_mcp.tasks.links import SignedTokens
from sora2_mcp.words import quoted

LIMIT_BYTES = 10_000_000
PICTURE_FOLDER = "pictures"
"""Our own addresses are ``/pictures/<token>`` below the public address."""

_SERVED = timedelta(hours=24)
_FETCHING_SECONDS = 30.0
PREPARING_SECONDS = 120.0
"""The longest it takes to make an order's pictures ready."""

_DIGEST_BYTES = 16
_PNG_END = b"IEND\xaeB`\x82"
_TIMEOUT = httpx2.Timeout(connect=10, read=15, write=10, pool=10)
_FORMS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("image/png", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n") and _PNG_END in data[-64:]),
    # Phones put a film behind the picture's end.
    ("image/jpeg", lambda data: data.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in data),
    (
        "image/webp",
        lambda data: (
            data[:4] == b"RIFF"
            and data[8:12] == b"WEBP"
            and int.from_bytes(data[4:8], "little") + 8 in (len(data), len(data) - 1)
        ),
    ),
)
"""How pictures begin and end; one that was cut off is none."""

Upload = Callable[[Picture], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request as the service takes it: its images at addresses, or as files."""

    request: VideoRequest
    pictures: tuple[Picture, ...] = ()


class PictureAddresses:
    """Addresses of our own at which a picture can be had for a day, below ``public_url``. They cannot be guessed.

    They are signed with ``key``, so that every replica on the same folder serves them.
    """

    def __init__(self, public_url: str, key: bytes, clock: Clock) -> None:
        self._public_url = public_url.rstrip("/")
        self._tokens = SignedTokens([key], purpose=b"pictures", lasting=_SERVED, clock=clock)

    @property
    def are_reachable(self) -> bool:
        """Whether the world reaches this server at all."""
        return bool(self._public_url)

    def of(self, url: str) -> str:
        """The address of a picture, for a day from now."""
        return f"{self._public_url}/{PICTURE_FOLDER}/{self._tokens.token(url)}"

    def opened(self, token: str) -> str:
        """The picture that a token stands for, as it is in a request; empty where it is none of ours, or too old."""
        return self._tokens.opened(token)


class Pictures:
    """Reads pictures from ``folder`` (None: none can be sent) and hands them on as ``form`` says."""

    def __init__(
        self,
        *,
        folder: Path | None,
        form: PictureForm,
        addresses: PictureAddresses,
        http: httpx2.AsyncClient,
        upload: Upload,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._form = form
        self._addresses = addresses
        self._http = http
        self._upload = upload
        self._clock = clock

    async def admitted(self, request: VideoRequest, *, is_local: bool) -> VideoRequest:
        """The request with its files' paths in the form that is kept.

        Raises:
            ArgumentError: a path that may not be sent, or is no picture.
        """
        if all(map(is_http_url, request.image_urls)):
            return request
        if self._folder is None or not is_local:
            raise ArgumentError("image_urls", f"holds a path of a file; {_ONLY_ADDRESSES}")
        if self._form is PictureForm.ADDRESS and not self._addresses.are_reachable:
            raise ArgumentError(
                "image_urls",
                "holds a path, but this service takes addresses only; give a public http(s) address of the picture "
                "(or serve over HTTP with SORA2_PUBLIC_URL set, so that the service can fetch files).",
            )
        found = [
            image if is_http_url(image) else await anyio.to_thread.run_sync(_admitted, self._folder, image)
            for image in request.image_urls
        ]
        return replace(request, image_urls=tuple(found))

    async def prepared(self, request: VideoRequest) -> Prepared:
        """The request as the service takes it; within ``PREPARING_SECONDS``.

        Raises:
            ImageNotFetchedError: a picture cannot be had any more, or was not taken. NotReachedError: nor the service.
        """
        with self._clock.timeout(PREPARING_SECONDS):
            return await self._prepared(request)
        raise ImageNotFetchedError(f"its pictures were not ready after {PREPARING_SECONDS:.0f} s")

    async def _prepared(self, request: VideoRequest) -> Prepared:
        if self._form is PictureForm.FILE:
            pictures = [await self._picture(image) for image in request.image_urls]
            return Prepared(request=replace(request, image_urls=()), pictures=tuple(pictures))
        addresses = [await self._address(image) for image in request.image_urls]
        return Prepared(request=replace(request, image_urls=tuple(addresses)))

    async def served(self, token: str) -> Picture | None:
        """The picture at one of our own addresses; None where there is none."""
        url = self._addresses.opened(token)
        try:
            return await self._picture(url) if url else None
        except ImageNotFetchedError:
            return None

    async def _address(self, image: str) -> str:
        if is_http_url(image):
            return image
        if self._form is PictureForm.ADDRESS:
            return self._addresses.of(await anyio.to_thread.run_sync(_below, self._folder, image))
        picture = await self._picture(image)
        if self._form is PictureForm.DATA:
            # In a thread, as all that takes long for ten megabytes.
            return await anyio.to_thread.run_sync(lambda: picture.data_url)
        try:
            return await self._upload(picture)
        except LostAnswerError as error:
            raise ImageNotFetchedError(f"it was not taken: {error.reason}") from error

    async def _picture(self, image: str) -> Picture:
        if is_http_url(image):
            return await self._fetched(image)
        if self._folder is None:
            raise ImageNotFetchedError("SORA2_IMAGE_DIR is not set any more")
        try:
            return await anyio.to_thread.run_sync(_read_again, self._folder, image)
        except ArgumentError as error:
            raise ImageNotFetchedError(str(error)) from error

    async def _fetched(self, url: str) -> Picture:
        """A picture from its address, for a service that takes files; within the reach of downloads."""
        data = bytearray()
        try:
            with self._clock.timeout(_FETCHING_SECONDS) as patience:
                async with self._http.stream("GET", url, timeout=_TIMEOUT) as response:
                    if response.status_code != httpx2.codes.OK:
                        raise ImageNotFetchedError(f"its host answered HTTP {response.status_code}")
                    async for piece in response.aiter_bytes():
                        data += piece
                        if len(data) > LIMIT_BYTES:
                            raise ImageNotFetchedError("it has more than 10 MB")
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise ImageNotFetchedError("its host cannot be reached, or may not be asked") from error
        if patience.cancelled_caught:
            raise ImageNotFetchedError("its host took too long")
        media_type = media_type_of(bytes(data))
        if not media_type:
            raise ImageNotFetchedError("what its host sent is no JPEG, PNG or WebP picture")
        return Picture(name=f"picture.{media_type.rpartition('/')[2]}", media_type=media_type, content=bytes(data))


_ONLY_ADDRESSES = (
    "only http:// and https:// addresses can be sent here. Files can be sent where SORA2_IMAGE_DIR names their folder, "
    "and only from the machine that this program runs on."
)


def media_type_of(data: bytes) -> str:
    """``image/png`` and the like, by how the picture begins and ends; empty where it is none that services take."""
    return next((media_type for media_type, fits in _FORMS if fits(data)), "")


def _admitted(folder: Path, image: str) -> str:
    path, data = _read(folder, image)
    return f"{path.as_uri()}#{_digest(data)}"


def _read_again(folder: Path, image: str) -> Picture:
    path, data = _read(folder, image)
    if _digest(data) != urlsplit(image).fragment:
        raise ArgumentError("image_urls", f"holds {quoted(path.name)}, which has changed since it was ordered with.")
    return Picture(name=path.name, media_type=media_type_of(data), content=data)


def _below(folder: Path | None, image: str) -> str:
    """The same, relative to the folder: an address must not say where that is."""
    path = _path_in(image)
    relative = path.relative_to(folder.resolve()) if folder is not None else path
    return f"file:{quote(relative.as_posix())}#{urlsplit(image).fragment}"


def _read(folder: Path, image: str) -> tuple[Path, bytes]:
    """The real path and the bytes of a picture.

    Raises:
        ArgumentError: it does not lie in the folder, links resolved, or is no picture.
    """
    here = folder.resolve()
    # The same words whether or not there is such a file elsewhere, or callers could search the disk.
    outside = ArgumentError(
        "image_urls",
        f"names {quoted(image[:200])}, and there is no such file in the folder {folder} (SORA2_IMAGE_DIR): the "
        "picture must be put there, or be given by a public http(s) address.",
    )
    try:
        path = (here / _path_in(image.strip()).expanduser()).resolve(strict=True)
        if not path.is_relative_to(here):
            raise outside
        data = _bytes_of(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise outside from error
    if len(data) > LIMIT_BYTES:
        raise ArgumentError("image_urls", f"names {quoted(path.name)}, which has more than 10 MB.")
    if not media_type_of(data):
        raise ArgumentError("image_urls", f"names {quoted(path.name)}, which is no whole JPEG, PNG or WebP picture.")
    return path, data


def _path_in(image: str) -> Path:
    """The path that is meant, in the form of this system.

    Raises:
        ValueError: it is on another machine.
    """
    if not image.lower().startswith("file:"):
        return Path(image)
    url = urlsplit(image)
    if url.netloc not in ("", "localhost"):
        raise ValueError("on another machine")
    return Path(url2pathname(url.path))


def _bytes_of(path: Path) -> bytes:
    """At most one byte more than is allowed, and never of anything but a file: a pipe would wait for ever."""
    flags = (getattr(os, name, 0) for name in ("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    opened = os.open(path, sum(flags))
    with os.fdopen(opened, "rb") as file:
        if not S_ISREG(os.fstat(opened).st_mode):
            raise ValueError("no file")
        return file.read(LIMIT_BYTES + 1)


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
