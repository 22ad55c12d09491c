"""Kills at random: servers that order are killed at any instant, and their agents repeat what got no answer.

``python -m tests.faults.soak --rounds 1000`` prints the figures and fails if an order was lost or paid twice.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.faults.hosts import LONG_SECONDS, Server, Service, lapse, served, service

LANES = 2
"""So many servers work on one store at a time, each killed in its own time."""

ROUNDS_ON_ONE_STORE = 50
_ORDERS_EACH_ROUND = 4
_LONGEST_LIFE_SECONDS = 0.3
_LONGEST_OPENING_SECONDS = 1.0

_WORDS = ("", "", "[sim:order-slow=0.2]", "[sim:order-429=0*1]", "[sim:order-drop*1]", "[sim:order-500*1]")
"""What the service does to an order; the last two and a kill are alike to an agent that hears nothing."""

Call = dict[str, Any]


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


def soak(rounds: int, seed: int) -> Iterator[Figures]:
    """The figures so far, store after store."""
    total = Figures()
    while total.rounds < rounds:
        with tempfile.TemporaryDirectory() as folder:
            here = min(ROUNDS_ON_ONE_STORE, rounds - total.rounds)
            total += on_one_store(Path(folder), rounds=here, seed=seed + total.rounds)
        yield total


def on_one_store(folder: Path, *, rounds: int, seed: int) -> Figures:
    """Kills so many servers on a new store, then counts."""
    with service(folder) as sora:
        with ThreadPoolExecutor(LANES) as lanes:
            shares = [len(range(lane, rounds, LANES)) for lane in range(LANES)]
            lives = [lanes.submit(_lane, folder, sora, lane, share, seed) for lane, share in enumerate(shares)]
            calls = sum(life.result() for life in lives)
        lapse(folder)
        with served(folder, sora.base_url) as server:
            listed = server.tasks()
        return _counted(sora.posts(), listed, rounds=rounds, calls=calls)


def _lane(folder: Path, sora: Service, lane: int, rounds: int, seed: int) -> int:
    """One agent and its servers, one after the other; gives how often it called."""
    chance = random.Random(f"{seed} {lane}")  # noqa: S311 - no secret
    calls, unanswered = 0, list[Call]()
    for number in range(rounds):
        fresh = [_order(chance, lane, number, index) for index in range(_ORDERS_EACH_ROUND)]
        # Agents of several hosts may have the same idea at once; its key is what tells.
        shared = {"prompt": f"both {number}", "idempotency_key": f"both-{number}"}
        wanted = [*unanswered, *fresh, shared]
        chance.shuffle(wanted)
        with _server(folder, sora, lane) as server:
            _life(server, chance, wanted)
        calls += len(wanted)
        unanswered = [*fresh, shared]
    return calls


def _server(folder: Path, sora: Service, lane: int) -> Any:
    quiet = {"SORA2_IDLE_POLL_SECONDS": LONG_SECONDS, "SORA2_DUPLICATE_WINDOW_SECONDS": LONG_SECONDS}
    return served(folder, sora.base_url, home=f"lane{lane}", SORA2_MAX_REQUESTS_PER_SECOND="100", **quiet)


def _life(server: Server, chance: random.Random, wanted: list[Call]) -> None:
    """Orders everything at once and dies at an instant of chance: at times while the store is still being opened."""
    longest = _LONGEST_OPENING_SECONDS
    if chance.random() < 0.7:
        server.call("list_tasks")
        longest = _LONGEST_LIFE_SECONDS
    for call in wanted:
        server.send("generate_video", **call)
    time.sleep(chance.uniform(0, longest))
    server.kill()


def _order(chance: random.Random, lane: int, number: int, index: int) -> Call:
    prompt = f"lane {lane}, round {number}, order {index} {chance.choice(_WORDS)}".strip()
    return {"prompt": prompt} | ({"idempotency_key": f"{lane}-{number}-{index}"} if chance.random() < 0.5 else {})


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


def main() -> int:
    """Runs from the command line; 1 if an order was lost or paid twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    figures, began = Figures(), time.monotonic()
    for figures in soak(options.rounds, options.seed):
        sys.stdout.write(f"{time.monotonic() - began:.0f} s: {figures}\n")
        sys.stdout.flush()
    return 1 if figures.lost or figures.doubled else 0


if __name__ == "__main__":
    sys.exit(main())
