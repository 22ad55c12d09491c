"""Tasks to be downloaded by the command line."""

from pathlib import Path

from tests.faults.hosts import served
from tests.stores import file_in

ALL = ("tasks", "download", "--all")


def ordered(folder: Path, base_url: str, count: int) -> list[str]:
    """The ids of so many finished tasks that nobody has looked at."""
    with served(folder, base_url, SORA2_MAX_REQUESTS_PER_SECOND="1000") as server:
        return [server.call("generate_video", prompt=f"Kitten {number}")["task_id"] for number in range(count)]


def places(folder: Path, base_url: str) -> dict[str, str]:
    """Variables that lead to those tasks, and to a service that is asked as often as one likes."""
    store = {"SORA2_DATABASE_URL": file_in(folder).url, "SORA2_VIDEO_DIR": str(folder / "videos")}
    access = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any"}
    return {**access, **store, "SORA2_MAX_REQUESTS_PER_SECOND": "1000"}
