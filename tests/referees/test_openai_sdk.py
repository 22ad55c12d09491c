"""The official SDK, unchanged, makes, follows and saves videos against the simulator's dialect of OpenAI."""

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.hosts.served import Service
from tests.referees.media import PNG, is_mp4
from tests.referees.proxy import SERVICE_KEY

pytestmark = [
    pytest.mark.timeout(300),
    # It says so of all that is here: OpenAI's own service has ended, others speak its dialect on.
    pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning"),
]

PATIENCE_SECONDS = 120
POLL_MILLISECONDS = 100


@pytest.fixture
def service(simulated: str) -> Service:
    """The simulator, which has received nothing."""
    return Service(simulated)


@pytest.fixture
def client(simulated: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=SERVICE_KEY, base_url=simulated) as client:
        yield client


def completed(client: openai.OpenAI, video_id: str) -> list[Any]:
    """Every record up to the one in which it is completed."""
    seen, deadline = [client.videos.retrieve(video_id)], time.monotonic() + PATIENCE_SECONDS
    while seen[-1].status not in ("completed", "failed"):
        assert time.monotonic() < deadline, seen[-1]
        time.sleep(POLL_MILLISECONDS / 1000)
        seen.append(client.videos.retrieve(video_id))
    assert seen[-1].status == "completed", seen[-1]
    return seen


def test_a_video_is_ordered_followed_and_downloaded(client: openai.OpenAI, service: Service) -> None:
    ordered = client.videos.create(prompt="A kitten", model="sora-2", seconds="8", size="1280x720")
    seen = completed(client, ordered.id)
    video = client.videos.download_content(ordered.id).read()

    assert service.bodies() == [{"prompt": "A kitten", "model": "sora-2", "seconds": "8", "size": "1280x720"}]
    assert (ordered.object, ordered.status, ordered.progress) == ("video", "queued", 0)
    assert {record.id for record in seen} == {ordered.id}
    assert [record.progress for record in seen] == sorted(record.progress for record in seen)
    last = seen[-1]
    assert (last.progress, last.model, last.seconds, last.size) == (100, "sora-2", "8", "1280x720")
    assert (last.prompt, last.error) == ("A kitten", None)
    assert last.completed_at >= last.created_at
    assert is_mp4(video)


def test_a_picture_goes_along_as_a_file(client: openai.OpenAI, service: Service) -> None:
    ordered = client.videos.create(prompt="It waves", input_reference=("cat.png", PNG, "image/png"))
    completed(client, ordered.id)

    sent = {"filename": "cat.png", "content_type": "image/png", "bytes": len(PNG)}
    assert service.bodies() == [{"prompt": "It waves", "input_reference": sent}]
    assert is_mp4(client.videos.download_content(ordered.id).read())


def test_it_waits_by_itself(client: openai.OpenAI, service: Service) -> None:
    made = client.videos.create_and_poll(prompt="A kitten", poll_interval_ms=POLL_MILLISECONDS)

    assert made.status == "completed"
    assert is_mp4(client.videos.download_content(made.id).read())
    assert service.orders() == ["A kitten"]


def test_a_video_that_moderation_refuses_is_one_that_failed(client: openai.OpenAI) -> None:
    made = client.videos.create_and_poll(prompt="A kitten [sim:moderation]", poll_interval_ms=POLL_MILLISECONDS)

    assert (made.status, made.error.code) == ("failed", "moderation_blocked")
    assert made.error.message
    with pytest.raises(openai.NotFoundError):
        client.videos.download_content(made.id)


def test_all_videos_are_listed_newest_first_page_by_page(client: openai.OpenAI) -> None:
    ordered = [client.videos.create(prompt=f"Number {number} [sim:seconds=0]").id for number in range(5)]
    page = client.videos.list(limit=2)
    told = list(page)  # which gets the pages behind it too

    assert len(page.data) == 2
    assert set(ordered) <= {video.id for video in told}
    assert len(told) == len({video.id for video in told})
    assert [video.created_at for video in told] == sorted((video.created_at for video in told), reverse=True)


def test_a_deleted_video_is_unknown(client: openai.OpenAI) -> None:
    made = client.videos.create_and_poll(prompt="A kitten [sim:seconds=0]", poll_interval_ms=POLL_MILLISECONDS)
    gone = client.videos.delete(made.id)

    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(made.id)


def test_a_wrong_key_is_an_error_of_its_own(simulated: str, service: Service) -> None:
    with openai.OpenAI(api_key="another", base_url=simulated) as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            stranger.videos.create(prompt="A kitten")
        with pytest.raises(openai.AuthenticationError):
            stranger.videos.list()

    assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
    assert len(service.bodies()) == 1


def test_a_refused_prompt_is_an_error_of_its_own_and_is_not_sent_again(client: openai.OpenAI, service: Service) -> None:
    with pytest.raises(openai.BadRequestError, match="content policy") as refused:
        client.videos.create(prompt="A kitten [sim:refused-prompt]")

    assert (refused.value.code, refused.value.type) == ("moderation_blocked", "invalid_request_error")
    assert len(service.orders()) == 1


def test_an_order_above_the_rate_is_sent_again_as_the_answer_says(client: openai.OpenAI, service: Service) -> None:
    ordered = client.videos.create(prompt="A kitten [sim:order-429=1*1]")

    assert ordered.status == "queued"
    assert len(service.orders()) == 2
