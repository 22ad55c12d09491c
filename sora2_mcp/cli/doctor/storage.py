"""Whether tasks and videos can be kept, and which tasks need attention."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio.to_thread

from sora2_mcp.cli.doctor.report import Result, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.setup import Setup, Source, without_credentials
from sora2_mcp.cli.hints import typed
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.interface import Survey

_MB = 1_000_000
_NO_ROOM_MB = 50
_LITTLE_ROOM_MB = 1000


async def check_store(setup: Setup) -> Sequence[Result]:
    """What the store holds. It is not created or migrated: the server does that when it starts."""
    from sora2_mcp.tasks.store.survey import survey  # noqa: PLC0415 - brings SQLAlchemy, which may be broken

    settings = setup.settings
    if variable := setup.unusable("database_url"):
        return [skipped(f"{variable} cannot be used, so there is no store to look at.")]
    file = settings.store_file
    place = f"the file {file}" if file else without_credentials(settings.store_url)
    hint = (
        f"See that this user may write to {file.parent} and what lies in it; a file that is damaged or no store is "
        "best replaced by a copy, or moved away: the server then begins a new one."
        if file
        else "Check SORA2_DATABASE_URL, and that its server answers and lets its user in and write."
    )
    try:
        found = await survey(settings.store_url, settings.account, setup.clock)
    except StoreError as error:
        return [problem(f"{setup.redact(str(error))} ({place}).", error.cli_hint or hint)]
    setup.survey = found
    obstacle = found.obstacle if found else ""
    if file and not obstacle:
        # SQLite writes other files beside its own.
        obstacle = await obstacle_in(file.parent)
    if obstacle:
        return [problem(f"Nothing can be written to {place}: {setup.redact(obstacle)}.", hint)]
    if found is None:
        return [fine(f"Tasks are kept in {place}, which the server makes when it starts.")]
    if not found.has_tables:
        return [fine(f"Tasks are kept in {place}, which is empty; the server makes its tables when it starts.")]
    if not found.is_current:
        return [fine(f"Tasks are kept in {place}; the server brings its tables up to date when it starts.")]
    return [fine(f"Tasks are kept in {place}: {_counts(setup, found)}."), *_wanting_attention(setup, found)]


def _counts(setup: Setup, found: Survey) -> str:
    if not setup.settings.key:
        return f"{found.tasks + found.others} of any key"
    others = f"; {found.others} more belong to another key or address" if found.others else ""
    return f"{found.tasks}, of which {found.unsaved} not saved and {found.unconfirmed} unconfirmed{others}"


def _wanting_attention(setup: Setup, found: Survey) -> Iterator[Result]:
    # Where the variable is set, other commands are about the simulator's tasks without the option too.
    simulate = setup.setting("simulate").source is Source.OPTION
    if found.unconfirmed:
        what = f"Orders whose outcome is not known, which may have been charged: {found.unconfirmed}."
        way = "Look in your account what became of them. See them with: sora2-mcp tasks list --status unconfirmed"
        yield warning(what, typed(way, simulate=simulate))
    if found.expiring:
        what = f"Videos not saved that the service deletes within three days: {found.expiring}."
        yield warning(what, typed("Save them: sora2-mcp tasks download --all", simulate=simulate))


async def check_video_folder(setup: Setup) -> Sequence[Result]:
    """The folder that videos are saved to, and how much room it has."""
    if variable := setup.unusable("video_dir"):
        return [skipped(f"{variable} cannot be used, so there is no folder to look at.")]
    folder = setup.settings.videos
    if obstacle := await obstacle_in(folder):
        hint = "Set SORA2_VIDEO_DIR to a folder that this user may write to, or give it the rights."
        return [problem(f"Videos cannot be saved to {folder}: {obstacle}.", hint)]
    free_mb = shutil.disk_usage(_nearest_existing(folder)).free // _MB
    size = f"{free_mb / 1000:.1f} GB" if free_mb >= 1000 else f"{free_mb} MB"
    state = "" if folder.exists() else ", which will be made with the first video"
    what = f"Videos are saved to {folder}{state}; {size} free."
    if free_mb < _NO_ROOM_MB:
        return [problem(what, "Make room on this disk, or set SORA2_VIDEO_DIR to a folder on another one.")]
    if free_mb < _LITTLE_ROOM_MB:
        return [warning(what, "Make room on this disk soon, or set SORA2_VIDEO_DIR to a folder on another one.")]
    chosen = setup.settings.video_dir
    if chosen is not None and not chosen.is_absolute():
        what += " SORA2_VIDEO_DIR is relative: hosts start the server in folders of their own."
        return [warning(what, "Write SORA2_VIDEO_DIR as an absolute path.")]
    return [fine(what)]


async def obstacle_in(folder: Path) -> str:
    """Why no file can be made in a folder, or the folder cannot be made; empty if it can. Leaves nothing behind."""
    # A file system that hangs keeps the thread busy, and not the check.
    return await anyio.to_thread.run_sync(_obstacle_in, folder, abandon_on_cancel=True)


def _obstacle_in(folder: Path) -> str:
    try:
        nearest = _nearest_existing(folder)
        if not nearest.is_dir():
            return f"{nearest} is a file"
        # Where the system can, this is a file without a name; elsewhere it is gone at once.
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return f"{error.strerror} ({error.filename or folder})"


def _nearest_existing(folder: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())
