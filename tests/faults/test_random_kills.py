"""Servers killed at any instant; `tests/faults/soak.py` does the same for hours."""

import random
from dataclasses import replace
from pathlib import Path

from tests.faults.soak import on_one_store
from tests.stores import Store

ROUNDS = 12


def test_no_order_the_service_received_is_missing_and_none_is_received_twice(tmp_path: Path, store: Store) -> None:
    seed = random.SystemRandom().randrange(10**9)

    figures = on_one_store(tmp_path, store, rounds=ROUNDS, seed=seed)

    print(f"seed {seed}: {figures}")  # noqa: T201 - shown where the test fails
    assert figures.received > 0
    assert replace(figures, lost=0, doubled=0) == figures
    assert figures.received == figures.bound + figures.unconfirmed
