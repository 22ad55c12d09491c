"""A download that breaks goes on where it broke, and never ends in another file than the host's."""

import random
import zlib
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx2
import pytest

from sora2_mcp.domain.task import SavedFile
from sora2_mcp.errors import DownloadError, UnwritableError
from sora2_mcp.tasks.fetch import LEAST_BYTES_PER_SECOND, StaleAddressError, UnreachableHostError
from tests.tasks.video_host import MP4, START, Answer, Host, Pieces, pieces_of

pytestmark = pytest.mark.anyio

FRAMES = bytes(reversed(range(256))) * 4000
OTHER = START + (8 + len(FRAMES)).to_bytes(4, "big") + b"mdat" + FRAMES
"""Another whole one, of the same size."""

LOST = "The video of task t1 was not saved: the connection to its host failed (the connection broke off)."
SHORT = START + (8 + 2000).to_bytes(4, "big") + b"mdat" + bytes(2000)
AT, ON = 300_000, 700_000
OLD = {"last-modified": "Sat, 21 Nov 2026 12:00:00 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"}
FRESH = {"last-modified": "Sun, 22 Nov 2026 11:59:30 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"}

Given = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def whole(content: bytes = MP4, /, *, until: int | None = None, **headers: str) -> Given:
    """A host without ranges that breaks at ``until``."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        said = {"content-length": str(len(content)), **named(headers)}
        return httpx2.Response(200, headers=said, stream=cut(content[:until], broken=until is not None))

    return answer


def rest(content: bytes = MP4, /, *, until: int | None = None, shift: int = 0, said: str = "", **headers: str) -> Given:
    """A host that gives what was asked for, breaking at ``until``, or says that it does."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        begin = int(request.headers["range"].removeprefix("bytes=").removesuffix("-")) + shift
        place = said or f"bytes {begin}-{len(content) - 1}/{len(content)}"
        stream = cut(content[begin:until], broken=until is not None)
        return httpx2.Response(206, headers={"content-range": place, **named(headers)}, stream=stream)

    return answer


def cut(content: bytes, *, broken: bool) -> Pieces:
    pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    return Pieces(pieces, httpx2.ReadError("reset") if broken else None)


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def refused(status: int) -> Given:
    return lambda _: httpx2.Response(status)


def is_saved(host: Host, saved: SavedFile, content: bytes = MP4) -> bool:
    """The file, its length and its checksum are those of this content."""
    right = SavedFile(path=str(host.part), size_bytes=len(content), sha256=sha256(content).hexdigest())
    return saved == right and host.part.read_bytes() == content


def falls(host: Host) -> int:
    """How often fewer bytes were told than before."""
    sizes = [received for received, _ in host.told]
    return sum(later < earlier for earlier, later in pairwise(sizes))


@pytest.mark.parametrize("seed", range(3))
async def test_fifty_breaks_at_random_points_end_in_one_right_file(host: Host, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    # Far enough apart for a second's pause between them: less is no progress.
    first, *others = sorted(chance.sample(range(8, len(MP4), 2 * LEAST_BYTES_PER_SECOND), 50))

    saved = await host.fetched(whole(until=first), *(rest(until=place) for place in others), rest())

    assert is_saved(host, saved)
    assert falls(host) == 0
    assert len(host.requests) == 51
    assert host.clock.slept == [1] * 50


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"etag": '"a"', **OLD}, '"a"'),
        ({"etag": 'W/"a"'}, None),
        ({"etag": 'W/"a"', **OLD}, OLD["last-modified"]),
        (OLD, OLD["last-modified"]),
        (FRESH, None),
        ({"last-modified": OLD["last-modified"]}, None),
        ({"last-modified": "yesterday", "date": "today"}, None),
        ({}, None),
    ],
)
async def test_the_rest_is_asked_for_on_the_condition_that_the_file_is_the_same(
    host: Host, headers: dict[str, str], condition: str | None
) -> None:
    saved = await host.fetched(whole(until=AT, **headers), rest())

    assert is_saved(host, saved)
    assert host.asked == [None, f"bytes={AT}-"]
    assert host.requests[1].headers.get("if-range") == condition
    assert host.requests[1].headers["accept-encoding"] == "identity"
    assert host.clock.slept == [1]


@pytest.mark.parametrize("fault", [httpx2.ReadTimeout("stalled"), httpx2.RemoteProtocolError("closed"), None])
async def test_a_stall_a_hang_up_and_a_body_too_short_are_breaks_too(host: Host, fault: Exception | None) -> None:
    length = {"content-length": str(len(MP4))}

    saved = await host.fetched(httpx2.Response(200, headers=length, stream=Pieces([MP4[:AT]], fault)), rest())

    assert is_saved(host, saved)
    assert host.asked == [None, f"bytes={AT}-"]


async def test_a_host_that_stalls_for_good_is_given_up_after_three_attempts_without_a_new_byte(host: Host) -> None:
    stalled = httpx2.ReadTimeout("stalled")

    error = await host.problem(whole(until=AT), rest(until=ON), stalled, stalled, stalled, rest())

    assert type(error) is DownloadError
    assert str(error) == LOST.replace("the connection broke off", "no answer in time")
    assert error.__cause__ is stalled
    assert (len(host.requests), host.clock.slept) == (5, [1, 1, 2, 4])


SILENT = "The video of task t1 was not saved: nothing of it came for 60 s."


async def test_a_host_that_keeps_the_line_open_and_never_answers_is_given_up(host: Host) -> None:
    async def hint_for_ever(_: httpx2.Request) -> httpx2.Response:
        while True:
            await host.clock.sleep(10)

    error = await host.problem(hint_for_ever)

    assert (type(error), str(error)) == (DownloadError, SILENT)
    assert len(host.requests) == 3


async def test_a_host_that_sends_packed_nothing_for_ever_is_given_up(host: Host) -> None:
    pack = zlib.compressobj(wbits=31)
    begun = pack.compress(MP4[:AT]) + pack.flush(zlib.Z_SYNC_FLUSH)

    async def nothing() -> AsyncIterator[bytes]:
        yield begun
        while True:
            await host.clock.sleep(10)
            yield b"\0\0\0\xff\xff"

    error = await host.problem(lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, content=nothing()))

    assert (type(error), str(error)) == (DownloadError, SILENT)
    # The first one's bytes were too few for its time, and the others brought none.
    assert len(host.requests) == 3
    assert host.part.stat().st_size == AT


async def test_a_host_that_is_slow_and_never_silent_for_long_is_waited_for(host: Host) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for at in range(0, len(MP4), 50 * LEAST_BYTES_PER_SECOND):
            await host.clock.sleep(49)
            yield MP4[at : at + 50 * LEAST_BYTES_PER_SECOND]

    saved = await host.fetched(httpx2.Response(200, content=slowly()))

    assert is_saved(host, saved)
    assert len(host.requests) == 1


async def test_a_host_that_sends_less_than_the_least_rate_is_given_up(host: Host) -> None:
    def trickling(_: httpx2.Request) -> httpx2.Response:
        async def trickle() -> AsyncIterator[bytes]:
            for at in range(0, len(MP4), 10_000):
                await host.clock.sleep(10)
                yield MP4[at : at + 10_000]

        return httpx2.Response(200, content=trickle())

    error = await host.problem(trickling)

    assert str(error) == "The video of task t1 was not saved: its host sent 60,000 bytes in 60 s, which is too slow."
    assert len(host.requests) == 3


async def test_one_byte_a_minute_is_no_progress(host: Host) -> None:
    """Whether it comes over one connection or over as many as there are bytes."""
    error = await host.problem(whole(until=AT), *(rest(until=AT + number) for number in range(1, 9)), rest())

    assert type(error) is DownloadError
    assert len(host.requests) == 4


async def test_pieces_of_one_byte_leave_others_their_turn(host: Host) -> None:
    turns, over = 0, anyio.Event()

    async def others() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        saved = await host.fetched(httpx2.Response(200, stream=pieces_of(SHORT, 1)))
        over.set()

    assert saved.size_bytes == len(SHORT)
    assert turns >= len(SHORT)


@pytest.mark.posix
async def test_a_part_file_that_became_a_link_is_not_followed(host: Host, tmp_path: Path) -> None:
    other = tmp_path / "somebodys.txt"
    other.write_text("theirs")
    host.part.symlink_to(other)

    error = await host.problem(whole())

    assert type(error) is UnwritableError
    assert other.read_text() == "theirs"


async def test_every_new_byte_gives_three_more_attempts(host: Host) -> None:
    idle: list[Answer] = [refused(503), httpx2.ConnectError("refused")]

    saved = await host.fetched(whole(until=AT), *idle, rest(until=ON), *idle, rest())

    assert is_saved(host, saved)
    assert host.clock.slept == [1, 2, 4, 1, 2, 4]


async def test_a_host_that_can_no_longer_be_reached_is_told_apart_for_a_look(host: Host) -> None:
    error = await host.problem(whole(until=AT), httpx2.ConnectError("refused"))

    assert type(error) is UnreachableHostError
    assert len(host.requests) == 4


async def test_an_address_that_goes_stale_on_the_way_is_told_at_once(host: Host) -> None:
    error = await host.problem(whole(until=AT), refused(403), rest())

    assert type(error) is StaleAddressError
    assert len(host.requests) == 2


async def test_a_host_without_ranges_sends_anew_and_has_to_come_further_than_before(host: Host) -> None:
    saved = await host.fetched(whole(until=AT), whole(until=AT), whole(until=ON), whole(until=AT), whole())

    assert is_saved(host, saved)
    assert host.asked == [None, f"bytes={AT}-", f"bytes={AT}-", f"bytes={ON}-", f"bytes={AT}-"]
    assert falls(host) == 4
    assert host.clock.slept == [1, 2, 1, 2]


async def test_a_host_without_ranges_that_never_comes_further_is_given_up(host: Host) -> None:
    error = await host.problem(whole(until=AT))

    assert str(error) == LOST
    assert len(host.requests) == 4


@pytest.mark.parametrize(
    "answers",
    [
        [whole(until=AT, etag='"a"'), whole(OTHER, etag='"b"')],
        [whole(until=AT, etag='"a"'), rest(OTHER, etag='"b"'), whole(OTHER, etag='"b"')],
        [whole(until=AT, **OLD), rest(OTHER, last_modified=FRESH["last-modified"]), whole(OTHER)],
        [whole(until=AT, **FRESH), rest(OTHER, last_modified=FRESH["date"]), whole(OTHER)],
        [whole(until=AT), rest(OTHER + b"\0\0\0\x08free"), whole(OTHER)],
        [whole(until=AT, etag='"a"'), whole(OTHER, until=ON, etag='"b"'), rest(OTHER, etag='"b"')],
    ],
    ids=[
        "If-Range heeded",
        "If-Range ignored",
        "If-Range with a date ignored",
        "only the date tells",
        "another size",
        "changed and broken again",
    ],
)
async def test_a_file_that_changed_between_attempts_is_fetched_anew(host: Host, answers: list[Answer]) -> None:
    saved = await host.fetched(*answers)

    assert is_saved(host, saved, OTHER)
    assert falls(host) == 1


@pytest.mark.parametrize(
    "misfit",
    [
        refused(416),
        rest(shift=-1),
        rest(shift=1),
        rest(said="bytes 0-1024031/1024032"),
        rest(said=f"bytes {AT}-1024032/1024032"),
        rest(said=f"bytes {AT}-{AT - 1}/1024032"),
        rest(said=f"bytes {AT}-1024031/1024033"),
        rest(said=f"bytes {AT}-1024031/*"),
        rest(said=f"items {AT}-1024031/1024032"),
        rest(said="nonsense"),
        rest(content_encoding="gzip"),
    ],
)
async def test_a_rest_that_does_not_fit_is_not_taken_and_no_other_is_asked_for(host: Host, misfit: Answer) -> None:
    saved = await host.fetched(whole(until=AT), misfit, whole(until=ON), whole())

    assert is_saved(host, saved)
    assert host.asked == [None, f"bytes={AT}-", None, None]


async def test_a_rest_of_another_size_is_not_taken_whatever_the_host_calls_its_version(host: Host) -> None:
    longer = rest(said=f"bytes {AT}-1024031/1024033", etag='"a"')

    saved = await host.fetched(whole(until=AT, etag='"a"'), longer, whole())

    assert is_saved(host, saved)
    assert host.asked == [None, f"bytes={AT}-", None]


async def test_of_a_version_that_is_the_same_the_date_does_not_matter(host: Host) -> None:
    saved = await host.fetched(whole(until=AT, etag='"a"', **OLD), rest(etag='"a"', last_modified=FRESH["date"]))

    assert is_saved(host, saved)
    assert host.asked == [None, f"bytes={AT}-"]


async def test_a_size_that_only_the_rest_tells_is_kept_to(host: Host) -> None:
    unsized = httpx2.Response(200, headers={"etag": '"a"'}, stream=cut(MP4[:AT], broken=True))

    saved = await host.fetched(unsized, rest(until=ON), rest())

    assert is_saved(host, saved)
    assert host.told[-1] == (len(MP4), len(MP4))


async def test_a_size_the_rest_keeps_to_itself_is_remembered(host: Host) -> None:
    said = f"bytes {AT}-{len(MP4) - 1}/*"

    saved = await host.fetched(whole(until=AT, etag='"a"'), rest(said=said))

    assert is_saved(host, saved)
    assert host.told[-1] == (len(MP4), len(MP4))


@pytest.mark.parametrize("encoded", [{}, {"content-encoding": "gzip", "etag": '"a"', "content-length": "9000"}])
async def test_without_a_size_or_a_version_nothing_is_pieced_together(host: Host, encoded: dict[str, str]) -> None:
    unknown = httpx2.Response(200, headers=encoded, stream=Pieces([] if encoded else [MP4[:AT]], httpx2.ReadError("")))

    saved = await host.fetched(unknown, whole())

    assert is_saved(host, saved)
    assert host.asked == [None, None]


async def test_a_break_behind_the_last_byte_costs_no_other_attempt(host: Host) -> None:
    saved = await host.fetched(whole(until=len(MP4)))

    assert is_saved(host, saved)
    assert len(host.requests) == 1


async def test_a_host_that_sends_more_than_it_announced_is_told(host: Host) -> None:
    short = httpx2.Response(200, headers={"content-length": str(ON)}, stream=cut(MP4, broken=False))

    error = await host.problem(short)

    assert str(error) == "The video of task t1 was not saved: its host sent more than the 700,000 bytes it announced."


async def test_the_limit_holds_over_all_attempts(host: Host) -> None:
    unsized = httpx2.Response(200, headers={"etag": '"a"'}, stream=cut(MP4[:AT], broken=True))
    endless = Pieces(MP4[:64_000] for _ in range(100))
    more = httpx2.Response(206, headers={"content-range": f"bytes {AT}-{AT * 9}/*"}, stream=endless)

    error = await host.problem(unsized, more, limit_bytes=500_000)

    assert type(error) is UnwritableError
    assert "over the limit SORA2_MAX_VIDEO_MB=0.5" in str(error)
    assert endless.given < 10
    assert host.part.stat().st_size <= 500_000


async def test_a_size_over_the_limit_that_only_the_second_answer_tells_is_told_at_once(host: Host) -> None:
    unsized = httpx2.Response(200, headers={"etag": '"a"'}, stream=cut(MP4[:AT], broken=True))

    error = await host.problem(unsized, rest(), limit_bytes=500_000)

    assert type(error) is UnwritableError
    assert len(host.requests) == 2
    assert host.told[-1] == (AT, None)


async def test_a_web_page_in_place_of_the_rest_is_no_video(host: Host) -> None:
    error = await host.problem(whole(until=AT), lambda _: httpx2.Response(200, html="<html>Sign in</html>"), rest())

    assert str(error) == "The video of task t1 was not saved: what its host sent is no MP4 video."
    assert len(host.requests) == 2


async def test_another_file_pieced_together_is_found_out_by_its_boxes(host: Host) -> None:
    shorter = bytearray(OTHER)
    shorter[24:28] = (100).to_bytes(4, "big")

    error = await host.problem(whole(bytes(shorter), until=AT), rest())

    assert str(error).endswith("what its host sent (1,024,032 bytes) is no whole MP4 video.")


async def test_a_start_too_short_to_be_told_is_waited_for(host: Host) -> None:
    saved = await host.fetched(whole(until=5), whole(until=8), rest())

    assert is_saved(host, saved)
    assert host.asked == [None, None, "bytes=8-"]
