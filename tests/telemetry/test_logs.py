"""The log never holds anything up, has one line for each record, and shows nothing that libraries should not say."""

import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sora2_mcp.telemetry.logs import (
    BackgroundHandler,
    Escaped,
    JsonFormatter,
    Repeats,
    TextFormatter,
    join_logging,
    keep_private,
    one_line,
)

STARTED = 1_700_000_000.0
TEXT = TextFormatter("%(levelname)s %(name)s: %(message)s")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads yet; both ends are closed afterwards."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def record_of(message: str, *, at: float = STARTED, name: str = "mcp.server", line: int = 1) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.WARNING, "x.py", line, message, (), None)
    record.created = at
    return record


@pytest.mark.posix
def test_a_stderr_that_nobody_reads_holds_nothing_up_and_what_was_dropped_is_counted_once_there_is_room() -> None:
    reading, writing = os.pipe()
    handler = BackgroundHandler(writing, room=10)
    handler.setFormatter(logging.Formatter("%(message)s"))

    # More than any pipe holds: with a handler that waits for its reader this loop never ends.
    for number in range(300):
        handler.handle(record_of(f"{number} " + "x" * 1000))
    received: list[str] = []

    def read() -> None:
        with Path(f"/dev/fd/{reading}").open(encoding="utf-8") as stream:
            received.extend(stream)

    reader = threading.Thread(target=read)
    reader.start()
    handler.close()
    os.close(writing)
    reader.join()
    os.close(reading)

    dropped = [int(line.split()[0]) for line in received if "were dropped here" in line]
    assert received[0].startswith("0 xxx")
    assert len(received) - len(dropped) + sum(dropped) == 300
    assert sum(dropped) > 100


def test_closing_writes_what_is_left_and_waits_for_no_reader(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    handler = BackgroundHandler(writing)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.handle(record_of("one"))
    handler.close()
    assert os.read(reading, 100) == b"one\n"

    stuck = BackgroundHandler(writing, room=1)
    for _ in range(100):
        stuck.handle(record_of("x" * 10_000))
    stuck.close()


@pytest.mark.posix
def test_a_stderr_that_says_later_is_waited_for(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    handler = BackgroundHandler(writing)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for _ in range(20):
        handler.handle(record_of("x" * 9999))

    received = b""
    while len(received) < 200_000:
        received += os.read(reading, 100_000)
    handler.close()

    assert received == (b"x" * 9999 + b"\n") * 20


def test_a_letter_that_stderr_cannot_hold_is_written_as_its_number(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    handler = BackgroundHandler(writing, "cp1252")
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.handle(record_of("三 fox"))
    handler.close()

    assert os.read(reading, 100) == b"\\u4e09 fox\n"


def test_a_record_that_cannot_be_formatted_is_told_and_raises_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    handler = BackgroundHandler(writing)
    handler.handle(logging.LogRecord("x", logging.ERROR, "x.py", 1, "%d of %d", ("one",), None))
    handler.close()

    assert os.read(reading, 200) == b"ERROR x: a record that cannot be formatted: '%d of %d'\n"


NASTY = {
    "a forged line": "no session \n2026-11-27 12:00:00,000 INFO sora2_mcp: paid",
    "carriage return": "a\rb",
    "colours": "\x1b[31mred\x1b[0m",
    "other line ends": "a\x0bb\x0cc\x85d\u2028e\u2029f",
    "bidi": "a\u202eb\u2066c",
    "half a character": "a\ud83d",
    "NUL": "a\x00b",
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_each_record_is_one_line_whatever_is_in_it(text: str) -> None:
    record = record_of(text)
    try:
        raise ValueError(text)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)

    plain, machine = TEXT.format(record), JsonFormatter().format(record)

    assert plain.isprintable()
    assert machine.isprintable()
    assert plain.startswith("WARNING mcp.server: ")
    assert "ValueError" in plain
    assert json.loads(machine)["message"] == text


@pytest.mark.parametrize("formatter", [TEXT, JsonFormatter()])
def test_a_line_is_bounded_and_shows_no_password_of_an_address(formatter: logging.Formatter) -> None:
    line = formatter.format(record_of("https://me:topsecret@proxy.example " + "x" * 900_000))

    assert len(line) < 21_000
    assert "topsecret" not in line
    assert "https://***@proxy.example" in line


def test_what_can_be_caused_at_will_is_said_so_often_a_minute_and_then_how_much_was_left_out() -> None:
    repeats = Repeats()

    passed = [repeats.filter(record_of(f"no session {number}", at=STARTED + number / 100)) for number in range(1000)]
    other = repeats.filter(record_of("something else", line=2))
    late = record_of("no session at last", at=STARTED + 61)
    again = repeats.filter(late)

    assert (passed.count(True), passed.index(False)) == (20, 20)
    assert (other, again) == (True, True)
    assert late.getMessage() == "no session at last (980 more like it were left out)"


def test_lines_of_our_own_have_more_room() -> None:
    repeats = Repeats()

    passed = [repeats.filter(record_of("ordered", name="sora2_mcp.tasks.sender")) for _ in range(1000)]

    assert passed.count(True) == 600


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    repeats = Repeats()
    for _ in range(100):
        repeats.filter(record_of("x"))

    assert repeats.filter(record_of("x", at=STARTED - 3600))


@pytest.fixture
def levels() -> Iterator[None]:
    """Levels and filters of loggers are as before afterwards."""
    names = ["httpx2", "httpcore2", "mcp", "mcp.server.sse", "stamina"]
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).filters[:]) for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    for name, (level, filters) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).filters[:] = filters


@pytest.mark.usefixtures("levels")
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_within_another_program_libraries_say_no_addresses_and_no_messages_and_its_own_handlers_get_one_line(
    level: int,
) -> None:
    text = io.StringIO()
    host, root = logging.StreamHandler(text), logging.getLogger()
    before = root.level
    root.addHandler(host)
    root.setLevel(level)
    try:
        logging.getLogger("mcp.server.sse")
        join_logging("DEBUG", "text")
        logging.getLogger("httpx2").info("HTTP Request: GET https://cdn.example/x.mp4?signature=abc")
        logging.getLogger("httpcore2.http11").debug("send_request_headers.started Bearer sk-1")
        logging.getLogger("mcp.server.lowlevel.server").debug("Received message: a prompt")
        logging.getLogger("mcp.server.sse").warning("no session %s", "\n2026 INFO forged")
    finally:
        root.removeHandler(host)
        root.setLevel(before)

    assert text.getvalue() == "no session \\n2026 INFO forged\n"


@pytest.mark.usefixtures("levels")
def test_who_sets_a_librarys_level_on_purpose_keeps_it() -> None:
    logging.getLogger("httpx2").setLevel(logging.DEBUG)
    keep_private()

    assert logging.getLogger("httpx2").level == logging.DEBUG
    assert logging.getLogger("httpcore2").level == logging.WARNING


def test_a_plain_line_stays_as_it_is() -> None:
    assert one_line("task 三只狐狸 ordered: https://cdn.example/a@b.mp4") == (
        "task 三只狐狸 ordered: https://cdn.example/a@b.mp4"
    )
    assert Escaped().filter(record_of("plain"))
