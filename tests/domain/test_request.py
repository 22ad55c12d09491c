import pytest

from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest, checked_key, is_http_url
from sora2_mcp.errors import ArgumentError

IMAGE = "https://example.com/cat.jpg"


def test_a_request_loses_its_outer_white_space_and_nothing_else() -> None:
    request = VideoRequest(
        prompt=" \n A cat,  twice \t",
        image_urls=(f" {IMAGE} ", "http://127.0.0.1:8080/dog.png?size=1#x"),
        aspect_ratio=AspectRatio.PORTRAIT,
        quality=Quality.HD,
        watermark=" Mine ",
        callback_url=" https://example.com/hook ",
    )

    assert request.validated() == VideoRequest(
        prompt="A cat,  twice",
        image_urls=(IMAGE, "http://127.0.0.1:8080/dog.png?size=1#x"),
        aspect_ratio=AspectRatio.PORTRAIT,
        quality=Quality.HD,
        watermark="Mine",
        callback_url="https://example.com/hook",
    )


def test_only_a_prompt_is_needed_and_blank_options_count_as_not_given() -> None:
    assert VideoRequest(prompt="A cat", watermark="  ", callback_url="  ").validated() == VideoRequest(prompt="A cat")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("A\x00 cat", "A cat"),
        ("\x00 A cat \x00", "A cat"),
        ("cut \ud83d", "cut ?"),
        ("\ude00 A \ud83d\x00 cat", "? A ? cat"),
        ("Kätzchen\t🐱\n猫 \x01", "Kätzchen\t🐱\n猫 \x01"),
    ],
)
def test_a_prompt_and_a_watermark_lose_what_cannot_be_stored(typed: str, kept: str) -> None:
    assert VideoRequest(prompt=typed).validated() == VideoRequest(prompt=kept)
    assert VideoRequest(prompt="A", watermark=typed).validated() == VideoRequest(prompt="A", watermark=kept)


def test_what_a_prompt_loses_does_not_count_towards_its_limit() -> None:
    assert VideoRequest(prompt=" \x00" + "x" * 5000 + "\x00").validated() == VideoRequest(prompt="x" * 5000)


@pytest.mark.parametrize(
    "request_at_the_limit",
    [
        VideoRequest(prompt="x" * 5000),
        VideoRequest(prompt="A cat", image_urls=(IMAGE,) * 10),
        VideoRequest(prompt="A cat", watermark="x" * 200),
        VideoRequest(prompt="A cat", callback_url=f"https://example.com/{'x' * 1980}"),
    ],
    ids=["prompt", "image_urls", "watermark", "callback_url"],
)
def test_what_is_exactly_at_a_limit_is_allowed(request_at_the_limit: VideoRequest) -> None:
    assert request_at_the_limit.validated() == request_at_the_limit


@pytest.mark.parametrize(
    ("wrong", "argument", "problem"),
    [
        (VideoRequest(prompt=""), "prompt", "is empty; describe the video in 1 to 5,000 characters."),
        (VideoRequest(prompt=" \n\t\u3000"), "prompt", "is empty; describe the video in 1 to 5,000 characters."),
        (VideoRequest(prompt=" \x00 \x00"), "prompt", "is empty; describe the video in 1 to 5,000 characters."),
        (VideoRequest(prompt="x" * 5001), "prompt", "has 5,001 characters; allowed are 1 to 5,000."),
        (
            VideoRequest(prompt="A cat", image_urls=(IMAGE,) * 11),
            "image_urls",
            "has 11 addresses; allowed are at most 10.",
        ),
        (
            VideoRequest(prompt="A cat", image_urls=(IMAGE, "ftp://a.example/cat.jpg")),
            "image_urls",
            "holds something that is not an address; allowed are http:// and https:// URLs.",
        ),
        (
            VideoRequest(prompt="A cat", image_urls=("",)),
            "image_urls",
            "holds something that is not an address; allowed are http:// and https:// URLs.",
        ),
        (
            VideoRequest(prompt="A cat", image_urls=(f"https://example.com/{'x' * 1981}",)),
            "image_urls",
            "holds an address longer than 2,000 characters.",
        ),
        (
            VideoRequest(prompt="A cat", watermark="x" * 1201),
            "watermark",
            "has 1,201 characters; allowed are at most 200.",
        ),
        (
            VideoRequest(prompt="A cat", watermark="x" * 201),
            "watermark",
            "has 201 characters; allowed are at most 200.",
        ),
        (
            VideoRequest(prompt="A cat", callback_url="ftp://example.com/hook"),
            "callback_url",
            "holds something that is not an address; allowed are http:// and https:// URLs.",
        ),
        (
            VideoRequest(prompt="A cat", callback_url=f"https://example.com/{'x' * 1981}"),
            "callback_url",
            "holds an address longer than 2,000 characters.",
        ),
    ],
)
def test_what_is_not_allowed_is_an_error_that_names_the_argument(
    wrong: VideoRequest, argument: str, problem: str
) -> None:
    with pytest.raises(ArgumentError) as raised:
        wrong.validated()

    assert raised.value.argument == argument
    assert str(raised.value) == f"{argument} {problem}"


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "https://cdn.example.com/videos/x.mp4",
        "HTTPS://EXAMPLE.COM/X",
        "http://127.0.0.1:8000/x",
        "http://[::1]:8000/x",
        "https://example.com:65535/",
        "https://example.com/a%20b?x=1,2&y=(z)#t",
        "https://user:word@example.com/",
        "https://bücher.example/ü",
    ],
)
def test_a_whole_http_address_is_one(url: str) -> None:
    assert is_http_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///x.mp4",
        "https:example.com",
        "//example.com/x",
        "example.com/x.mp4",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:video/mp4;base64,AA",
        "http://:80/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:eighty/",
        "http://[::1",
        " https://example.com",
        "https://example.com/a b",
        "https://example.com/a\nb",
        "https://example.com/a\x00b",
        "https://example.com/a\x7fb",
        "https://example.com/a\x9bb",
        "https://example.com/a\u00a0b",
        "https://example.com/4pm.\u202etxt",
        "https://example.com/a\u200bb",
        "https://example.com/a\U000e0041b",
        "https://example.com/a\ud83d",
        "https://example.com/" + "a" * 8000,
        "https://" + "a" * 501 + "/",
        "https://" + "\u0301" * 600_000,
    ],
    ids=lambda url: url[:40],
)
def test_anything_else_or_with_something_hidden_in_it_is_no_address(url: str) -> None:
    assert not is_http_url(url)


@pytest.mark.parametrize(("key", "checked"), [("", ""), ("  ", ""), (" order-1\n", "order-1"), ("x" * 200, "x" * 200)])
def test_an_idempotency_key_loses_its_outer_white_space(key: str, checked: str) -> None:
    assert checked_key(key) == checked


@pytest.mark.parametrize(("length", "shown"), [(201, "201"), (1201, "1,201")])
def test_an_idempotency_key_that_is_too_long_is_an_error_that_names_it(length: int, shown: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        checked_key("x" * length)

    assert raised.value.argument == "idempotency_key"
    assert str(raised.value) == f"idempotency_key has {shown} characters; allowed are at most 200."


def test_a_prompt_does_not_get_into_logs_by_way_of_a_repr() -> None:
    request = VideoRequest(prompt="my secret film", callback_url="https://example.com/secret")

    assert repr(request) == "VideoRequest(<14 characters>, landscape, standard)"
