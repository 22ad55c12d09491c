"""Whether files can be kept."""

import shutil
import tempfile
from pathlib import Path

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.setup import Setup

NAME = "video_folder"
_MB = 1_000_000
_NO_ROOM_MB = 50
_LITTLE_ROOM_MB = 1000
_FOLDER_HINT = "Set SORA2_VIDEO_DIR to a folder that this user may write to, or give it the rights."


def check_videos(setup: Setup) -> Finding:
    """The folder that videos are saved to, and how much still fits in."""
    if variable := setup.unusable("video_dir"):
        return skipped(NAME, f"{variable} cannot be used, so there is no folder to look at.")
    folder = setup.settings.videos
    if obstacle := obstacle_to(folder):
        return problem(NAME, f"Videos cannot be saved to {folder}: {obstacle}.", _FOLDER_HINT)
    free_mb = shutil.disk_usage(nearest_existing(folder)).free // _MB
    state = "" if folder.exists() else ", which will be made with the first video"
    what = f"Videos are saved to {folder}{state}; {_size(free_mb)} free."
    if free_mb < _NO_ROOM_MB:
        return problem(NAME, what, "Make room on this disk, or set SORA2_VIDEO_DIR to a folder on another one.")
    if free_mb < _LITTLE_ROOM_MB:
        return warning(NAME, what, "Make room on this disk soon, or set SORA2_VIDEO_DIR to a folder on another one.")
    if setup.settings.video_dir is not None and not setup.settings.video_dir.is_absolute():
        hint = "Write SORA2_VIDEO_DIR as an absolute path."
        return warning(
            NAME, f"{what} SORA2_VIDEO_DIR is relative: hosts start the server in folders of their own.", hint
        )
    return fine(NAME, what)


def obstacle_to(folder: Path) -> str:
    """Why no file can be made in a folder, or the folder itself cannot be; empty where it can. Leaves nothing."""
    try:
        nearest = nearest_existing(folder)
        if not nearest.is_dir():
            return f"{nearest} is a file"
        # A file without a name where the system knows such, else one that is gone at once.
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return f"{error.strerror} ({error.filename or folder})"


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"
