"""Kills at random: servers that order are killed at any instant, and their agents repeat what got no answer.

At times they do so after so long that every lease has lapsed and no window for repeats helps any more.

``python -m tests.faults.soak --rounds 1000`` prints the figures and fails if an order was lost or paid twice;
``--engine postgres`` keeps the tasks on a PostgreSQL server.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.faults.hosts import LONG_SECONDS, Server, Service, served, service
from tests.postgres import running_postgres
from tests.stores import PostgresStore, Store, file_in

LANES = 2
"""So many servers work on one store at a time, each killed in its own time."""

ROUNDS_ON_ONE_STORE = 50
_ORDERS_EACH_ROUND = 4
_LONGEST_LIFE_SECONDS = 0.3
_LONGEST_OPENING_SECONDS = 1.0
_LATE_REPEATS = 0.5
"""How often an agent comes back only after all leases and windows are over."""

_WORDS = ("", "", "[sim:order-slow=0.2]", "[sim:order-429=0*1]", "[sim:order-drop*1]", "[sim:order-500*1]")
"""What the service does to an order; the last two and a kill are alike to an agent that hears nothing."""

Call = dict[str, Any]
NewStore = Callable[[Path], Store]
"""An empty store, for servers whose files are in that folder."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a soak found. ``received``: accepted by the service; ``bound``, ``unconfirmed``: what they are listed as."""

    rounds: int = 0
    calls: int = 0
    received: int = 0
    bound: int = 0
    unconfirmed: int = 0
    never_arrived: int = 0
    lost: int = 0
    doubled: int = 0

    def __add__(self, other: Self) -> "Figures":
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.calls} calls, {self.received} orders received, "
            f"{self.bound + self.unconfirmed} listed ({self.bound} with the service's id, "
            f"{self.unconfirmed} unconfirmed), {self.never_arrived} more unconfirmed that never arrived, "
            f"{self.lost} lost, {self.doubled} doubled"
        )


def soak(rounds: int, seed: int, new_store: NewStore = file_in) -> Iterator[Figures]:
    """The figures so far, store after store."""
    total = Figures()
    while total.rounds < rounds:
        with tempfile.TemporaryDirectory() as name:
            folder, here = Path(name), min(ROUNDS_ON_ONE_STORE, rounds - total.rounds)
            total += on_one_store(folder, new_store(folder), rounds=here, seed=seed + total.rounds)
        yield total


def on_one_store(folder: Path, store: Store, *, rounds: int, seed: int) -> Figures:
    """Kills so many servers on a new store, then counts."""
    with service(folder) as sora:
        lanes = [_Lane(folder, store, sora, number, seed) for number in range(LANES)]
        with ThreadPoolExecutor(LANES) as threads:
            shares = [len(range(lane.number, rounds, LANES)) for lane in lanes]
            calls = sum(threads.map(_Lane.run, lanes, shares))
        store.lapse()
        with served(folder, sora.base_url, store) as server:
            listed = server.tasks()
        return _counted(sora.posts(), listed, rounds=rounds, calls=calls)


class _Lane:
    """One agent and its servers, one after the other."""

    def __init__(self, folder: Path, store: Store, sora: Service, number: int, seed: int) -> None:
        self.number = number
        self._folder = folder
        self._store = store
        self._sora = sora
        self._chance = random.Random(f"{seed} {number}")  # noqa: S311 - no secret
        self._opened = False

    def run(self, rounds: int) -> int:
        """Kills so many servers; gives how often the agent called."""
        calls, unanswered = 0, list[Call]()
        for round in range(rounds):
            fresh = [self._order(round, index) for index in range(_ORDERS_EACH_ROUND)]
            # Agents of several hosts may have the same idea at once; its key is what tells.
            shared = {"prompt": f"both {round}", "idempotency_key": f"both-{round}"}
            wanted = [*unanswered, *fresh, shared]
            self._chance.shuffle(wanted)
            with self._server() as server:
                self._life(server, wanted)
            calls += len(wanted)
            unanswered = [*fresh, shared]
            if self._opened and self._chance.random() < _LATE_REPEATS:
                self._much_later()
        return calls

    def _server(self) -> AbstractContextManager[Server]:
        quiet = {"SORA2_IDLE_POLL_SECONDS": LONG_SECONDS, "SORA2_DUPLICATE_WINDOW_SECONDS": LONG_SECONDS}
        home = f"lane{self.number}"
        return served(
            self._folder, self._sora.base_url, self._store, home=home, SORA2_MAX_REQUESTS_PER_SECOND="100", **quiet
        )

    def _life(self, server: Server, wanted: list[Call]) -> None:
        """Orders everything at once and dies at an instant of chance: at times while the store is being opened."""
        longest = _LONGEST_OPENING_SECONDS
        if self._chance.random() < 0.7:
            server.call("list_tasks")
            self._opened = True
            longest = _LONGEST_LIFE_SECONDS
        for call in wanted:
            server.send("generate_video", **call)
        time.sleep(self._chance.uniform(0, longest))
        server.kill()

    def _much_later(self) -> None:
        """Nothing but the rule for unconfirmed orders stops an exact repeat then."""
        # Only this lane's: the others' servers live.
        self._store.lapse(f"{self._name}%")
        self._store.age_unanswered(f"{self._name}%")

    def _order(self, round: int, index: int) -> Call:
        prompt = f"{self._name}, round {round}, order {index} {self._chance.choice(_WORDS)}".strip()
        key = {"idempotency_key": f"{self.number}-{round}-{index}"} if self._chance.random() < 0.5 else {}
        return {"prompt": prompt} | key

    @property
    def _name(self) -> str:
        return f"lane {self.number}"


def _counted(posts: list[dict[str, Any]], listed: list[dict[str, Any]], *, rounds: int, calls: int) -> Figures:
    accepted = [post for post in posts if post["taskId"]]
    by_id = {task["task_id"]: task["prompt"] for task in listed if task["status"] == "generating"}
    unclear = Counter(task["prompt"] for task in listed if task["status"] == "unconfirmed")
    bound = [post for post in accepted if by_id.get(post["taskId"]) == post["prompt"]]
    unconfirmed = 0
    for post in accepted:
        if post["taskId"] not in by_id and unclear[post["prompt"]]:
            unclear[post["prompt"]] -= 1
            unconfirmed += 1
    return Figures(
        rounds=rounds,
        calls=calls,
        received=len(accepted),
        bound=len(bound),
        unconfirmed=unconfirmed,
        never_arrived=unclear.total(),
        lost=len(accepted) - len(bound) - unconfirmed,
        doubled=sum(times - 1 for times in Counter(post["prompt"] for post in accepted).values()),
    )


@contextmanager
def _stores_on(engine: str) -> Iterator[NewStore]:
    if engine == "sqlite":
        yield file_in
        return
    with running_postgres() as server:
        yield lambda _: PostgresStore(server.empty_place())


def main() -> int:
    """Runs from the command line; 1 if an order was lost or paid twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--engine", choices=["sqlite", "postgres"], default="sqlite")
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    figures, began = Figures(), time.monotonic()
    with _stores_on(options.engine) as new_store:
        for figures in soak(options.rounds, options.seed, new_store):
            sys.stdout.write(f"{time.monotonic() - began:.0f} s: {figures}\n")
            sys.stdout.flush()
    return 1 if figures.lost or figures.doubled else 0


if __name__ == "__main__":
    sys.exit(main())
