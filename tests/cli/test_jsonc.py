"""Files that people write are edited without losing a byte of what is theirs."""

import json
from typing import Any

import json5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora2_mcp.cli.hosts import jsonc

NOISE = st.sampled_from(["", " ", "\n", "\n    ", "\t", '// a, b } ] " \\\n', '/* { "x": 1, } */', "\n  // it's\n  "])
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"), max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
some = settings(max_examples=40)
"""Each text is drawn piece by piece, which takes longer than to read it; all runs together see many."""

DOCUMENTS = st.dictionaries(st.sampled_from(["a", "b", "servers", "//", "{", "é"]), VALUES, max_size=4)


@st.composite
def texts(draw: st.DrawFn, value: Any) -> str:
    """The value as somebody might have typed it."""

    def noise() -> str:
        return draw(NOISE)

    if not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    parts = list[str]()
    for one in value.items() if isinstance(value, dict) else value:
        key, inner = one if isinstance(value, dict) else ("", one)
        before = f"{json.dumps(key, ensure_ascii=False)}{noise()}:{noise()}" if isinstance(value, dict) else ""
        parts.append(f"{noise()}{before}{draw(texts(inner))}{noise()}")
    last = f"{draw(st.sampled_from([',', '']))}{noise()}" if parts else noise()
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}{','.join(parts)}{last}{closing}"


@some
@given(data=st.data(), document=DOCUMENTS)
def test_what_people_write_reads_as_another_parser_reads_it(data: st.DataObject, document: dict[str, Any]) -> None:
    text = data.draw(NOISE) + data.draw(texts(document)) + data.draw(NOISE)

    assert jsonc.parse(text) == json5.loads(text) == document


@some
@given(data=st.data(), document=DOCUMENTS, value=VALUES)
def test_a_new_member_leaves_every_byte_around_it(data: st.DataObject, document: dict[str, Any], value: Any) -> None:
    text = data.draw(NOISE) + data.draw(texts(document)) + data.draw(NOISE)
    edited = jsonc.with_value(text, ("new", "deep"), value)

    assert json5.loads(edited) == {**document, "new": {"deep": value}}
    assert_only_added(text, edited)


@some
@given(data=st.data(), document=DOCUMENTS, value=VALUES)
def test_a_changed_member_leaves_the_others(data: st.DataObject, document: dict[str, Any], value: Any) -> None:
    text = data.draw(texts({"first": 1, **document, "mine": {"old": [1, 2]}, "last": "x"}))
    edited = jsonc.with_value(text, ("mine", "old"), value)

    assert json5.loads(edited) == {"first": 1, **document, "mine": {"old": value}, "last": "x"}
    assert edited.split('"mine"')[0] == text.split('"mine"')[0]
    assert edited.split('"last"')[-1] == text.split('"last"')[-1]


@some
@given(data=st.data(), items=st.lists(VALUES, max_size=3), value=VALUES)
def test_a_new_element_comes_last_and_leaves_every_byte_around_it(
    data: st.DataObject, items: list[Any], value: Any
) -> None:
    text = data.draw(texts({"inputs": items, "rest": 1}))
    edited = jsonc.with_value(text, ("inputs",), [*items, value])

    assert json5.loads(edited) == {"inputs": [*items, value], "rest": 1}
    assert_only_added(text, edited)


def assert_only_added(text: str, edited: str) -> None:
    """One piece came in, perhaps a comma before it, and nothing but blanks before the closing bracket went."""
    start = next((i for i, (a, b) in enumerate(zip(text, edited, strict=False)) if a != b), len(text))
    common = next((i for i, (a, b) in enumerate(zip(text[::-1], edited[::-1], strict=False)) if a != b), len(text))
    end = min(common, len(text) - start)
    between, added = text[start : len(text) - end].rstrip(), edited[start : len(edited) - end]
    assert added.startswith((between, f",{between}"))


def test_it_looks_as_if_its_owner_had_typed_it() -> None:
    text = (
        '// mine\n{\n\t"theme": "dark", // at night\n\t"servers": {\n\t\t"other": {"command": "x"} // keep\n\t},\n}\n'
    )

    assert jsonc.with_value(text, ("servers", "sora2"), {"command": "y"}) == (
        '// mine\n{\n\t"theme": "dark", // at night\n\t"servers": {\n\t\t"other": {"command": "x"}, // keep\n'
        '\t\t"sora2": {\n\t\t\t"command": "y"\n\t\t}\n\t},\n}\n'
    )


def test_a_file_on_one_line_grows_below_it() -> None:
    assert jsonc.with_value('{"a": 1}', ("b",), {}) == '{"a": 1,\n  "b": {}\n}'


def test_lines_end_as_they_did() -> None:
    edited = jsonc.with_value('{\r\n    "a": 1\r\n}\r\n', ("b",), {"c": 2})

    assert edited == '{\r\n    "a": 1,\r\n    "b": {\r\n        "c": 2\r\n    }\r\n}\r\n'


def test_a_file_of_comments_keeps_them() -> None:
    assert jsonc.with_value("// Zed settings\n", ("a",), 1) == '// Zed settings\n{\n  "a": 1\n}\n'


def test_of_two_members_with_one_key_the_one_that_counts_is_changed() -> None:
    assert jsonc.parse(jsonc.with_value('{"a": 1, "a": 2}', ("a",), 3)) == {"a": 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": }', "line 1 column 7"),
        ('{\n "a": 1\n "b": 2}', "line 3 column 2"),
        ('{"a": "x}', "Unterminated string"),
        ('{"a": 1 /* }', "delimiter"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("[1]", "it holds no object"),
        ('{"a": 1} {"b": 2}', "Extra data"),
        ("{'a': 1}", "double quotes"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        jsonc.parse(text)


@pytest.mark.parametrize("text", ['{"a": 1,}', '{"a": 1} // x', "{/* x */}"])
def test_comments_and_trailing_commas_are_refused_where_the_host_does_not_read_them(text: str) -> None:
    with pytest.raises(ValueError, match="comments or trailing commas"):
        jsonc.parse(text, comments=False)


def test_a_list_or_a_text_on_the_way_is_no_place_for_a_member() -> None:
    with pytest.raises(ValueError, match="there is no place for b"):
        jsonc.with_value('{"a": [1]}', ("a", "b"), 1)
