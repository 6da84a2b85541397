"""What comes from a task is believed only as far as it can be: of the right kinds, and such as can be stored."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.effects.tries import TryOutcome, Unreadable, XComQuery
from tailrace.execution.messages.channel import ProtocolError, decode, encode
from tailrace.execution.messages.tries import outcome_in, question_in, reply_to
from tailrace.model.json_values import require_storable
from tailrace.model.names import key_error
from tailrace.model.outcomes import MOST_XCOMS, OutcomeKind
from tailrace.model.plain_text import LONGEST_LINE, is_storable, visible_line
from tests.unit.model.anything import json_values, nested, texts

OUTCOME: dict[str, Any] = {"kind": "success", "error": "", "xcoms": {}, "followed": None, "again": False}
QUERY: dict[str, Any] = {"dag_id": "d", "run_id": "r", "task_ids": ["a"], "key": "k", "map_index": None}
moments = st.datetimes(min_value=datetime(1900, 1, 3), timezones=st.just(UTC))
QUESTION: dict[str, Any] = {"query": QUERY, "id": 1}


def test_an_outcome_as_it_is_sent() -> None:
    sent = {**OUTCOME, "kind": "failed", "error": "no", "xcoms": {"k": [1, "caf\udce9"]}, "followed": []}
    assert outcome_in(sent) == TryOutcome(OutcomeKind.FAILED, "no", {"k": [1, "caf\udce9"]}, (), in_log=True)


@given(moments, moments)
def test_what_is_rescheduled_says_until_when(until: datetime, ends: datetime) -> None:
    sent = {**OUTCOME, "kind": "rescheduled", "error": "asked once", "xcoms": {"k": 1}}
    got = outcome_in(decode(encode({**sent, "resumes_at": until.isoformat(), "times_out_at": ends.isoformat()})))
    kept = TryOutcome(OutcomeKind.RESCHEDULED, "asked once", {"k": 1}, in_log=True, resumes_at=until, times_out_at=ends)
    assert got == kept


def test_a_question_as_it_is_sent() -> None:
    assert question_in(QUESTION) == (1, XComQuery("d", "r", ("a",), "k", None))
    assert question_in({**QUESTION, "query": {**QUERY, "task_ids": [], "map_index": 3}})[1].map_index == 3


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rescheduled"},  # and it does not say until when
        {"kind": "rescheduled", "resumes_at": "soon"},
        {"kind": "rescheduled", "resumes_at": "2026-01-01T00:00:00"},  # where?
        {"kind": "rescheduled", "resumes_at": "0001-01-01T00:00:00+12:00"},
        {"kind": "rescheduled", "resumes_at": 5.0},
        {"resumes_at": "2026-01-01T00:00:00Z"},  # a success goes on no more
        {"kind": "lost"},  # it would be tried again at no cost
        {"kind": "won"},
        {"kind": ["success"]},
        {"kind": "succ\ud800ess"},
        {"error": 5},
        {"error": None},
        {"xcoms": None},
        {"xcoms": [["k", 1]]},
        {"xcoms": {"k\0": 1}},
        {"xcoms": {"\udcff": 1}},
        {"xcoms": {"k" * 513: 1}},
        {"xcoms": {"k": float("nan")}},
        {"xcoms": {"k": [float("-inf")]}},
        {"xcoms": {"k": nested(201)}},
        {"xcoms": {"k": "\ud83d\ude00"}},
        {"xcoms": {str(n): n for n in range(MOST_XCOMS + 1)}},
        {"followed": "abc"},
        {"followed": {"a": 1}},
        {"followed": [1]},
        {"again": 1},
        {"more": 1},
        {"query": QUERY},
    ],
    ids=lambda change: str(change)[:40],
)
def test_what_is_no_outcome(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        outcome_in({**OUTCOME, **change})


@pytest.mark.parametrize("name", OUTCOME)
def test_an_outcome_without_a_part_of_it(name: str) -> None:
    with pytest.raises(ProtocolError):
        outcome_in({key: value for key, value in OUTCOME.items() if key != name})


@pytest.mark.parametrize(
    "change",
    [
        {"dag_id": None},
        {"run_id": ["r"]},
        {"run_id": "r\0"},
        {"task_ids": "abc"},
        {"task_ids": [5, None]},
        {"task_ids": ["\udcff"]},
        {"task_ids": ["a\0"]},
        {"task_ids": {"a": 1}},
        {"key": 5},
        {"key": {"a": 1}},
        {"key": "\ud800"},
        {"map_index": 10**40},
        {"map_index": 2**31},
        {"map_index": -2},
        {"map_index": 1.0},
        {"map_index": True},
        {"map_index": "0"},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_query(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        question_in({**QUESTION, "query": {**QUERY, **change}})


@pytest.mark.parametrize("question", [{"query": QUERY}, {"id": 1}, {**QUESTION, "id": "1"}, {**QUESTION, "id": -1}])
def test_what_is_no_question(question: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        question_in(question)


def _changed(message: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The message with some of its parts replaced, left out or added."""
    anything = json_values | st.floats() | st.just({}) | st.lists(texts)
    changes = st.dictionaries(st.sampled_from(sorted(message)) | texts, anything, max_size=3)
    left_out = st.sets(st.sampled_from(sorted(message)), max_size=1)
    return st.builds(lambda new, out: {k: v for k, v in {**message, **new}.items() if k not in out}, changes, left_out)


@given(_changed(OUTCOME) | _changed({**OUTCOME, "xcoms": {"k": 1}}) | st.dictionaries(texts, json_values))
def test_whatever_is_sent_as_an_outcome_can_be_stored_or_is_a_protocol_error(message: dict[str, Any]) -> None:
    with suppress(ProtocolError):
        outcome = outcome_in(decode(encode(message)[:-1]))
        assert outcome.kind is not OutcomeKind.LOST
        assert outcome.error == visible_line(outcome.error) and len(outcome.error) <= LONGEST_LINE
        assert not any(map(key_error, outcome.xcoms))
        require_storable(dict(outcome.xcoms))


@given(_changed(QUERY), _changed(QUESTION))
def test_whatever_is_sent_as_a_query_can_be_asked_or_is_a_protocol_error(
    query: dict[str, Any], more: dict[str, Any]
) -> None:
    with suppress(ProtocolError):
        _, asked = question_in(decode(encode({**more, "query": query})[:-1]))
        assert all(map(is_storable, (asked.dag_id, asked.run_id, asked.key, *asked.task_ids)))
        assert asked.map_index is None or -1 <= asked.map_index < 2**31


def test_a_reply_begins_as_the_task_waits_for_it() -> None:
    assert encode(reply_to(7, (("a", -1, 1),))) == b'{"reply_to": 7, "xcom": [["a", -1, 1]]}\n'
    assert encode(reply_to(8, Unreadable("too much"))) == b'{"reply_to": 8, "refused": "too much"}\n'
