import gzip
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest

from sora2_mcp.domain.task import SavedFile
from sora2_mcp.errors import DownloadError, NoVideoError, UnwritableError
from sora2_mcp.tasks.fetch import STALE, StaleAddressError, UnreachableHostError
from tests.tasks.video_host import MP4, START, URL, Host, Pieces, pieces_of

pytestmark = pytest.mark.anyio

AGAIN = 'Call download_video(task_id="t1") again in a minute.'


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_sample_is_longer_than_three_pieces() -> None:
    assert len(MP4) > 3 * 256 * 1024


async def test_a_whole_file_is_saved_with_its_size_and_checksum(host: Host) -> None:
    answer = httpx2.Response(200, headers={"content-length": str(len(MP4))}, stream=pieces_of(MP4))

    saved = await host.fetched(answer)

    assert saved == SavedFile(path=str(host.part), size_bytes=len(MP4), sha256=sha256(MP4).hexdigest())
    assert host.part.read_bytes() == MP4
    assert [(request.method, str(request.url)) for request in host.requests] == [("GET", URL)]
    assert (host.requests[0].headers["accept-encoding"], host.asked) == ("identity", [None])


async def test_progress_is_told_after_every_piece_with_the_whole_size_where_the_host_says_it(host: Host) -> None:
    await host.fetched(httpx2.Response(200, headers={"content-length": str(len(MP4))}, stream=pieces_of(MP4)))
    piece = 256 * 1024

    assert host.told == [(min(piece * number, len(MP4)), len(MP4)) for number in range(1, 5)]


async def test_a_file_of_unknown_size_is_saved_too(host: Host) -> None:
    saved = await host.fetched(httpx2.Response(200, stream=pieces_of(MP4)))

    assert saved.sha256 == sha256(MP4).hexdigest()
    assert host.told[-1] == (len(MP4), None)


async def test_the_length_of_a_compressed_answer_is_not_the_files(host: Host) -> None:
    packed = gzip.compress(MP4)
    headers = {"content-length": str(len(packed)), "content-encoding": "gzip"}

    saved = await host.fetched(httpx2.Response(200, headers=headers, stream=pieces_of(packed)))

    assert (saved.size_bytes, saved.sha256) == (len(MP4), sha256(MP4).hexdigest())
    assert host.told[-1] == (len(MP4), None)


async def test_what_an_earlier_try_left_behind_is_written_over(host: Host) -> None:
    host.part.write_bytes(b"x" * (len(MP4) + 1000))

    await host.fetched(httpx2.Response(200, stream=pieces_of(MP4)))

    assert host.part.read_bytes() == MP4


async def test_a_file_that_is_shorter_than_announced_is_no_whole_one(host: Host) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-length": "2000000"}, stream=pieces_of(MP4))

    error = await host.problem(answer)

    assert (type(error), error.hint) == (DownloadError, AGAIN)
    assert (
        str(error) == "The video of task t1 was not saved: 1,024,032 of 2,000,000 bytes came before its host broke off."
    )


@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><html>Sign in</html>", b'{"code": 404}', b"\0\0\0\x18", b"ftyp" + bytes(40)],
    ids=["web page", "JSON", "four bytes", "ftyp at the wrong place"],
)
async def test_what_is_no_mp4_is_not_saved_as_one(content: bytes, host: Host) -> None:
    error = await host.problem(httpx2.Response(200, content=content))

    assert (type(error), error.hint) == (DownloadError, AGAIN)
    assert str(error) == "The video of task t1 was not saved: what its host sent is no MP4 video."
    assert host.told == []


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (MP4[:-1], "1,024,031"),
        (MP4[:600_000], "600,000"),
        (MP4 + b"\0", "1,024,033"),
        (START[:16], "16"),
        (b"\0\0\0\x10ftypmp42\0\0\0\0<html>Sign in</html>", "36"),
    ],
    ids=["cut by a byte", "cut in the middle", "a byte too long", "no moov", "a web page behind ftyp"],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_what_begins_as_an_mp4_and_is_no_whole_one_is_not_saved_as_one(
    content: bytes,
    size: str,
    announced: bool,  # noqa: FBT001
    host: Host,
) -> None:
    headers = {"content-length": str(len(content))} if announced else {}

    error = await host.problem(httpx2.Response(200, headers=headers, stream=pieces_of(content)))

    assert (type(error), error.hint) == (DownloadError, AGAIN)
    assert str(error) == f"The video of task t1 was not saved: what its host sent ({size} bytes) is no whole MP4 video."


async def test_an_mp4_is_known_by_its_start_however_small_the_first_piece(host: Host) -> None:
    small = [MP4[start : start + 3] for start in range(0, 300, 3)]

    saved = await host.fetched(httpx2.Response(200, stream=Pieces([*small, MP4[300:]])))

    assert saved.size_bytes == len(MP4)


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}])
async def test_an_empty_file_is_no_video(headers: dict[str, str], host: Host) -> None:
    error = await host.problem(httpx2.Response(200, headers=headers, stream=Pieces([])))

    assert str(error) == "The video of task t1 was not saved: its host sent an empty file."


TOO_LARGE = "The video of task t1 was not saved: it has at least {size} MB, over the limit SORA2_MAX_VIDEO_MB=0.5."


async def test_a_file_announced_as_too_large_is_not_even_begun(host: Host) -> None:
    body = pieces_of(MP4)

    error = await host.problem(
        httpx2.Response(200, headers={"content-length": str(len(MP4))}, stream=body), limit_bytes=500_000
    )

    assert type(error) is UnwritableError
    assert str(error) == TOO_LARGE.format(size="1.0")
    assert error.hint == "Give the user the link instead, or ask them to raise SORA2_MAX_VIDEO_MB."
    assert body.given == 0
    assert not host.part.exists()


async def test_a_file_that_turns_out_too_large_is_given_up_on_the_way(host: Host) -> None:
    body = Pieces(MP4[:64_000] for _ in range(100))

    error = await host.problem(httpx2.Response(200, stream=body), limit_bytes=500_000)

    assert type(error) is UnwritableError
    assert str(error) == TOO_LARGE.format(size="0.5")
    assert body.given <= 10
    assert host.part.stat().st_size <= 500_000


async def test_a_file_of_exactly_the_limit_is_saved(host: Host) -> None:
    headers = {"content-length": str(len(MP4))}

    saved = await host.fetched(httpx2.Response(200, headers=headers, stream=pieces_of(MP4)), limit_bytes=len(MP4))

    assert saved.size_bytes == len(MP4)


@pytest.mark.parametrize(
    ("status", "problem", "hint"),
    [
        (401, "refuses to give it out", "Give the user the link: their browser may be let in. If the video is older"),
        (403, "refuses to give it out", "Give the user the link: their browser may be let in. If the video is older"),
        (404, "no longer gives it out", "Look with get_task_status; if the video is older than 15 days,"),
        (410, "no longer gives it out", "Look with get_task_status; if the video is older than 15 days,"),
    ],
)
async def test_an_address_that_is_no_longer_good_is_told_apart(
    status: int, problem: str, hint: str, host: Host
) -> None:
    error = await host.problem(httpx2.Response(status, html="<html>"))

    assert type(error) is StaleAddressError
    assert error.hint.startswith(hint)
    assert str(error) == f"The video of task t1 was not saved: its host {problem} (HTTP {status})."


def test_the_answers_of_a_host_that_forgot_a_file_are_these() -> None:
    assert sorted(STALE) == [401, 403, 404, 410]


@pytest.mark.parametrize("status", [204, 206, 302, 416, 418, 429, 500, 503])
async def test_any_other_answer_is_a_passing_fault_of_the_host(status: int, host: Host) -> None:
    error = await host.problem(lambda _: httpx2.Response(status, content=MP4))

    assert (type(error), error.hint) == (DownloadError, AGAIN)
    assert str(error) == f"The video of task t1 was not saved: its host answered HTTP {status}."
    assert len(host.requests) == (3 if status in (429, 500, 503) else 1)
    assert not host.part.exists()


@pytest.mark.parametrize("fault", [httpx2.ReadTimeout("slow"), httpx2.RemoteProtocolError("closed")])
async def test_a_host_that_says_nothing_three_times_is_a_passing_fault(fault: Exception, host: Host) -> None:
    error = await host.problem(fault)

    reason = "the connection ended without an answer in HTTP" if "closed" in str(fault) else "no answer in time"
    assert (len(host.requests), host.clock.slept) == (3, [2, 4])
    assert error.__cause__ is fault
    assert (type(error), error.hint) == (DownloadError, AGAIN)
    assert str(error) == f"The video of task t1 was not saved: the connection to its host failed ({reason})."


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (httpx2.ConnectError("refused"), "no connection could be made"),
        (httpx2.ConnectTimeout("slow"), "no connection in time"),
    ],
)
async def test_a_host_that_was_never_reached_is_told_apart_at_once(fault: Exception, reason: str, host: Host) -> None:
    error = await host.problem(fault)

    assert (type(error), error.hint) == (UnreachableHostError, AGAIN)
    assert str(error) == f"The video of task t1 was not saved: its host cannot be reached ({reason})."
    assert error.__cause__ is fault
    assert (len(host.requests), host.clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("kind", "parent", "retryable", "needs_change"),
    [(StaleAddressError, NoVideoError, False, False), (UnreachableHostError, DownloadError, True, False)],
)
def test_what_a_look_may_mend_has_its_place_in_the_tree_of_errors(
    kind: type[DownloadError],
    parent: type[DownloadError],
    retryable: bool,  # noqa: FBT001
    needs_change: bool,  # noqa: FBT001
) -> None:
    assert (kind.__base__, kind.retryable, kind.needs_change) == (parent, retryable, needs_change)


@pytest.mark.parametrize(
    "url", ["https://😀.example/x.mp4", f"https://example.com/{'x' * 70_000}"], ids=["host", "length"]
)
async def test_an_address_that_no_connection_can_be_made_of_is_an_error_of_ours(url: str, host: Host) -> None:
    error = await host.problem(httpx2.Response(200, content=MP4), url=url)

    assert type(error) is UnreachableHostError
    assert str(error) == "The video of task t1 was not saved: its host cannot be reached (its address cannot be used)."
    assert host.requests == []


async def test_a_folder_that_cannot_be_written_is_told_with_its_variable(host: Host, tmp_path: Path) -> None:
    host.part = tmp_path / "gone" / ".x.part"

    error = await host.problem(httpx2.Response(200, content=MP4))

    assert (
        str(error) == "The video of task t1 was not saved: the file could not be written (No such file or directory)."
    )
    assert type(error) is UnwritableError
    assert "SORA2_VIDEO_DIR" in error.hint


@pytest.mark.parametrize("length", ["²", "-5", "many", "1.5"])
async def test_a_length_that_is_no_number_counts_as_not_said(length: str, host: Host) -> None:
    answer = httpx2.Response(200, stream=pieces_of(MP4))
    answer.headers = httpx2.Headers([(b"content-length", length.encode("latin-1"))])

    saved = await host.fetched(answer)

    assert saved.size_bytes == len(MP4)
    assert host.told[-1] == (len(MP4), None)
