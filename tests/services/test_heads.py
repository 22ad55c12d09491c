"""Heads are read as h11 reads them, in a time that grows with their length."""

import re
import string
import time

import h11
import pytest
from h11 import _abnf, _readers
from hypothesis import given
from hypothesis import strategies as st

from sora2_mcp.services.heads import read_in_linear_time

AS_H11_HAS_IT = re.compile(_abnf.header_field.encode("ascii"))


@pytest.fixture(autouse=True)
def _linear() -> None:
    read_in_linear_time()


@given(st.lists(st.sampled_from([b"a", b":", b" ", b"\t", b"\x00", b"\x0b", b"\xff", b"b:", b" " * 5])).map(b"".join))
def test_a_header_is_taken_for_what_h11_takes_it_for(line: bytes) -> None:
    theirs, ours = AS_H11_HAS_IT.fullmatch(line), _readers.header_field_re.fullmatch(line)

    assert (ours and ours.groupdict()) == (theirs and theirs.groupdict())


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\x0c"])
@pytest.mark.parametrize("first", ["GET / HTTP/1.1", "HTTP/1.1 200 OK"])
def test_many_blanks_before_a_control_character_are_refused_at_once(first: str, bad: str) -> None:
    connection = h11.Connection(h11.SERVER if first.startswith("GET") else h11.CLIENT)
    if connection.our_role is h11.CLIENT:
        connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.receive_data(f"{first}\r\na:{' ' * 40_000}{bad}\r\n\r\n".encode())

    began = time.process_time()
    with pytest.raises(h11.RemoteProtocolError):
        connection.next_event()
    # With the square of the length it is three seconds of computing, however busy the machine is.
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("blanks", [" ", "\t", string.whitespace[:2] * 100])
def test_white_space_around_a_value_is_no_part_of_it(blanks: str) -> None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(f"GET / HTTP/1.1\r\nhost:{blanks}x y{blanks}\r\nempty:{blanks}\r\n\r\n".encode())

    request = connection.next_event()

    assert isinstance(request, h11.Request)
    assert list(request.headers) == [(b"host", b"x y"), (b"empty", b"")]
