"""A host's file, changed with care: the user's own stays, a copy is kept, and no half file is ever there."""

import errno
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sora2_mcp.cli.hosts import jsonc, toml
from sora2_mcp.cli.hosts.entry import Document, Wanted, merged, section_of, servers_of
from sora2_mcp.cli.hosts.removal import removals, without
from sora2_mcp.cli.hosts.table import Host
from sora2_mcp.errors import Sora2Error

_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""The byte order mark: some editors put it before a text, and parsers refuse it."""


class HostError(Sora2Error):
    """A host's file cannot be read, understood or written; it was left as it is."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a file. ``open_to_others``: other users of this machine can read it."""

    path: Path
    what: Literal["added", "changed", "kept", "removed", "absent"]
    entry: Document = field(repr=False)
    """What the file holds for the server's name now; it may hold a key."""

    before: Document = field(repr=False)
    """What it held until now."""

    backup: Path | None = None
    open_to_others: bool = False


def printed(host: Host, document: Document) -> str:
    """A whole new file."""
    return _edited(host, "", {}, document)


def document_of(host: Host, path: Path) -> Document:
    """What a file holds; nothing if there is none.

    Raises:
        HostError: it cannot be read or understood.
    """
    with _understanding(host, path, "Mend it."):
        return _parsed(host, _text(path, _read(path)))


def put(
    host: Host,
    wanted: Wanted,
    path: Path,
    *,
    within: Path | None = None,
    before_write: Callable[[Change], object] = lambda _change: None,
) -> Change:
    """Puts the entry into the file, or makes the file; does nothing if the entry is there as it should be.

    The file must lie in the folder ``within``, wherever links lead.

    Raises:
        HostError: the file cannot be read, understood or written; nothing was changed.
    """
    target = _target(path, within)
    content = _read(target)
    before, after, edited = _planned(host, wanted, path, _text(path, content))
    was = _entry(host, wanted.name, before)
    change = Change(
        path=path,
        what="kept" if before == after else "changed" if was else "added",
        entry=_entry(host, wanted.name, after),
        before=was,
        open_to_others=os.name == "posix" and target.exists() and bool(target.stat().st_mode & 0o077),
    )
    before_write(change)
    if change.what == "kept":
        return change
    return replace(change, backup=_written(path, target, content, edited, private=not wanted.project))


def take_out(host: Host, name: str, path: Path, *, within: Path | None = None) -> Change:
    """Takes the entry of that name out of the file; does nothing if there is none.

    Raises:
        HostError: the file cannot be read, understood or written; nothing was changed.
    """
    target = _target(path, within)
    content = _read(target)
    text = _text(path, content)
    hint = f"Take {name} out of it yourself."
    with _understanding(host, path, hint):
        before = _parsed(host, text)
        if name not in servers_of(host, before):
            return Change(path=path, what="absent", entry={}, before={})
        gone = removals(host, name, before)
    edited = _thinned(host, text, before, gone)
    if edited is None:
        raise HostError(f"{path} is written in a way that cannot be edited safely; it was left as it is", hint)
    change = Change(path=path, what="removed", entry={}, before=_entry(host, name, before))
    return replace(change, backup=_written(path, target, content, edited))


def _thinned(host: Host, text: str, before: Document, gone: Sequence[tuple[str | int, ...]]) -> str | None:
    """The text without these parts, if it is certain that it holds all others and nothing else."""
    cut = toml.without if host.format == "toml" else jsonc.without
    after = before
    try:
        for part in gone:
            text, after = cut(text, part), without(after, part)
        # In TOML a table may be there only because of what is in it.
        return text if {host.section: {}, **_parsed(host, text)} == {host.section: {}, **after} else None
    except ValueError:
        return None


def _text(path: Path, content: bytes | None) -> str:
    try:
        return (content or b"").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8, then run the command again."
        raise HostError(f"{path} is no UTF-8 text; it was left as it is", hint) from error


def _written(path: Path, target: Path, content: bytes | None, edited: str, *, private: bool = True) -> Path | None:
    """Writes the text in the place of ``content``; gives the copy of that."""
    mark = _MARK if (content or b"").startswith(_MARK.encode()) else ""
    try:
        return _replaced(target, content, (mark + edited).encode(), private=private)
    except OSError as error:
        hint = "Check the rights of the file and its folder, then run it again; or put the entry there yourself."
        if error.errno == errno.EBUSY:
            hint = "Run the command again."
        raise HostError(f"{path} cannot be written ({error.strerror}); nothing was changed", hint) from error


def _planned(host: Host, wanted: Wanted, path: Path, text: str) -> tuple[Document, Document, str]:
    """What the file holds, what it shall hold, and the text that holds it."""
    hint = f"Mend it, or put the entry there yourself: sora2-mcp client-config {host.id} prints it."
    with _understanding(host, path, hint):
        before = _parsed(host, text)
        after = merged(host, wanted, before)
        edited = _edited_safely(host, text, before, after)
    if edited is None:
        raise HostError(f"{path} is written in a way that cannot be edited safely; it was left as it is", hint)
    return before, after, edited


@contextmanager
def _understanding(host: Host, path: Path, hint: str) -> Iterator[None]:
    """Says of a file that cannot be understood why that is."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        problem = f"{path} cannot be understood as {host.format.upper()} ({why}); it was left as it is"
        raise HostError(problem, hint) from error


def _edited_safely(host: Host, text: str, before: Document, after: Document) -> str | None:
    """The edited text, if it is certain that it holds ``after`` and nothing else."""
    try:
        edited = _edited(host, text, before, after)
        return edited if _parsed(host, edited) == after else None
    except ValueError:
        return None


def _parsed(host: Host, text: str) -> Document:
    return tomllib.loads(text) if host.format == "toml" else jsonc.parse(text, comments=host.comments)


def _edited(host: Host, text: str, before: Document, after: Document) -> str:
    with_value = toml.with_value if host.format == "toml" else jsonc.with_value
    for path, value in _differences(before, after):
        text = with_value(text, path, value)
    return text


def _differences(
    before: Document, after: Document, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The smallest parts that are new, each with its path."""
    for key, value in after.items():
        was = before.get(key)
        if isinstance(value, dict) and isinstance(was, dict) and set(was) <= set(value):
            yield from _differences(was, value, (*path, key))
        elif key not in before or was != value:
            yield (*path, key), value


def _entry(host: Host, name: str, document: Document) -> Document:
    found: Any = document
    for key in (*section_of(host, document), name):
        found = found.get(key, {})
    return found if isinstance(found, dict) else {}


def _target(path: Path, within: Path | None) -> Path:
    """The file that a link leads to: replacing the link itself would part it from what keeps it."""
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
        problem = f"{target} cannot be read ({error.strerror})"
        raise HostError(problem, "Check its rights, then run it again.") from error


def _replaced(target: Path, before: bytes | None, after: bytes, *, private: bool) -> Path | None:
    """Writes the file in one step; gives the copy of what was there, if anything was."""
    owner = _made_folder(target.parent)
    if before is None:
        _exchange(target, None, after, owner, 0o600 if private else 0o666 & ~_umask())
        return None
    if not os.access(target, os.W_OK):
        # Its folder might let it be replaced all the same, but the user took the right away on purpose.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    was = target.stat()
    mode = stat.S_IMODE(was.st_mode)
    # What was there may hold a key, so only its owner may read the copy.
    backup = _kept(target, before, was, mode & 0o600)
    try:
        _exchange(target, before, after, was, mode)
    except OSError:
        backup.unlink()
        raise
    return backup


def _made_folder(folder: Path) -> os.stat_result:
    """Makes the folder if it is missing. Gives the owner of what is made in it, which root does not take over."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    owner = (missing[-1].parent if missing else folder).stat()
    is_root = os.name == "posix" and os.geteuid() == 0
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        made = place.stat()
        _give(place, owner if is_root else made, stat.S_IMODE(made.st_mode) | 0o700)
    return owner if is_root else folder.stat()


def _exchange(target: Path, before: bytes | None, after: bytes, owner: os.stat_result, mode: int) -> None:
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        _create(new, after, owner, mode)
        # Hosts write their files too: what one of them has written since is not overwritten.
        if (target.read_bytes() if target.exists() else None) != before:
            raise OSError(errno.EBUSY, "somebody else has changed it just now")
        new.replace(target)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def _kept(target: Path, content: bytes, owner: os.stat_result, mode: int) -> Path:
    """A copy beside the file under a name that was free."""
    number = 1
    while True:
        backup = target.with_name(f"{target.name}.bak{f'-{number}' if number > 1 else ''}")
        with suppress(FileExistsError):
            _create(backup, content, owner, mode)
            return backup
        number += 1


def _create(path: Path, content: bytes, owner: os.stat_result, mode: int) -> None:
    """A new file on the disk, which has its owner and rights before anything is in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _give(path, owner, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _give(path: Path, owner: os.stat_result, mode: int) -> None:
    """Gives what has just been made to that owner and group.

    Raises:
        OSError: this user may not give it to that owner.
    """
    made = path.stat()
    if os.name == "posix" and (made.st_uid, made.st_gid) != (owner.st_uid, owner.st_gid):
        try:
            os.chown(path, owner.st_uid, owner.st_gid)
        except PermissionError:
            if made.st_uid != owner.st_uid:
                raise
            # This user is not in the group, whose rights no other group may have.
            mode &= ~0o070
    path.chmod(mode)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
