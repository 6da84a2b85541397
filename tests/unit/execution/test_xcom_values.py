"""What passes between tasks comes back equal and of the same type, or is refused with the place and the reason."""

import datetime as dates
import decimal
import json
import pathlib
import subprocess
import sys
import uuid
from dataclasses import fields
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.authoring.context.moments import moment_of
from tailrace.errors import XComUnreadable
from tailrace.execution.messages.channel import decode, encode
from tailrace.execution.messages.tries import outcome_in, reply_to
from tailrace.execution.tries.outcome_messages import message_of
from tailrace.execution.xcoms.jsonable import NotJson
from tailrace.execution.xcoms.reading import value_of
from tailrace.execution.xcoms.value_classes import class_named
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.model.json_values import json_text, stored_form
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.tagged_values import TAG, Tagged, items_of, readable, stored_text, stored_value
from tests.unit.execution import stored_classes as classes
from tests.unit.model.anything import json_values, nearly_json, nested, texts

zones = st.one_of(
    st.none(),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]).map(ZoneInfo),
    st.timedeltas(dates.timedelta(hours=-23), dates.timedelta(hours=23)).map(dates.timezone),
    st.builds(dates.timezone, st.just(dates.timedelta(hours=1)), st.text("ABC", min_size=1, max_size=4)),
    st.just(dates.UTC),
)
paths = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)

#: Of kinds that JSON has not; what can be in a set.
hashable = st.one_of(
    st.dates(),
    st.builds(lambda d, z, f: d.replace(tzinfo=z, fold=f), st.datetimes(), zones, st.integers(0, 1)),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.binary(max_size=20),
    st.uuids(),
    paths.map(pathlib.Path),
    paths.map(pathlib.PurePosixPath),
    st.sampled_from([*classes.Colour, *classes.Level, *classes.Word]),
    st.sampled_from([classes.Right.READ, classes.Right.READ | classes.Right.WRITE, classes.Right(0)]),
    st.builds(classes.Place, texts.filter(lambda text: not _has_both_halves(text)), st.integers()),
    st.builds(classes.Point, st.integers(), st.text(max_size=3)),
    st.text(max_size=3),
    st.integers(),
    st.frozensets(st.integers(), max_size=3),
    st.tuples(st.integers(), st.dates()),
)
scalars = hashable | st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.booleans()
keys = st.text(max_size=3) | st.just(TAG)


def _has_both_halves(text: str) -> bool:
    try:
        stored_form(text)
    except ValueError:
        return True
    return False


def _in_one_another(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(children, max_size=3),
        st.tuples(children, children),
        st.dictionaries(keys, children, max_size=3),
        st.builds(classes.Order, st.integers(), children),
        st.builds(classes.Outer.Inner, children),
        st.builds(classes.Point, children, children),
        st.sets(hashable, max_size=3),
        st.frozensets(hashable, max_size=3),
        st.binary(max_size=3).map(bytearray),
    )


values = st.recursive(scalars, _in_one_another, max_leaves=12)


def through(value: Any) -> Any:
    """The value as another task gets it: written, sent, checked, stored, read, sent, and made again."""
    kept = stored_xcom(value, "it")
    tagged = isinstance(kept, Tagged)
    message = message_of(OutcomeKind.SUCCESS, "") | {"xcoms": {"k": kept.json if tagged else kept}}
    message |= {"tagged": ["k"]} if tagged else {}
    stored = stored_text(outcome_in(decode(encode(message)[:-1])).xcoms["k"])
    reply = decode(encode(reply_to(1, (("a", -1, stored_value(stored)),)))[:-1])
    [[_, _, found]] = reply["xcom"]
    return value_of(Tagged(found), "it") if reply.get("tagged") else found


def alike(one: Any, other: Any) -> bool:
    """Equal, and of the same types all through."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (set, frozenset)):
        return bool(one == other) and {type(each) for each in one} == {type(each) for each in other}
    if isinstance(one, (classes.Order, classes.Outer.Inner)):
        return alike(
            [getattr(one, each.name) for each in fields(one)], [getattr(other, each.name) for each in fields(one)]
        )
    if isinstance(one, (dates.datetime, dates.time)):
        same = one.replace(tzinfo=None) == other.replace(tzinfo=None) and one.fold == other.fold
        return same and repr(one.tzinfo) == repr(other.tzinfo) and one.utcoffset() == other.utcoffset()
    if isinstance(one, decimal.Decimal):
        return str(one) == str(other)
    return bool(one == other)


@given(values)
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert alike(through(value), value)


@given(values)
def test_every_value_is_read_by_people_as_plain_json(value: Any) -> None:
    kept = stored_xcom(value, "it")
    assert json.loads(json_text(readable(kept))) == readable(kept)


@given(json_values)
def test_plain_json_is_stored_as_it_always_was(value: Any) -> None:
    try:
        plain = stored_form(value)
    except ValueError:
        with pytest.raises(NotJson):
            stored_xcom(value, "it")
        return
    kept = stored_xcom(value, "it")
    assert not isinstance(kept, Tagged) and json_text(kept) == json_text(plain)


@given(json_values, st.sampled_from(["datetime", "data class", "dict", "nothing"]))
def test_what_looks_like_a_tag_is_a_value(value: Any, kind: str) -> None:
    """Of an author's, and of an older Tailrace, which wrote plain JSON."""
    looks = {TAG: kind, "of": value, "class": "os:system"}
    try:
        older = json_text(stored_form(looks))
    except ValueError:
        return
    assert stored_value(older) == looks
    assert through(looks) == looks and through([looks]) == [looks]


@given(nearly_json)
def test_whatever_is_handed_over_is_kept_or_refused_in_one_line(value: Any) -> None:
    try:
        kept = stored_xcom(value, "it", ("dags/d.py", 7))
    except NotJson as wrong:
        assert "\n" not in str(wrong) and " (dags/d.py:7); return a path instead" in str(wrong)
        return
    assert alike(value_of(kept, "it") if isinstance(kept, Tagged) else kept, value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1: "a"}, "the key 1 is int, not text"),
        ({"rows": [{("a", 1): 2}]}, "at ['rows'][0]: the key ('a', 1) is tuple, not text"),
        ({"a": (1, {dates.date(2024, 1, 1): 2})}, "at ['a'][1]: the key datetime.date(2024, 1, 1) is date, not text"),
        ([classes.Order(1, {2: 3})], "at [0]['lines']: the key 2 is int, not text"),
        (classes.Plain(), "Plain is of no kind that is kept"),
        ((classes.Numbers([1]),), "at [0]: Numbers is a dataclass, and of a built-in type as well"),
        (classes.local(), "local.<locals>.Local is a class made inside a function"),
        ((float("nan"),), "at [0]: nan is not in JSON"),
        (nested(201), "lists and dicts more than 200 deep in one another"),
        ({1, "\ud83d\ude00"}, "both halves of a character"),
        (object, "type is of no kind that is kept"),
    ],
)
def test_what_is_refused_says_where_in_it_and_why(value: Any, words: str) -> None:
    with pytest.raises(NotJson) as refused:
        stored_xcom(value, "the XCom 'k' of a", ("dags/d.py", 7))
    text = str(refused.value)
    assert text.startswith("the XCom 'k' of a must be JSON (text, numbers, lists, dicts with text keys) or the like: ")
    assert words in text and "\n" not in text


def test_as_deep_as_a_value_may_be_it_may_be_of_any_kind() -> None:
    value: Any = 1
    for level in range(200):
        value = ((value,), {TAG: value}, classes.Outer.Inner(value), classes.Point(value))[level % 4]
    assert alike(through(value), value)


def test_a_datetime_of_ours_or_pendulums_is_a_datetime() -> None:
    moment = dates.datetime(2024, 1, 1, tzinfo=dates.UTC)
    assert through(moment_of(moment)) == moment and type(through(moment_of(moment))) is dates.datetime
    other = type("DateTime", (dates.datetime,), {"__module__": "pendulum.datetime"})(2024, 1, 1)
    assert through(other) == dates.datetime(2024, 1, 1)
    stamp = type("Timestamp", (dates.datetime,), {"__module__": "pandas"})(2024, 1, 1)
    with pytest.raises(NotJson, match="Timestamp is more than a datetime"):
        stored_xcom(stamp, "it")


def test_a_cached_property_is_computed_again() -> None:
    order = classes.Order(4)
    assert order.total == 8 and through(order) == order and "total" not in vars(through(order))
    order.more = 1  # type: ignore[attr-defined]
    with pytest.raises(NotJson, match="Order has 'more' here, which is no field of it"):
        stored_xcom(order, "it")


def test_no_code_of_a_class_runs_when_its_object_is_read() -> None:
    order = classes.Order(1)
    order.number = 99
    assert through(order).number == 99


def test_models_of_pydantic_come_back_as_they_were() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        at: dates.datetime
        tags: set[str] = set()

    class Loose(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        model_config = pydantic.ConfigDict(extra="allow")
        inner: Inner
        price: decimal.Decimal = decimal.Decimal(0)
        _kept: int = pydantic.PrivateAttr(3)

    for each in (Inner, Loose):
        each.__qualname__ = each.__name__
        setattr(sys.modules[__name__], each.__name__, each)
    value = Loose(inner=Inner(at="2024-01-01T00:00:00+00:00", tags={"a"}), more=[1])
    value._kept = 7
    found = through([value])[0]
    assert found == value and type(found.inner) is Inner and found.model_fields_set == {"inner", "more"}
    assert found._kept == 7 and found.more == [1]


# --- what is stored is not believed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({TAG: "data class", "class": "shop:Order", "of": {}}, "ModuleNotFoundError: No module named 'shop'"),
        ({TAG: "data class", "class": "antigravity:x", "of": {}}, "module 'antigravity' holds no class of an author's"),
        ({TAG: "data class", "class": "os:system", "of": {}}, "os has no class system"),
        ({TAG: "data class", "class": "subprocess:Popen", "of": {}}, "subprocess:Popen is no dataclass"),
        ({TAG: "data class", "class": f"{classes.__name__}:Nothing", "of": {}}, "has no class Nothing"),
        ({TAG: "data class", "class": f"{classes.__name__}:Plain", "of": {}}, "is no dataclass"),
        ({TAG: "data class", "class": f"{classes.__name__}:Place", "of": {"name": 1}}, "at is not in what was stored"),
        (
            {TAG: "data class", "class": f"{classes.__name__}:Place", "of": {"name": 1, "at": 1, "to": 1}},
            "to is no field of it",
        ),
        ({TAG: "enum", "class": f"{classes.__name__}:Colour", "name": "GREEN"}, "Colour has no member GREEN"),
        ({TAG: "named tuple", "class": f"{classes.__name__}:Point", "fields": ["x"], "of": [1]}, "other fields"),
        ({TAG: "of tomorrow", "of": 1}, "'of tomorrow' is no kind of value that this Tailrace knows"),
        ({TAG: "date", "of": "no date"}, "Invalid isoformat string"),
        ({TAG: "datetime", "of": "2024-01-01", "zone": "Nowhere/Here"}, "No time zone found with key Nowhere/Here"),
        ({TAG: "bytes", "of": "?"}, "Error"),
        ({TAG: ["date"], "of": 1}, "unhashable"),
        ({TAG: "tuple"}, "KeyError"),
        ({TAG: "set", "of": [[1]]}, "unhashable"),
    ],
)
def test_what_cannot_be_made_again_is_one_line(node: Any, words: str) -> None:
    with pytest.raises(XComUnreadable) as refused:
        value_of(Tagged([node]), "the XCom 'k' of a")
    text = str(refused.value)
    assert text.startswith("the XCom 'k' of a ") and words in text and "\n" not in text


@given(st.recursive(json_values, lambda inner: st.dictionaries(st.sampled_from([TAG, "of", "class", "name"]), inner)))
def test_whatever_is_stored_is_a_value_or_unreadable_and_can_be_shown(node: Any) -> None:
    readable(Tagged(node))
    items_of(Tagged(node))
    try:
        value_of(Tagged(node), "it")
    except XComUnreadable as wrong:
        assert "\n" not in str(wrong)


def test_reading_loads_nothing_that_was_not_asked_for() -> None:
    """No module of the standard library is loaded because it is named in what is stored."""
    code = (
        "import sys\nfrom tailrace.execution.xcoms.value_classes import class_named, NoSuchClass\n"
        "before = set(sys.modules)\n"
        "for name in ('antigravity:a', 'this:a', 'xmlrpc.server:SimpleXMLRPCServer', ':a', '__main__:x.y'):\n"
        "    try:\n        class_named(name)\n    except NoSuchClass:\n        pass\n"
        "assert set(sys.modules) == before, set(sys.modules) - before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert class_named(f"{classes.__name__}:Outer.Inner") is classes.Outer.Inner


# --- how many items, and how it is read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "items"),
    [((1, 2, 3), 3), ([dates.date(2024, 1, 1)], 1), ({"a": (1,)}, 1), ({TAG: 1, "b": 2}, 2), (classes.Point(1), 2)],
)
def test_a_task_is_expanded_over_the_items_of_a_value(value: Any, items: int) -> None:
    assert len(items_of(stored_xcom(value, "it"))) == items


def test_what_has_no_order_is_nothing_to_expand_over() -> None:
    for value in ({1, 2}, b"ab", classes.Order(1), dates.date(2024, 1, 1)):
        assert not isinstance(items_of(stored_xcom(value, "it")), (list, dict))


def test_how_people_read_it() -> None:
    value = {
        "day": dates.date(2024, 1, 31),
        "at": dates.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")),
        "took": dates.timedelta(hours=25),
        "price": decimal.Decimal("1.10"),
        "id": uuid.UUID(int=5),
        "raw": b"abc",
        "tags": {"b", "a"},
        "colour": classes.Colour.RED,
        "order": classes.Order(1, (2, classes.Point(3))),
        TAG: "costs",
    }
    assert readable(stored_xcom(value, "it")) == {
        "day": "2024-01-31",
        "at": "2024-07-01T12:00:00+02:00",
        "took": "1 day, 1:00:00",
        "price": "1.10",
        "id": "00000000-0000-0000-0000-000000000005",
        "raw": "YWJj",
        "tags": ["a", "b"],
        "colour": "red",
        "order": {"number": 1, "lines": [2, {"x": 3, "y": None}], "checked": False},
        TAG: "costs",
    }
