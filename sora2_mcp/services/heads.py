"""Headers of HTTP messages are read in a time that grows with their length, not with its square."""

import re

from h11 import _abnf, _readers

_LINEAR = re.compile(
    # As h11 has it but for one sign: white space after the colon is taken whole, and never given back bit by bit.
    rf"(?P<field_name>{_abnf.field_name}):[ \t]*+(?P<field_value>{_abnf.field_value})[ \t]*".encode("ascii")
)


def read_in_linear_time() -> None:
    """Mends h11 for the whole process; it may be called any number of times."""
    # h11 reads for our clients, in httpcore2, and for uvicorn. By its own pattern a header of 64 kB of blanks before a
    # control character takes 7 seconds, in which nothing else runs. To be removed once h11 is linear (0.16.0 is not).
    _readers.header_field_re = _LINEAR
