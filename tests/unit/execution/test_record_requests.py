"""Questions about recorded runs come through between a task and its worker as they are; what is none is refused."""

import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from tailrace.effects.tries import XComQuery
from tailrace.execution.messages.channel import ProtocolError, TaskEnd, WorkerEnd, decode, encode
from tailrace.execution.messages.record_requests import asking, pulling
from tailrace.execution.messages.tries import question_in, reply_to
from tailrace.model.names import search_error
from tailrace.model.recorded import (
    Counted,
    RecordedRun,
    RecordedTaskInstance,
    RecordsQuery,
    RecordsRefused,
    RecordsReply,
    RunsFound,
    TaskInstancesFound,
    Wanted,
)
from tests.unit.model.anything import json_values, texts

names = texts.filter(lambda text: search_error(text) is None)
moments = st.datetimes(timezones=st.just(UTC))
several = st.none() | st.lists(names, max_size=3).map(tuple)
queries = st.builds(
    RecordsQuery,
    st.sampled_from(Wanted),
    names,
    run_ids=several,
    logical_dates=st.none() | st.lists(moments, max_size=3).map(tuple),
    states=several,
    run_types=several,
    before=st.none() | moments,
    first=st.none() | moments,
    last=st.none() | moments,
    task_ids=several,
    task_group_id=st.none() | names,
    map_index=st.none() | st.integers(-1, 2**31 - 1),
    newest=st.none() | st.integers(1, 10_000),
)
runs = st.builds(
    RecordedRun,
    dag_id=names,
    run_id=names,
    run_type=names,
    state=names,
    logical_date=moments,
    data_interval_start=moments,
    data_interval_end=moments,
    start_date=st.none() | moments,
    end_date=st.none() | moments,
    conf=st.dictionaries(texts, json_values, max_size=2),
)
instances = st.builds(
    RecordedTaskInstance,
    dag_id=names,
    run_id=names,
    task_id=names,
    map_index=st.integers(-1, 9),
    state=st.none() | names,
    try_number=st.integers(0, 9),
    max_tries=st.integers(0, 9),
    logical_date=moments,
    start_date=st.none() | moments,
)
replies = (
    st.lists(runs, max_size=2).map(lambda found: RunsFound(tuple(found)))
    | st.lists(instances, max_size=2).map(lambda found: TaskInstancesFound(tuple(found)))
    | st.builds(Counted, st.integers(0, 10**9))
)


def asked(ask: Any, reply: Any) -> tuple[Any, Any]:
    """What a task's question became at its worker, and what came back for this reply."""
    ours, theirs = socket.socketpair()
    found: list[Any] = []

    def answer() -> None:
        end = WorkerEnd(ours)
        ours.setblocking(True)
        while not found:
            message = end.receive()
            if message is not None:
                number, question = question_in(message)
                found.append(question)
                end.send(reply_to(number, reply))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        returned = ask(TaskEnd(theirs))
    finally:
        thread.join()
        ours.close()
        theirs.close()
    return found[0], returned


@given(queries, replies)
def test_a_question_and_its_reply_come_through(query: RecordsQuery, reply: RecordsReply) -> None:
    assert asked(lambda end: asking(end)(query), reply) == (query, reply)


def test_a_refusal_comes_through() -> None:
    query = RecordsQuery(Wanted.RUNS, "d")
    for refused in (RecordsRefused("there is no DAG d", unknown=True), RecordsRefused("too many")):
        assert asked(lambda end: asking(end)(query), refused) == (query, refused)


def test_a_pull_of_prior_dates_comes_through() -> None:
    until = datetime(2024, 1, 1, tzinfo=UTC)
    question, values = asked(lambda end: pulling(end)("d", "r", ("a",), "k", None, until), (("a", -1, 1),))
    assert question == XComQuery("d", "r", ("a",), "k", None, until)
    assert values == [["a", -1, 1]]


def test_once_the_worker_is_gone_it_says_so() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with pytest.raises(OSError):
        asking(TaskEnd(theirs))(RecordsQuery(Wanted.RUNS, "d"))
    theirs.close()


@pytest.mark.parametrize(
    "change",
    [
        {"wanted": "everything"},
        {"dag_id": "a\0"},
        {"run_ids": ["\ud800"]},
        {"run_ids": "abc"},
        {"run_ids": ["a"] * 5001},
        {"logical_dates": ["2024-01-01T00:00:00"]},
        {"logical_dates": ["2024-01-01T00:00:00+05:00"]},
        {"before": "0001-01-01T00:00:00+14:00"},
        {"before": 5},
        {"states": [None]},
        {"task_group_id": "\0"},
        {"map_index": -2},
        {"map_index": 2**31},
        {"newest": 0},
        {"newest": 10**9},
        {"more": 1},
    ],
    ids=lambda change: str(change)[:40],
)
def test_what_is_no_question(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        question_in({"id": 1, "records": {"wanted": "runs", "dag_id": "d", **change}})


@given(st.dictionaries(st.sampled_from(sorted(to_builtins(RecordsQuery(Wanted.RUNS, "d")))), json_values))
def test_whatever_is_sent_is_a_question_or_a_protocol_error(change: dict[str, Any]) -> None:
    message = {"id": 1, "records": {"wanted": "runs", "dag_id": "d", **change}}
    with suppress(ProtocolError):
        _, query = question_in(decode(encode(message)[:-1]))
        assert isinstance(query, RecordsQuery)
        dates = (query.before, query.first, query.last, *(query.logical_dates or ()))
        assert all(each is None or each.utcoffset() == timedelta(0) for each in dates)
