"""A value comes back equal, from its text and from every process, or it is refused with the place and the reason."""

import itertools
import json
import math
from collections import OrderedDict
from datetime import UTC, date, datetime
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.model.json_values import (
    DEEPEST,
    MOST_DIGITS,
    NotStorable,
    json_text,
    read_json,
    require_storable,
    stored_form,
)
from tests.unit.model.anything import json_values, nearly_json, nested, texts


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: for Python 1, 1.0 and True are equal."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and (not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other))


@given(json_values)
@example(["\ud83d", "\udcff\0"])
@example(-0.0)
@example({"b": 1, "a": 2})
@example(10**MOST_DIGITS - 1)
@example(nested(DEEPEST))
def test_what_is_json_comes_back_as_it_is_or_is_refused(value: Any) -> None:
    try:
        kept = stored_form(value)
    except NotStorable as refused:
        assert "both halves" in str(refused)
        return
    text = json_text(kept)
    assert same(kept, value)
    assert same(json.loads(text), value)
    assert same(read_json(text), value)
    assert json_text(kept, sort_keys=True) == json_text(json.loads(json_text(kept, sort_keys=True)), sort_keys=True)
    assert "\0" not in text
    text.encode()


@given(nearly_json)
def test_nothing_becomes_another_value(value: Any) -> None:
    try:
        kept = stored_form(value)
    except NotStorable as refused:
        assert len(str(refused)) < 500
        return
    require_storable(kept)
    assert same(json.loads(json_text(kept)), kept)
    assert same(kept, _spelt(value))


def _spelt(value: Any) -> Any:
    """The changes that are documented: tuples become lists, dates ISO text."""
    if isinstance(value, (list, tuple)):
        return [_spelt(each) for each in value]
    if isinstance(value, dict):
        return {key: _spelt(each) for key, each in value.items()}
    return value.isoformat() if isinstance(value, date) else value


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Pair(NamedTuple):
    left: int
    right: str


class Name(str):
    """A text that is nobody's equal."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ((1, (2,)), [1, [2]]),
        (Pair(1, "x"), [1, "x"]),
        (Colour.RED, "red"),
        ({Colour.RED: Level.HIGH}, {"red": 3}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (date(2024, 1, 31), "2024-01-31"),
        (datetime(2024, 1, 31, tzinfo=UTC), "2024-01-31T00:00:00+00:00"),
    ],
)
def test_what_becomes_json_without_a_loss(value: Any, kept: Any) -> None:
    assert same(stored_form(value), kept)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1: "int", "1": "text"}, "the key 1 is int, not text"),
        ({True: 1}, "the key True is bool, not text"),
        ({None: 1}, "the key None is NoneType, not text"),
        ({2.5: 1}, "the key 2.5 is float, not text"),
        ({("a", "b"): 1}, "the key ('a', 'b') is tuple, not text"),
        ({Name("a"): 1, Name("a"): 2}, "two of its keys are the same text"),
        (float("nan"), "nan is not in JSON"),
        ([1, float("-inf")], "at [1]: -inf is not in JSON"),
        ({"a": [{"b": {2}}]}, "at ['a'][0]['b']: set is not JSON"),
        ({"a": b"x"}, "at ['a']: bytes is not JSON"),
        (10**MOST_DIGITS, f"a number of more than {MOST_DIGITS} digits"),
        ([-(10**MOST_DIGITS)], f"at [0]: a number of more than {MOST_DIGITS} digits"),
        ({"k" * 1000: 10**MOST_DIGITS}, "...]: a number"),
        ("\ud83d\ude00", "both halves of a character apart"),
        ({"a\ud83d\ude00": 1}, "both halves of a character apart"),
        (nested(DEEPEST + 1), f"lists and dicts more than {DEEPEST} deep in one another"),
    ],
    ids=map(str, itertools.count()),  # some have no text that pytest could make
)
def test_what_would_be_lost_is_refused(value: Any, why: str) -> None:
    with pytest.raises(NotStorable) as refused:
        stored_form(value)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_value_that_holds_itself_has_an_end() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotStorable, match="deep in one another"):
        stored_form(circle)


def test_a_value_that_holds_others_again_and_again_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.model.json_values.MOST_VALUES", 1000)
    doubled: list[Any] = []
    for _ in range(100):
        doubled = [doubled, doubled]
    with pytest.raises(NotStorable, match="more than 1,000 values"):
        stored_form(doubled)


def test_what_is_kept_is_a_copy() -> None:
    value: dict[str, Any] = {"rows": [1]}
    kept = stored_form(value)
    value["rows"].append(2)
    assert kept == {"rows": [1]}


@given(texts)
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example("1" * (MOST_DIGITS + 1))
@example("-" + "9" * MOST_DIGITS)
@example('{"a": 1e400}')
@example("\ufeff{}")
def test_what_a_person_types_is_read_or_refused(text: str) -> None:
    try:
        value = read_json(text)
    except ValueError:
        return
    assert same(json.loads(json_text(value)), value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"threshold": 1e400}', "at ['threshold']: inf is not in JSON"),
        ('{"threshold": -Infinity}', "-Infinity is not in JSON"),
        ('{"a": 1, "b": {"k": 1, "k": 2}}', "the key 'k' is there twice"),
        (f'{{"n": {"7" * (MOST_DIGITS + 1)}}}', "digits"),
        ("[" * 10_000 + "]" * 10_000, "deep in one another"),
    ],
)
def test_what_would_be_lost_of_what_a_person_types(text: str, why: str) -> None:
    with pytest.raises(NotStorable) as refused:
        read_json(text)
    assert why in str(refused.value)


@given(st.dictionaries(texts, st.integers(), max_size=4))
def test_the_same_value_is_the_same_text(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert json_text(turned, sort_keys=True) == json_text(value, sort_keys=True)
