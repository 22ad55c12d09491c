"""When an agent meets each error, and one error of each kind as it is raised then."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sora2_mcp import errors
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Task
from sora2_mcp.errors import Sora2Error, service_error
from sora2_mcp.server.confirm import too_late
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.answers import MESSAGES
from sora2_mcp.tasks.downloads import saveable

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TASK_ID = "sora2_task_abc123"
TASK = Task(
    id="7f9c2d4e",
    principal="local",
    service="any",
    request=VideoRequest(prompt="A kitten playing in a garden"),
    created_at=NOW,
    task_id=TASK_ID,
)

ORDER, LOOK, LIST = "generate_video", "get_task_status", "list_tasks"
SAVE, SEE = "download_video", "preview_video"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """An error in one call. Without a ``tool`` no agent ever reads it."""

    when: str
    error: Sora2Error
    tool: str = ""


def occasions() -> list[Occasion]:
    """All of them, in the order of the tree of errors."""
    return [*_of_set_up(), *_of_arguments(), *_of_orders(), *_of_store_and_files(), *_of_the_network(), *_of_answers()]


def _of_set_up() -> list[Occasion]:
    unusable = raised(lambda: Settings.load(poll_seconds="often"))
    return [
        Occasion(
            when="A variable or an option holds something that cannot be used. It stops the start with one line on "
            "stderr and exit code 2, so an agent never gets it.",
            error=unusable,
        ),
        Occasion(
            when="Another variable that the service needs is not set: the address of your own server, or a model.",
            tool=ORDER,
            error=errors.MissingSettingError("SORA2_MODEL"),
        ),
        Occasion(
            when="No API key is set. The server still starts and lists its tools; the first order says so.",
            tool=ORDER,
            error=errors.MissingKeyError(),
        ),
    ]


def _of_arguments() -> list[Occasion]:
    return [
        Occasion(
            when="An argument is empty, too long or cannot be read.",
            tool=ORDER,
            error=raised(VideoRequest(prompt=" ").validated),
        ),
        Occasion(
            when="An address is not one of http or https.",
            tool=ORDER,
            error=raised(VideoRequest(prompt="A kitten", image_urls=("ftp://example.com/kitten.png",)).validated),
        ),
        Occasion(
            when="There is no such task, or it belongs to another caller; both give the same text.",
            tool=LOOK,
            error=errors.UnknownTaskError("sora2_task_abc124"),
        ),
    ]


def _of_orders() -> list[Occasion]:
    return [
        Occasion(
            when="The key was used before, for something else.",
            tool=ORDER,
            error=errors.KeyReusedError(
                "spring-1",
                "was used before with other arguments, so nothing was ordered.",
                "Repeat the first arguments, or use a new idempotency_key to order this.",
            ),
        ),
        Occasion(
            when="The order with this key has failed.",
            tool=ORDER,
            error=errors.KeyReusedError(
                "spring-1",
                f"belongs to task {TASK_ID}, which failed, so nothing was ordered.",
                "Use a new idempotency_key to order this.",
            ),
        ),
        Occasion(
            when="All callers together have made as many orders today (UTC) as `SORA2_DAILY_LIMIT` allows.",
            tool=ORDER,
            error=errors.LimitError("SORA2_DAILY_LIMIT", 20, 20, "The limit resets at 2026-11-23 00:00 UTC."),
        ),
        Occasion(
            when="As many tasks as `SORA2_MAX_ACTIVE_TASKS` allows are unfinished.",
            tool=ORDER,
            error=errors.LimitError(
                "SORA2_MAX_ACTIVE_TASKS", 5, 5, "Another order is possible when a running task ends."
            ),
        ),
        Occasion(
            when="`SORA2_CONFIRM` is set, and the host cannot ask a person, or its question failed.",
            tool=ORDER,
            error=errors.CannotAskError(),
        ),
        Occasion(
            when="`SORA2_CONFIRM` is set, and the person's answer came too late or belongs to another order. The next "
            "call asks again. This is an error of the protocol.",
            tool=ORDER,
            error=too_late(),
        ),
        Occasion(
            when="The person said no. This is a normal result.",
            tool=ORDER,
            error=errors.DeclinedError(),
        ),
    ]


def _of_store_and_files() -> list[Occasion]:
    gone = "Look with get_task_status; if the video is older than 15 days, the service has deleted it."
    return [
        Occasion(
            when="The store does not answer in time. An order that cannot be saved is not sent.",
            tool=ORDER,
            error=errors.StoreError("is busy, so nothing was ordered"),
        ),
        Occasion(
            when="The store cannot be opened.",
            tool=LIST,
            error=errors.StoreError("needs the file /srv/videos/tasks.db, which cannot be written: Permission denied"),
        ),
        Occasion(
            when="The video's host broke the connection, was not reached or sent no video, and further attempts failed "
            "too.",
            tool=SAVE,
            error=errors.DownloadError(TASK_ID, "1,048,576 of 9,437,184 bytes came before its host broke off."),
        ),
        Occasion(
            when="The task is not done, or has failed.",
            tool=SAVE,
            error=raised(lambda: saveable(TASK)),
        ),
        Occasion(
            when="The service no longer delivers the video, or its address is not allowed.",
            tool=SAVE,
            error=errors.NoVideoError(TASK_ID, "its host no longer gives it out (HTTP 404).", gone),
        ),
        Occasion(
            when="The folder cannot be written, or the disk is full.",
            tool=SAVE,
            error=errors.UnwritableError(TASK_ID, "the file could not be written (No space left on device)."),
        ),
        Occasion(
            when="The video is larger than `SORA2_MAX_VIDEO_MB`.",
            tool=SAVE,
            error=errors.UnwritableError(
                TASK_ID,
                "it has at least 2,400.0 MB, over the limit SORA2_MAX_VIDEO_MB=2000.",
                "Give the user the link instead, or ask them to raise SORA2_MAX_VIDEO_MB.",
            ),
        ),
        Occasion(
            when="The video cannot be looked at: its file is damaged, of a kind that is not shown, or out of reach.",
            tool=SEE,
            error=errors.PreviewError(TASK_ID, "it cannot be read as a video."),
        ),
    ]


def _of_the_network() -> list[Occasion]:
    return [
        Occasion(
            when="No connection to the service; an order is tried again for 2 seconds first.",
            tool=ORDER,
            error=errors.NotReachedError("the connection was refused"),
        ),
        Occasion(
            when="The proxy named in the environment refused, or its variable cannot be used.",
            tool=ORDER,
            error=errors.ProxyError("the proxy wants a login (407)"),
        ),
        Occasion(
            when="The service's certificate is not trusted, for example because a company's proxy opens TLS with its "
            "own certificate; or `SSL_CERT_FILE` cannot be read.",
            tool=ORDER,
            error=errors.CertificateError("its certificate is not accepted: unable to get local issuer certificate"),
        ),
        Occasion(
            when="A web page with a status of 400 to 499 came instead of the service's answer: from a firewall, a "
            "gateway or a log-in page.",
            tool=ORDER,
            error=errors.GatewayError("HTTP 403 with a web page"),
        ),
        Occasion(
            when="A look was sent and no readable answer came. An order whose answer is lost is not an error: it is "
            "[unconfirmed](#unconfirmed).",
            tool=LOOK,
            error=errors.LostAnswerError("HTTP 502 with a web page"),
        ),
    ]


def _of_answers() -> list[Occasion]:
    told = (
        "Orders are tried again for 2 minutes by themselves: this comes from a look, or if a longer pause is asked for."
    )
    return [
        Occasion(
            when="The service answers with a code that its documentation does not list.",
            tool=ORDER,
            error=service_error(418, "Not now"),
        ),
        _answered(400, "The service refuses the prompt or an image."),
        _answered(401, "The API key is wrong. A wait in which this happens returns it at once."),
        _answered(402, "The account's credits are used up."),
        _answered(404, "The service knows no such path: its address is wrong."),
        _answered(422, "The service finds a parameter invalid."),
        _answered(429, f"The service is called too often. {told}", tool=LOOK, retry_after_seconds=9.0),
        _answered(433, "The API key has a limit of its own (Kie)."),
        _answered(451, "A picture could not be fetched, by the service or for it."),
        _answered(455, f"The service is being maintained. {told}", tool=LOOK),
        _answered(
            500,
            "The service failed. A look that meets 502 to 504 reads the same; an order that does is "
            "[unconfirmed](#unconfirmed).",
        ),
        _answered(
            501, "The service could not generate the video and says so at once; later the task is [failed](#failed)."
        ),
        _answered(505, "The service has switched off what is asked for."),
    ]


def _answered(code: int, when: str, *, tool: str = ORDER, retry_after_seconds: float | None = None) -> Occasion:
    error = service_error(code, MESSAGES[code], retry_after_seconds=retry_after_seconds)
    return Occasion(when=when, tool=tool, error=error)


def raised(call: Callable[[], object]) -> Sora2Error:
    """What a call raises."""
    try:
        call()
    except Sora2Error as error:
        return error
    raise AssertionError("nothing was raised")


def later(**changes: object) -> Task:
    """The task of the examples with other facts."""
    return replace(TASK, **changes)  # type: ignore[arg-type]  # the caller names the fields
