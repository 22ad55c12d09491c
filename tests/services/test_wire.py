import json
from typing import Any

import pytest

from sora2_mcp.services.wire import Envelope, Record, SubmitData, first_url, parsed

URL = "https://cdn.example.com/x.mp4"
OTHER = "https://cdn.example.com/y.mp4"


@pytest.mark.parametrize(
    ("written", "flag"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (7, 7),
        ("0", 0),
        ("1", 1),
        ("2", 2),
        (" 3 ", 3),
        (1.0, 1),
        ("1.0", 1),
        (True, 1),
        ("true", 1),
        (" True ", 1),
        (False, 0),
        ("false", 0),
        (None, None),
        ("", None),
        ("done", None),
        (1.5, None),
        ("1.5", None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ("9" * 5000, None),
        ([1], None),
        ({"flag": 1}, None),
    ],
)
def test_a_success_flag_is_read_however_it_is_written_and_is_absent_otherwise(written: Any, flag: int | None) -> None:
    assert Record.model_validate({"successFlag": written}).success_flag == flag


def test_a_record_without_any_field_is_readable() -> None:
    assert Record.model_validate({}).model_dump() == {
        "task_id": "",
        "success_flag": None,
        "response": None,
        "result_urls": None,
        "info": {},
        "parameters": {},
        "error_code": None,
        "error_message": "",
        "state": "",
        "result_json": None,
        "fail_code": None,
        "fail_message": "",
        "cost": None,
    }


def test_unknown_fields_are_ignored_and_times_in_any_spelling_do_no_harm() -> None:
    for time in ("2024-03-20 10:30:00", 1710930600000, "1710930600", "", None, 0, {"at": 1}):
        sent = {"successFlag": 1, "createTime": time, "completeTime": time, "progress": [1], "model": None}
        assert Record.model_validate(sent) == Record.model_validate({"successFlag": 1})


@pytest.mark.parametrize(
    "fields",
    [
        {"response": {"imageUrl": URL}},
        {"response": {"imageUrl": f"  {URL} "}},
        {"response": {"videoUrl": URL}},
        {"response": {"imageUrl": None, "resultUrls": [URL, OTHER]}},
        {"response": {"resultUrls": [URL, OTHER]}},
        {"response": {"resultUrls": ["", None, URL]}},
        {"response": {"resultUrls": URL}},
        {"response": {"resultUrls": json.dumps([URL, OTHER])}},
        {"response": {"resultUrls": f"[{URL}, {OTHER}]"}},
        {"response": {"resultUrls": f"['{URL}','{OTHER}']"}},
        {"response": json.dumps({"imageUrl": URL})},
        {"response": json.dumps({"resultUrls": [URL]})},
        {"response": json.dumps({"resultUrls": json.dumps([URL])})},
        {"response": json.dumps({"resultUrls": f"[{URL}]"})},
        {"response": json.dumps(json.dumps({"imageUrl": URL}))},
        {"response": json.dumps(URL)},
        {"response": URL},
        {"response": [URL, OTHER]},
        {"resultUrls": [URL, OTHER]},
        {"resultUrls": URL},
        {"resultUrls": json.dumps([URL, OTHER])},
        {"resultUrls": f"[{URL},{OTHER}]"},
        {"response": None, "resultUrls": [URL]},
        {"response": {}, "resultUrls": [URL]},
        {"info": {"resultUrls": [URL, OTHER]}},
        {"info": {"resultUrls": json.dumps([URL])}},
        {"info": {"resultUrls": f"[{URL}]"}},
        {"info": json.dumps({"resultUrls": [URL]})},
        {"response": "", "resultUrls": [], "info": {"resultUrls": [URL]}},
        {"response": {"info": {"resultUrls": [URL, OTHER]}}},
        {"response": {"info": {"videoUrl": URL}}},
        {"response": {"info": json.dumps({"resultUrls": [URL]})}},
        {"response": json.dumps({"info": {"resultUrls": f"[{URL}]"}})},
        {"response": {"info": None, "imageUrl": URL}},
        {"response": {"info": {"resultUrls": [URL]}}, "resultUrls": [OTHER]},
        {"response": {"imageUrl": URL}, "resultUrls": [OTHER], "info": {"resultUrls": [OTHER]}},
    ],
    ids=str,
)
def test_a_video_url_is_found_wherever_the_service_puts_it(fields: dict[str, Any]) -> None:
    assert Record.model_validate(fields).video_url == URL


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"response": None, "resultUrls": None, "info": None},
        {"response": "", "resultUrls": "", "info": ""},
        {"response": {"imageUrl": ""}},
        {"response": {"imageUrl": None}},
        {"response": {"imageUrl": 7}},
        {"response": {"imageUrl": "ftp://cdn.example.com/x.mp4"}},
        {"response": {"imageUrl": "/videos/x.mp4"}},
        {"response": {"imageUrl": "https://cdn.example.com/a b.mp4"}},
        {"response": {"imageUrl": "javascript:alert(1)"}},
        {"response": "[]", "resultUrls": "[not, urls]"},
        {"response": '{"imageUrl": '},
        {"response": {"thumbnail": URL}},
        {"response": {"info": {"thumbnail": URL}}},
        {"response": True, "resultUrls": 0, "info": [URL]},
    ],
    ids=str,
)
def test_what_is_no_http_address_counts_as_no_url(fields: dict[str, Any]) -> None:
    assert Record.model_validate(fields).video_url == ""


def test_an_address_hidden_too_deep_is_not_searched_for_ever() -> None:
    nested: Any = URL
    for _ in range(200):
        nested = [nested]

    assert first_url(nested) == ""


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"prompt": "A cat"}, {"prompt": "A cat"}),
        ('{"prompt": "A cat"}', {"prompt": "A cat"}),
        ('{"prompt": ', {}),
        ('["prompt"]', {}),
        ("", {}),
        (None, {}),
        (7, {}),
        ("[" * 100_000, {}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_parameters_are_read_as_an_object_or_as_json_text(written: Any, read: dict[str, Any]) -> None:
    assert Record.model_validate({"paramJson": written}).parameters == read
    assert Record.model_validate({"promptJson": written}).parameters == read


@pytest.mark.parametrize(("written", "code"), [(501, 501), ("501", 501), ("", None), (None, None), ("none", None)])
def test_an_error_code_may_be_a_number_a_text_or_absent(written: Any, code: int | None) -> None:
    assert Record.model_validate({"errorCode": written}).error_code == code


@pytest.mark.parametrize(("written", "text"), [("no", "no"), (None, ""), (7, "7"), (["a"], "['a']")])
def test_an_error_message_is_a_text_whatever_it_was(written: Any, text: str) -> None:
    assert Record.model_validate({"errorMessage": written}).error_message == text


@pytest.mark.parametrize(
    ("sent", "envelope"),
    [
        ({"code": 200, "msg": "success", "data": {"a": 1}}, Envelope(code=200, msg="success", data={"a": 1})),
        ({"code": "200", "message": "ok", "data": None}, Envelope(code=200, message="ok")),
        ({"code": 402.0, "msg": None}, Envelope(code=402)),
        ({"code": "error", "msg": 5}, Envelope(msg="5")),
        ({"traceId": "x"}, Envelope()),
    ],
)
def test_an_envelope_is_read_in_each_of_its_spellings(sent: dict[str, Any], envelope: Envelope) -> None:
    assert Envelope.model_validate({**sent, "extra": 1}) == envelope


@pytest.mark.parametrize(
    ("written", "task_id"),
    [
        ("sora2_task_a", "sora2_task_a"),
        (" sora2_task_a\n", "sora2_task_a"),
        (123, "123"),
        (None, ""),
        (True, ""),
        (1.5, ""),
        ({"id": "a"}, ""),
        (["a"], ""),
    ],
)
def test_a_task_id_is_a_text_or_a_whole_number_and_nothing_else_is_made_into_one(written: Any, task_id: str) -> None:
    assert SubmitData.model_validate({"taskId": written}).task_id == task_id


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": "cut \\ud83d"}', {"a": "cut ?"}),
        (b'{"\\ude00": ["\\ud83d"]}', {"?": ["?"]}),
        ('"\\\\ud83d"', "\\ud83d"),
    ],
)
def test_half_a_character_does_not_make_a_text_unsaveable(text: str | bytes, content: Any) -> None:
    assert parsed(text) == content


@pytest.mark.parametrize("text", [b"", b"\xff", b"{", "[" * 100_000, "1" * 5000])
def test_what_is_no_json_is_one_kind_of_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the decoder words it
        parsed(text)


@pytest.mark.parametrize(
    "sent", [{"msg": "why"}, {"message": "why"}, {"msg": None, "message": "why"}, {"msg": " ", "message": " why "}]
)
def test_the_services_words_are_found_under_either_name(sent: dict[str, Any]) -> None:
    assert Envelope.model_validate(sent).words == "why"


@pytest.mark.parametrize("crowd", [["x"], [[]], [["x", "y"]], [{"url": "x"}], ['["x"]']])
def test_an_address_is_looked_for_among_the_first_values_only(crowd: list[Any]) -> None:
    assert first_url([*crowd * 40, URL]) == URL
    assert first_url([*crowd * 200, URL]) == ""
    assert first_url({"response": "x", "url": [*crowd * 200, URL]}) == ""


def test_of_a_list_without_quotation_marks_the_first_items_are_looked_at() -> None:
    assert first_url(f"[{'x,' * 199}{URL}]") == URL
    assert first_url(f"[{'x,' * 201}{URL}]") == ""


def test_an_answer_in_more_parts_than_any_needs_is_none() -> None:
    prompt = {"prompt": "[{" * 2500}
    assert parsed(json.dumps({"data": {"paramJson": prompt, "promptJson": prompt}}))["data"]["promptJson"] == prompt
    for many in ("[" + "{}," * 12_000 + "{}]", "[" * 100 + "]" * 100):
        text = many if "{" in many else f"[{','.join([many] * 121)}]"
        with pytest.raises(ValueError, match="too many parts"):
            parsed(text)
