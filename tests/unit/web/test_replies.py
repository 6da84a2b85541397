"""Replies are JSON that any reader takes, and known by their tags."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.web.replies import found_reply, is_known, json_bytes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=10,
)


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@given(VALUES)
def test_everything_is_sent_as_json(value: Any) -> None:
    found = json.loads(json_bytes(value), parse_constant=refuse)
    if value == value and "inf" not in str(value) and "nan" not in str(value):
        assert found == value


def test_numbers_that_json_has_not_are_named() -> None:
    sent = json_bytes({"a": [float("nan"), float("inf"), -float("inf"), 1.5, "\ud800"]})
    assert json.loads(sent) == {"a": ["NaN", "Infinity", "-Infinity", 1.5, "\ud800"]}


@pytest.mark.parametrize(
    ("known", "expected"),
    [(None, False), ("", False), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"ab"', False)],
)
def test_a_tag_is_known(known: str | None, expected: bool) -> None:
    assert is_known('"a"', known) is expected


def test_what_changed_is_sent_again() -> None:
    tag = found_reply([1], "/", b"", None).headers["etag"]
    assert found_reply([1], "/", b"", tag).status_code == 304
    assert found_reply([2], "/", b"", tag).status_code == 200
