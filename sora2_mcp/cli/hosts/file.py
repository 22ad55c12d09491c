"""A host's file, changed with care: what is not ours stays, what was is kept, and no half file is ever there."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
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


def put(
    host: Host, wanted: Wanted, path: Path, *, within: Path | None = None, warn: Callable[[Change], object] = id
) -> Change:
    """Puts the entry into the file, or makes the file; does nothing if it is there as it should be.

    ``within``: the folder that the file must lie in, wherever links lead. ``warn`` is called before anything is
    written.

    Raises:
        HostError: it cannot be read, understood or written; nothing was changed.
    """
    target = _target(path, within)
    content = _read(target)
    text = _decoded(path, content or b"")
    try:
        before, after = _planned(host, wanted, path, text)
        edited = "" if before == after else _checked(host, path, text, before, after)
    except RecursionError as error:
        raise _not_understood(host, path, "it is nested too deeply") from error
    what: Literal["added", "changed", "kept"] = "changed" if _entry(host, wanted, before) else "added"
    what = what if edited else "kept"
    change = Change(path=path, what=what, entry=_entry(host, wanted, after), open_to_others=_is_open(target))
    warn(change)
    if not edited:
        return change
    mark = _MARK if (content or b"").startswith(_MARK.encode()) else ""
    try:
        return replace(change, backup=_replaced(target, content, (mark + edited).encode(), private=not wanted.project))
    except OSError as error:
        raise _unwritable(path, error) from error


def _planned(host: Host, wanted: Wanted, path: Path, text: str) -> tuple[Document, Document]:
    try:
        before = _parse(host)(text)
        return before, merged(host, wanted, before)
    except ValueError as error:
        raise _not_understood(host, path, str(error)) from error


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


def _target(path: Path, within: Path | None) -> Path:
    """The file that a link leads to: replacing the link itself would part it from whatever keeps it."""
    hint = "Mend or remove that link, then run the command again."
    try:
        target = path.resolve()
        # A project may be a stranger's: its links must not have a file of the user's own written.
        if within is not None and not target.is_relative_to(within.resolve()):
            raise HostError(f"{path} is a link that leads out of the project ({target}); nothing was changed", hint)
    except (OSError, RuntimeError) as error:
        raise HostError(f"{path} leads nowhere", hint) from error
    return target


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
    owner = _made_folder(target.parent)
    if before is None:
        _exchange(target, None, after, owner.with_mode(0o600 if private else 0o666 & ~_umask()))
        return None
    if not os.access(target, os.W_OK):
        # Its folder might let it be replaced all the same, but whoever took the right away meant it.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    rights = _Rights.of(target)
    # What was there may hold a key: the copy is its owner's alone.
    backup = _kept(target, before, rights.with_mode(rights.mode & 0o600))
    try:
        _exchange(target, before, after, rights)
    except OSError:
        backup.unlink()
        raise
    return backup


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rights:
    """Whose a file is, and who may do what with it."""

    mode: int
    owner: int
    group: int

    @classmethod
    def of(cls, path: Path) -> "_Rights":
        found = path.stat()
        return cls(mode=stat.S_IMODE(found.st_mode), owner=found.st_uid, group=found.st_gid)

    def with_mode(self, mode: int) -> "_Rights":
        return replace(self, mode=mode)

    def give_to(self, path: Path) -> None:
        """Makes them those of a file that has just been made.

        Raises:
            OSError: it cannot be given to that owner.
        """
        made = _Rights.of(path)
        mode = self.mode
        if os.name == "posix" and (made.owner, made.group) != (self.owner, self.group):
            try:
                os.chown(path, self.owner, self.group)
            except PermissionError:
                if made.owner != self.owner:
                    raise
                # A group that this user is not in: its rights are no other group's.
                mode &= ~0o070
        path.chmod(mode)


def _made_folder(folder: Path) -> _Rights:
    """Makes the folder where it is missing; what is new belongs to the owner of what it is in, also where root asks."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    nearest = _Rights.of(missing[-1].parent if missing else folder)
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        made = _Rights.of(place)
        (nearest if _is_root() else made).with_mode(made.mode | 0o700).give_to(place)
    return nearest if _is_root() else _Rights.of(folder)


def _is_root() -> bool:
    return os.name == "posix" and os.geteuid() == 0


def _exchange(target: Path, before: bytes | None, after: bytes, rights: _Rights) -> None:
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        _create(new, after, rights)
        # Hosts write their files too: what one has put there since is not overwritten.
        if (target.read_bytes() if target.exists() else None) != before:
            raise OSError(errno.EBUSY, "somebody else has changed it just now")
        new.replace(target)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def _kept(target: Path, content: bytes, rights: _Rights) -> Path:
    """A copy beside the file under a name that was free."""
    number = 1
    while True:
        backup = target.with_name(f"{target.name}.bak{f'-{number}' if number > 1 else ''}")
        try:
            _create(backup, content, rights)
        except FileExistsError:
            number += 1
        else:
            return backup


def _create(path: Path, content: bytes, rights: _Rights) -> None:
    """A new file on the disk, which has its owner and rights before anything is in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            rights.give_to(path)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _is_open(target: Path) -> bool:
    return os.name == "posix" and target.exists() and bool(target.stat().st_mode & 0o077)


def _not_understood(host: Host, path: Path, why: str) -> HostError:
    problem = f"{path} cannot be understood as {host.format.upper()} ({why}); it was left as it is"
    return HostError(problem, _by_hand(host))


def _unwritable(path: Path, error: OSError) -> HostError:
    hint = "Check the rights of the file and its folder, then run it again; or put the entry there yourself."
    if error.errno == errno.EBUSY:
        hint = "Run the command again."
    return HostError(f"{path} cannot be written ({error.strerror}); nothing was changed", hint)


def _by_hand(host: Host) -> str:
    return f"Mend it, or put the entry there yourself: sora2-mcp client-config {host.id} prints it."
