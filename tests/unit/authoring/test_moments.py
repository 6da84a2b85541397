"""The dates that a task gets are datetimes in every way, and have pendulum's methods where that is installed."""

import copy
import pickle
import sys
import types
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.authoring.context.moments import Moment, moment_of


@given(st.datetimes(timezones=st.one_of(st.none(), st.timezones())))
def test_it_is_the_datetime_that_it_was_made_of(moment: datetime) -> None:
    found = moment_of(moment)
    assert found == moment and hash(found) == hash(moment) and str(found) == str(moment) and repr(found) == repr(moment)
    assert (found.fold, found.tzinfo, found.isoformat()) == (moment.fold, moment.tzinfo, moment.isoformat())
    assert copy.deepcopy([found])[0] is found


def test_what_is_computed_of_it_has_the_methods_too() -> None:
    found = Moment.fromisoformat("2024-01-01T00:00:00+00:00")
    assert type(found + timedelta(1)) is type(found.replace(hour=1)) is type(found.astimezone(UTC)) is Moment


def test_elsewhere_it_is_a_plain_datetime() -> None:
    assert type(pickle.loads(pickle.dumps(moment_of(datetime(2024, 1, 1, tzinfo=UTC))))) is datetime


def test_a_method_that_a_datetime_has_not_is_pendulums(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stand:
        def __init__(self, moment: datetime) -> None:
            assert type(moment) is datetime
            self.moment = moment

        def subtract(self, days: int) -> datetime:
            return self.moment - timedelta(days=days)

    pendulum: Any = types.ModuleType("pendulum")
    pendulum.instance = Stand
    monkeypatch.setitem(sys.modules, "pendulum", pendulum)
    assert moment_of(datetime(2024, 1, 2)).subtract(days=1) == datetime(2024, 1, 1)
    assert not hasattr(moment_of(datetime(2024, 1, 2)), "dtype")


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pendulum", None)
    del sys.modules["pendulum"]
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(AttributeError, match="a datetime has no 'subtract'; if that is pendulum's, install the lib"):
        moment_of(datetime(2024, 1, 2)).subtract(days=1)
    assert "pendulum" not in sys.modules
