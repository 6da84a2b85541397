"""A class of a person's own keeps what tasks push where it likes, and makes it again for who pulls it."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import XComUnreadable
from tailrace.execution.xcoms import backend as xcom_backend
from tailrace.execution.xcoms.jsonable import NotJson
from tailrace.execution.xcoms.limits import BACKEND
from tailrace.execution.xcoms.reading import value_of
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.tagged_values import Tagged, items_of, readable, stored_text, stored_value
from tailrace.planning.lengths import stored_length

TI = TaskInstanceKey("d", "r", "a", 3)


class Kept:
    """Keeps what is long in a dict, under a name that says whose it is."""

    there: dict[str, Any] = {}

    def serialize_value(self, value: Any, *, key: str, task_id: str, dag_id: str, run_id: str, map_index: int) -> Any:
        if isinstance(value, (str, int)):
            return value
        name = f"{dag_id}/{run_id}/{task_id}/{map_index}/{key}"
        self.there[name] = value
        return {"url": name}

    def deserialize_value(self, stored: Any) -> Any:
        return self.there[stored["url"]]


class Broken:
    """Fails both ways."""

    def serialize_value(self, value: Any, **_: Any) -> Any:
        raise OSError("no room\nin the bucket")

    def deserialize_value(self, stored: Any) -> Any:
        raise OSError("no such bucket")


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = types.ModuleType("own_backends")
    module.Kept, module.Broken = Kept, Broken
    monkeypatch.setitem(sys.modules, "own_backends", module)
    xcom_backend._made.cache_clear()
    Kept.there.clear()

    def name(text: str) -> None:
        monkeypatch.setenv(BACKEND, text)

    name("own_backends:Kept")
    return name


def pushed(value: Any) -> Any:
    return stored_value(stored_text(stored_xcom(value, "the XCom 'k' of a", ("dags/a.py", 7), None, ("k", TI))))


def test_what_the_backend_keeps_comes_back_and_its_reference_is_stored_and_shown() -> None:
    value = [object(), object()]  # nothing that could be an XCom without it
    stored = pushed(value)
    assert isinstance(stored, Tagged)
    assert readable(stored) == {"url": "d/r/a/3/k"}
    assert value_of(stored, "it") is value


def test_what_it_leaves_is_stored_as_ever() -> None:
    assert pushed("text") == "text"
    assert pushed(5) == 5
    assert Kept.there == {}


@given(st.one_of(st.lists(st.integers()), st.tuples(st.text()), st.dictionaries(st.text(), st.integers()), st.floats()))
def test_tasks_are_expanded_over_what_is_kept_elsewhere(value: Any) -> None:
    length = stored_length(items_of(pushed(value)))
    assert length.length == (None if isinstance(value, float) else len(value))


def test_a_backend_that_fails_is_named_with_what_it_raised(named: Any) -> None:
    stored = pushed([1])
    named("own_backends:Broken")
    with pytest.raises(NotJson, match=r"the XCom backend own_backends:Broken raised OSError: no room in the bucket"):
        pushed([1])
    with pytest.raises(XComUnreadable, match=r"^it: the XCom backend own_backends:Broken raised OSError: no such"):
        value_of(stored, "it")


@pytest.mark.parametrize("name", ["own_backends:Nothing", "no_such_module:Kept", "no_such_name"])
def test_one_that_is_not_there_is_said(named: Any, name: str) -> None:
    named(name)
    with pytest.raises(NotJson, match=f"XCom backend '?{name}'?"):
        pushed([1])


def test_what_is_stored_names_no_class_that_is_made(named: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Tagged({"$": "backend", "backend": "os:system", "of": {"url": "x"}})
    with pytest.raises(XComUnreadable, match="own_backends:Kept raised KeyError"):
        value_of(forged, "it")
    monkeypatch.delenv(BACKEND)
    with pytest.raises(XComUnreadable, match="kept by the XCom backend os:system: name it as xcom_backend"):
        value_of(forged, "it")


def test_an_entry_point_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: Any) -> None:
    installed = tmp_path / "own_backends-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-backends\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[tailrace.xcom_backends]\nkept = own_backends:Kept\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    named("kept")
    assert value_of(pushed([1]), "it") == [1]
