import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sora2_mcp.domain.request import is_http_url
from sora2_mcp.domain.task import Sighting, Snapshot
from sora2_mcp.errors import Sora2Error
from sora2_mcp.services.service import Answer
from sora2_mcp.services.sora2api import Sora2API

SEEN_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://cdn.example.com/x.mp4"


http_statuses = st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500, 502])
texts = st.text(st.characters(), max_size=20) | st.sampled_from(
    [URL, f"[{URL}]", json.dumps([URL]), "true", "1", "200"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
things = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | inner.map(json.dumps),
    max_leaves=8,
)
URL_PLACES = things | st.fixed_dictionaries({}, optional={"imageUrl": things, "resultUrls": things})
records = st.fixed_dictionaries(
    {},
    optional={
        "taskId": things,
        "successFlag": st.sampled_from([0, 1, "1", True, 2, 3]) | things,
        "response": URL_PLACES,
        "resultUrls": things,
        "info": URL_PLACES,
        "paramJson": things | st.fixed_dictionaries({"prompt": things, "imageUrls": things}),
        "errorCode": things,
        "errorMessage": things,
    },
)
envelopes = st.fixed_dictionaries(
    {}, optional={"code": st.sampled_from([200, "200", 501]) | things, "msg": things, "data": records | things}
)


def accepted_task_id(status: int, text: str) -> str:
    return Sora2API().accepted(Answer(status=status, text=text))


def snapshot_of(status: int, text: str, seen_at: datetime) -> Snapshot:
    return Sora2API().snapshot(Answer(status=status, text=text), seen_at)


def outcome_of(call: Callable[[], Any]) -> Any:
    """What it gives, or the error of ours that it raises; any other error is the test's end."""
    try:
        return call()
    except Sora2Error as error:
        return error


def check_any_answer(http_status: int, body: str) -> None:
    task_id = outcome_of(lambda: accepted_task_id(http_status, body))
    assert isinstance(task_id, Sora2Error) or (task_id and task_id.isprintable())

    snapshot = outcome_of(lambda: snapshot_of(http_status, body, SEEN_AT))
    if isinstance(snapshot, Snapshot):
        assert (snapshot.sighting is Sighting.SUCCEEDED) == bool(snapshot.video_url)
        assert not snapshot.video_url or is_http_url(snapshot.video_url)
        assert (snapshot.sighting is Sighting.FAILED) == (snapshot.failure is not None)
        # Half a character anywhere in it would raise here, as it would when the task is saved.
        json.dumps(asdict(snapshot), default=str, ensure_ascii=False).encode()


@given(http_statuses, st.binary())
def test_no_bytes_whatsoever_raise_anything_but_our_errors(http_status: int, body: bytes) -> None:
    check_any_answer(http_status, body.decode(errors="replace"))


@settings(max_examples=300)
@given(http_statuses, envelopes | things)
def test_no_json_whatsoever_raises_anything_but_our_errors_or_claims_a_success_without_url(
    http_status: int, content: Any
) -> None:
    check_any_answer(http_status, json.dumps(content))
