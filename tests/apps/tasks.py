"""Tasks as tools give them, made by hand: for what no server gives, or not now."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.apps.browser import CDN

SEA = f"{CDN}/sea-landscape.mp4"
GOLDFISH = f"{CDN}/goldfish-portrait.mp4"
DEAD = f"{CDN}/dead.mp4"
PROMPT = "A ginger kitten chases a butterfly through a garden on a bright spring day, slow push in"
_MOTIFS = ("balloon", "bridge", "city", "goldfish", "planet", "sea")

HOSTILE = """"><img src=x onerror="alert(1)"><script>alert(2)</script><svg onload=alert(3)>&lt;b&gt; ${alert(4)}"""
"""Markup, in whatever place a text of a task may come to stand."""


def at(seconds_from_now: float) -> str:
    """An instant as it stands in results."""
    return (datetime.now(UTC) + timedelta(seconds=seconds_from_now)).strftime("%Y-%m-%dT%H:%M:%SZ")


def generating(**more: Any) -> dict[str, Any]:
    task = {"task_id": "task-1", "status": "generating", "created_at": at(-40), "prompt": PROMPT}
    return {**task, "aspect_ratio": "landscape", "poll_after_seconds": 1, **more}


def done(video_url: str | None = SEA, **more: Any) -> dict[str, Any]:
    """A task whose video the service keeps for two weeks; without an address where that is empty."""
    task = {"task_id": "task-1", "status": "succeeded", "created_at": at(-100), "prompt": PROMPT}
    where = {"video_url": video_url, "video_expires_at": at(14 * 86_400)} if video_url else {}
    return {**task, "aspect_ratio": "landscape", "elapsed_seconds": 61.0, **where, **more}


def failed(message: str = "The prompt names a living person", **more: Any) -> dict[str, Any]:
    task = {"task_id": "task-1", "status": "failed", "created_at": at(-100), "prompt": PROMPT}
    failure = {"stage": "generation", "code": 400, "message": message}
    return {**task, "aspect_ratio": "landscape", "elapsed_seconds": 12.0, "failure": failure, **more}


def unconfirmed(**more: Any) -> dict[str, Any]:
    words = "It is not known whether the order reached the service.\nNext: ask again."
    return {**generating(), "status": "unconfirmed", "message": words, **more}


def many(count: int) -> list[dict[str, Any]]:
    """Tasks of every kind, newest first, a minute apart; three quarters are done."""
    return [_one(number) for number in range(count)]


def _one(number: int) -> dict[str, Any]:
    ratio = "portrait" if number % 4 == 1 else "landscape"
    common = {
        "task_id": f"task-{number}",
        "created_at": at(-60 * (number + 1)),
        "prompt": f"Number {number}: {PROMPT}",
        "aspect_ratio": ratio,
    }
    if number % 8 == 3:
        return failed(**common)
    if number % 8 == 7:
        return unconfirmed(**common)
    return done(f"{CDN}/{_MOTIFS[number % 6]}-{ratio}.mp4", **common)


def pages(tasks: list[dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    """What ``list_tasks`` gives of these; a cursor is the number of the task that comes next."""
    wanted = arguments.get("status", "any")
    fitting = [task for task in tasks if wanted in ("any", task["status"])]
    first, limit = int(arguments.get("cursor") or 0), arguments.get("limit", 10)
    last = first + limit
    return {"tasks": fitting[first:last], "next_cursor": str(last) if last < len(fitting) else ""}
