"""A host's file, changed with care: what is not ours stays, what was is kept, and no half file is ever there."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from sora2_mcp.cli.hosts import jsonc, toml
from sora2_mcp.cli.hosts.entry import Document, Wanted, merged, section_of
from sora2_mcp.cli.hosts.host import Host, HostError

_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""What some editors put before a text, and parsers refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a file."""

    path: Path
    what: Literal["added", "changed", "kept"]
    entry: Document = field(repr=False)
    """What the file holds for the name now; it may hold a key."""

    backup: Path | None = None
    open_to_others: bool = False
    """Other users of this machine can read it."""


class _Dialect(Protocol):
    def with_value(self, text: str, path: tuple[str, ...], value: Any) -> str: ...
    def with_item(self, text: str, path: tuple[str, ...], item: Any) -> str: ...


def printed(host: Host, document: Document) -> str:
    """A whole new file."""
    return _written(host, "", {}, document)


def put(host: Host, wanted: Wanted, path: Path) -> Change:
    """Puts the entry into the file, or makes the file; does nothing if it is there as it should be.

    Raises:
        HostError: it cannot be read, understood or written; nothing was changed.
    """
    target = _target(path)
    content = _read(target)
    text = _decoded(path, content or b"")
    before, after = _planned(host, wanted, path, text)
    entry = _entry(host, wanted, after)
    if before == after:
        return Change(path=path, what="kept", entry=entry, open_to_others=_is_open(target))
    edited = _checked(host, path, text, before, after)
    mark = _MARK if (content or b"").startswith(_MARK.encode()) else ""
    try:
        backup = _replaced(target, content, (mark + edited).encode(), private=not wanted.project)
    except OSError as error:
        raise _unwritable(path, error) from error
    what: Literal["added", "changed"] = "changed" if _entry(host, wanted, before) else "added"
    return Change(path=path, what=what, entry=entry, backup=backup, open_to_others=_is_open(target))


def _planned(host: Host, wanted: Wanted, path: Path, text: str) -> tuple[Document, Document]:
    try:
        before = _parse(host)(text)
        return before, merged(host, wanted, before)
    except ValueError as error:
        kind = host.format.upper()
        problem = f"{path} cannot be understood as {kind} ({error}); it was left as it is"
        raise HostError(problem, _by_hand(host)) from error


def _checked(host: Host, path: Path, text: str, before: Document, after: Document) -> str:
    """The edited text, which is proved to hold exactly what was planned before anything is written."""
    try:
        edited = _written(host, text, before, after)
        right = _parse(host)(edited) == after
    except ValueError:
        right = False
    if not right:
        raise HostError(
            f"{path} is written in a way that cannot be edited safely; it was left as it is", _by_hand(host)
        )
    return edited


def _written(host: Host, text: str, before: Document, after: Document) -> str:
    dialect: _Dialect = toml if host.format == "toml" else jsonc
    for path, value, is_item in _differences(before, after):
        text = (dialect.with_item if is_item else dialect.with_value)(text, path, value)
    return text


def _differences(
    before: Document, after: Document, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """The smallest parts that are new: a path, its value, and whether that is one more element of a list."""
    for key, value in after.items():
        was = before.get(key)
        if key in before and was == value:
            continue
        if isinstance(value, dict) and isinstance(was, dict) and set(was) <= set(value):
            yield from _differences(was, value, (*path, key))
        elif isinstance(value, list) and isinstance(was, list) and was and value[: len(was)] == was:
            yield from (((*path, key), item, True) for item in value[len(was) :])
        else:
            yield (*path, key), value, False


def _parse(host: Host) -> Callable[[str], Document]:
    if host.format == "toml":
        return toml.parse
    return lambda text: jsonc.parse(text, comments=host.comments)


def _entry(host: Host, wanted: Wanted, document: Document) -> Document:
    found: Any = document
    for key in (*section_of(host, document), wanted.name):
        found = found.get(key, {})
    return found if isinstance(found, dict) else {}


def _target(path: Path) -> Path:
    """The file that a link leads to: replacing the link itself would part it from whatever keeps it."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise HostError(f"{path} leads nowhere", "Mend or remove that link, then run the command again.") from error


def _read(target: Path) -> bytes | None:
    try:
        return target.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(
            f"{target} cannot be read ({error.strerror})", "Check its rights, then run it again."
        ) from error


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8, then run the command again."
        raise HostError(f"{path} is no UTF-8 text; it was left as it is", hint) from error


def _replaced(target: Path, before: bytes | None, after: bytes, *, private: bool) -> Path | None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if before is not None and not os.access(target, os.W_OK):
        # Its folder might let it be replaced all the same, but whoever took the right away meant it.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    mode = stat.S_IMODE(target.stat().st_mode) if before is not None else None
    backup = _kept(target, before, mode) if before is not None and mode is not None else None
    try:
        _exchange(target, before, after, mode, private=private)
    except OSError:
        if backup is not None:
            backup.unlink()
        raise
    return backup


def _exchange(target: Path, before: bytes | None, after: bytes, mode: int | None, *, private: bool) -> None:
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        _create(new, after, 0o600 if private or mode is not None else 0o666)
        if mode is not None:
            new.chmod(mode)
        # Hosts write their files too: what one has put there since is not overwritten.
        if (target.read_bytes() if target.exists() else None) != before:
            raise OSError(errno.EBUSY, "somebody else has changed it just now")
        new.replace(target)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def _kept(target: Path, content: bytes, mode: int) -> Path:
    """A copy beside the file under a name that was free."""
    number = 1
    while True:
        backup = target.with_name(f"{target.name}.bak{f'-{number}' if number > 1 else ''}")
        try:
            _create(backup, content, mode)
        except FileExistsError:
            number += 1
        else:
            return backup


def _create(path: Path, content: bytes, mode: int) -> None:
    """A new file, with its rights from the first moment on, on the disk before this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _is_open(target: Path) -> bool:
    return os.name == "posix" and bool(target.stat().st_mode & 0o077)


def _unwritable(path: Path, error: OSError) -> HostError:
    hint = "Check the rights of the file and its folder, then run it again; or put the entry there yourself."
    if error.errno == errno.EBUSY:
        hint = "Run the command again."
    return HostError(f"{path} cannot be written ({error.strerror}); nothing was changed", hint)


def _by_hand(host: Host) -> str:
    return f"Mend it, or put the entry there yourself: sora2-mcp client-config {host.id} prints it."
