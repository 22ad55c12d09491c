"""Normal results that a reader may take for errors, and all others, from ``server/texts.py``."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import anyio

from sora2_mcp.domain.preview import Facts, Preview
from sora2_mcp.domain.task import GRACE, Doubt, Failure, SavedFile, Sighting, Stage, Status, Task
from sora2_mcp.errors import DeclinedError
from sora2_mcp.server import texts
from sora2_mcp.server.listing import Filter, listed
from sora2_mcp.tasks.downloads import Download
from sora2_mcp.tasks.orders import Submission
from sora2_mcp.tasks.store.interface import Outcome, Usage
from sora2_mcp.tasks.tasks import Page
from tools.docs.markdown import block
from tools.docs.occasions import NOW, TASK, later

DONE = later(
    status=Status.SUCCEEDED,
    known_unfinished_at=NOW,
    finished_at=NOW + timedelta(seconds=130),
    video_url="https://cdn.example.com/x.mp4",
)
FILE = SavedFile(path="/home/ann/Videos/sora2/a-kitten.mp4", size_bytes=9_437_184, sha256="…")
LINKED = replace(
    FILE,
    path="",
    link="https://videos.example.com/videos/lgHJLfXo…/a-kitten.mp4",
    link_until=NOW + timedelta(hours=24),
)
PREVIEW = Preview(
    jpeg=b"",
    moments=(0.5, 1.5, 2.5, 3.5),
    facts=Facts(seconds=4.0, width=1280, height=720, frame_rate=24.0, codec="h264", sound="aac"),
)


class Result(NamedTuple):
    """One way a call can end normally, and the text it then gives."""

    title: str
    when: str
    text: Callable[[], str]


def result_sections() -> str:
    """A section for each."""
    return "\n\n".join(f"### {result.title}\n\n{result.when}\n\n{block(result.text())}" for result in _RESULTS)


def _ordered(outcome: Outcome = Outcome.NEW, task: Task = TASK, seconds: float = 0) -> str:
    return str(texts.submitted(Submission(task=task, outcome=outcome), NOW + timedelta(seconds=seconds)))


def _at(seconds: float, task: Task, wait: texts.Wait | None = None) -> str:
    return str(texts.described(task, NOW + timedelta(seconds=seconds), wait))


def _failed(stage: Stage, code: int, message: str, *, doubtful: bool = False, **changes: Any) -> str:
    failure = Failure(stage=stage, code=code, message=message, doubtful=doubtful)
    return _at(130, later(status=Status.FAILED, failure=failure, finished_at=NOW, **changes))


def _still_generating() -> str:
    failing = later(look_failed_at=NOW + timedelta(seconds=90), look_error_code=500)
    missing, no_url = (
        later(doubts=(Doubt(seen_at=NOW + GRACE, sighting=sighting),))
        for sighting in (Sighting.MISSING, Sighting.NO_URL)
    )
    return "\n\n".join([_at(48, TASK), _at(100, failing), _at(100, missing), _at(100, no_url)])


def _still_waiting() -> str:
    wait = texts.Wait(timeout_seconds=30, usual_seconds=130)
    return "\n\n".join(_at(seconds, TASK, wait) for seconds in (25, 110, 300))


def _saving() -> str:
    async def download() -> Download:
        begun = Download()
        begun.received_bytes, begun.total_bytes = 4_200_000, FILE.size_bytes
        return begun

    return str(texts.saving(DONE, anyio.run(download)))


def _listed() -> str:
    saved = replace(DONE, file=FILE, task_id="sora2_task_abc122")
    unsaved = replace(DONE, task_id="sora2_task_abc121")
    usage = Usage(
        mine_today=2, mine_failed_today=0, mine_this_month=14, mine_failed_this_month=1, all_today=2, all_active=1
    )
    asked = Filter(status="any", limit=3)
    page = Page(tasks=(TASK, saved, unsaved), next_cursor="eyJ…")
    return str(listed(page, NOW, asked=asked, total=12, usage=usage, daily_limit=5))


_REQUEST_REFUSED = "Insufficient credits"
_CONCLUDED = "the service has not known this task for ten minutes"

_RESULTS = [
    Result("Ordered", "The service has accepted the order and charges for it.", _ordered),
    Result(
        "Being ordered",
        "The service has not answered within 3 seconds. `local-…` stays a valid id, even when the task has an "
        "id from the service.",
        lambda: _ordered(task=later(task_id="")),
    ),
    Result(
        "Still generating",
        "The time of `wait_for_video` is up, or `get_task_status` looked. The second text says that the latest look "
        "failed, the third that the service does not know the task at the moment, the fourth that it calls the task "
        "done and gives no video. In each case the task goes on.",
        _still_generating,
    ),
    Result(
        "Still generating after a wait",
        "`wait_for_video` repeats the caller's own `timeout_seconds`, says how long such videos took lately (the "
        "median of the last 20 of the same quality and length), and what to do next.",
        _still_waiting,
    ),
    Result(
        "Joined a repeat",
        "Exactly this was ordered a moment ago (`SORA2_DUPLICATE_WINDOW_SECONDS`) and is not done yet. Nothing was "
        "ordered or spent.",
        lambda: _ordered(Outcome.REPEAT, seconds=20),
    ),
    Result(
        "Same key again",
        "The same order was made with this `idempotency_key` before, at any time. Nothing was ordered or spent.",
        lambda: _ordered(Outcome.SAME_KEY, DONE, seconds=600),
    ),
    Result(
        "Same answer again",
        "A person's consent that is sent twice finds the order made with it.",
        lambda: _ordered(Outcome.SAME_CONSENT, seconds=20),
    ),
    Result("Done", "The video is there.", lambda: _at(130, DONE)),
    Result(
        "Done, and can be seen",
        "The same after `wait_for_video`, if `preview_video` is installed.",
        lambda: str(texts.with_preview(texts.described(DONE, DONE.finished_at or NOW), DONE)),
    ),
    Result(
        "Done and saved",
        "`download_video`, or `SORA2_AUTO_DOWNLOAD`, has saved it.",
        lambda: _at(300, replace(DONE, file=FILE)),
    ),
    Result(
        "Soon deleted",
        "In the last three of its 15 days, if it was not saved.",
        lambda: _at(13 * 86_400, DONE),
    ),
    Result(
        "Saved, and deleted at the service",
        "After its 15 days. The saved file stays.",
        lambda: _at(20 * 86_400, replace(DONE, file=FILE)),
    ),
    Result("Expired", "The video was not saved in time.", lambda: _at(20 * 86_400, DONE)),
    Result(
        "Failed",
        "`failed` and `failure.stage: generation`: the service accepted the order and could not fulfil it. The text "
        "says what is known about the money and, from the code, whether the same order can succeed.",
        lambda: "\n\n".join(
            [
                _failed(Stage.GENERATION, 501, "The video could not be generated", idempotency_key="spring-1"),
                _failed(Stage.GENERATION, 500, "Internal error", service="kie"),
                _failed(Stage.GENERATION, 400, "The prompt is not allowed", cost=0),
            ]
        ),
    ),
    Result(
        "Failed before it was created",
        "`failed` and `failure.stage: creation`: the service refused the order after `generate_video` had answered "
        "*Being ordered*.",
        lambda: _failed(Stage.CREATION, 402, _REQUEST_REFUSED, task_id=""),
    ),
    Result(
        "Given up",
        "In at least three looks over ten minutes the service did not know the task, or called it done without an "
        "address. `get_task_status` looks once more.",
        lambda: _failed(Stage.CREATION, 404, _CONCLUDED, doubtful=True),
    ),
    Result(
        "Unconfirmed",
        "The order was sent and its answer got lost. It may have been charged, the server never sends it again, and "
        "it stays listed until a person decides.",
        lambda: _at(
            60,
            later(
                status=Status.UNCONFIRMED, task_id="", unclear_because="the connection ended without an answer in HTTP"
            ),
        ),
    ),
    Result(
        "Declined",
        "`SORA2_CONFIRM`: the person said no. There is no task: the data says `failed` with an empty `task_id`.",
        lambda: str(texts.declined(DeclinedError())),
    ),
    Result(
        "Saved",
        "After `download_video`; asking again gives the same file.",
        lambda: "\n\n".join(
            str(texts.saved(DONE, FILE, DONE.finished_at or NOW, is_new=is_new)) for is_new in (True, False)
        ),
    ),
    Result(
        "Saved, over HTTP",
        "The same for a caller over HTTP: the link comes first, the path only for the user of this machine.",
        lambda: str(texts.saved(DONE, LINKED, DONE.finished_at or NOW)),
    ),
    Result("Still saving", "A download that takes longer than 25 seconds goes on in the background.", _saving),
    Result("Listed", "After `list_tasks`. If nothing is left to do, there is no next step.", _listed),
    Result("Seen", "After `preview_video`; a picture comes with it.", lambda: str(texts.previewed(DONE, PREVIEW))),
]
