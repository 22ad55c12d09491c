"""The protocol's own file descriptors. Imports nothing heavy: it must run before anything can print."""

import os
from typing import NamedTuple


class Wire(NamedTuple):
    """Private duplicates of the original stdin and stdout."""

    read_fd: int
    write_fd: int


def claim_wire() -> Wire:
    """Keeps stdin and stdout for the protocol: whoever else reads gets EOF, whoever else prints reaches stderr."""
    wire = Wire(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return wire
