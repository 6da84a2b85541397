"""Messages between a worker and its task: whole, bounded, and never waited for on the worker's side."""

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.execution.messages.channel import (
    LONGEST_MESSAGE,
    NotToBeAsked,
    ProtocolError,
    TaskEnd,
    WorkerEnd,
    decode,
    encode,
)
from tests.unit.model.anything import json_values, texts

Ends: TypeAlias = tuple[WorkerEnd, TaskEnd, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WorkerEnd(ours), TaskEnd(theirs), theirs


def test_messages_arrive_whole_and_in_order(ends: Ends) -> None:
    worker, task, _ = ends
    task.send({"n": 1})
    task.send({"n": "zwei\n"})
    assert [worker.receive(), worker.receive(), worker.receive()] == [{"n": 1}, {"n": "zwei\n"}, None]
    worker.send({"key": {}, "go": True})
    assert task.receive() == {"key": {}, "go": True}


def test_a_text_travels_as_it_is(ends: Ends) -> None:
    worker, task, _ = ends
    text = "caf\udce9 \ud83d\ude00 \U0001f600 \0 \u2028 \x1b"
    task.send({"n": text})
    assert worker.receive() == {"n": text}


def test_half_a_message_keeps_nobody(ends: Ends) -> None:
    worker, _, raw = ends
    raw.sendall(b'{"kind": ')
    assert worker.receive() is None
    raw.sendall(b'"success"}\n')
    assert worker.receive() == {"kind": "success"}


def replying(worker: WorkerEnd, values: Callable[[dict[str, Any]], Any], stop: threading.Event) -> threading.Thread:
    """A worker in a thread of its own that answers every question."""

    def answer() -> None:
        while not stop.is_set() and not worker.hung_up:
            select.select([worker.fileno()], [], [], 0.01)
            while (question := worker.receive()) is not None:
                worker.send({"reply_to": question["id"], "value": values(question)})
                while worker.sending:
                    worker.go_on()

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


@pytest.fixture
def echoing(ends: Ends) -> Iterator[TaskEnd]:
    """A task's end whose worker answers each question with what is asked for."""
    worker, task, raw = ends
    raw.settimeout(60)  # an answer that nobody sends fails the test
    stop = threading.Event()
    thread = replying(worker, lambda question: question["query"], stop)
    yield task
    stop.set()
    thread.join()


def test_each_thread_gets_its_own_reply(echoing: TaskEnd) -> None:
    """In a ThreadPoolExecutor, pulls got the values that other threads had asked for, or waited for ever."""

    def ask(n: int) -> Any:
        answer = echoing.ask({"query": [n, "x" * (n % 7) * 20_000]})
        assert answer is not None
        return answer["value"][0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == list(range(200))


def test_a_reply_that_an_exception_interrupted_is_nobody_elses(ends: Ends) -> None:
    """A signal's handler may raise at any moment: SIGTERM's does, and a person's own timeout by SIGALRM."""
    worker, task, raw = ends
    for half in range(4):
        with pytest.raises(TimeoutError):
            with _interrupted(task, b"" if half == 0 else b'{"reply_to": 1, "value": "half'):
                task.ask({"query": half})
        question = worker.receive()
        assert question is not None and question["query"] == half
        worker.send({"reply_to": question["id"], "value": f"late {half}"})
    stop = threading.Event()
    thread = replying(worker, lambda question: question["query"], stop)
    answer = task.ask({"query": "next"})
    stop.set()
    thread.join()
    assert answer is not None and answer["value"] == "next"


@contextmanager
def _interrupted(task: TaskEnd, taken: bytes) -> Iterator[None]:
    """Raise TimeoutError out of the wait for an answer, of which so much has come already."""

    def interrupted() -> None:
        task._buffer += taken
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "_line", interrupted)
        yield


def test_after_the_outcome_nobody_asks(ends: Ends) -> None:
    """Whoever did would take the order of the next try for an answer."""
    worker, task, _ = ends
    task.report({"kind": "success"})
    with pytest.raises(NotToBeAsked, match="the try has ended"):
        task.ask({"query": 1})
    assert worker.receive() == {"kind": "success"}
    worker.send({"reply_to": 1, "late": True})
    worker.send({"key": {}, "again": True})
    assert task.receive() == {"key": {}, "again": True}


def test_a_forked_process_sends_nothing_for_the_task(ends: Ends) -> None:
    worker, task, _ = ends
    pid = os.fork()
    if pid == 0:
        try:
            task.ask({"query": 1})
        except NotToBeAsked:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert worker.receive() is None


def test_a_question_that_is_too_long_is_not_asked(ends: Ends) -> None:
    worker, task, _ = ends
    with pytest.raises(NotToBeAsked, match="bytes long; 16,777,216 is the limit"):
        task.ask({"query": "x" * LONGEST_MESSAGE})
    assert worker.receive() is None


def test_the_handler_of_a_signal_cannot_ask_in_the_middle_of_a_question(ends: Ends) -> None:
    _, task, _ = ends
    refused = []

    def line() -> None:
        try:
            task.ask({"query": "within"})
        except NotToBeAsked as no:
            refused.append(str(no))
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "_line", line)
        assert task.ask({"query": "outer"}) is None
    assert refused == ["a signal's handler cannot ask while the code that it interrupted does"]


def test_who_queries_and_reads_no_reply_fills_no_memory(ends: Ends) -> None:
    worker, _, raw = ends
    raw.sendall(encode({"query": 1}) * 20)
    assert worker.receive() == {"query": 1}
    worker.send({"reply_to": 1, "value": "x" * 10_000_000})
    assert worker.sending
    assert worker.receive() is None, "the next question is heard once this answer is taken"
    raw.close()
    worker.give_up()
    assert worker.receive() == {"query": 1}, "what a task has said before it ended is heard all the same"


def test_a_task_that_does_not_listen_keeps_nobody(ends: Ends) -> None:
    worker, task, _ = ends
    large = {"xcom": "x" * 3_000_000}
    worker.send(large)  # far more than the socket holds: comes back at once
    assert worker.sending
    received = []
    while worker.sending:
        received.append(len(task._end.recv(1 << 20)))
        worker.go_on()
    received.append(0)
    assert sum(received) > 2_000_000


def test_the_end_is_received_after_the_last_message(ends: Ends) -> None:
    worker, task, raw = ends
    task.report({"last": True})
    raw.close()
    assert worker.receive() == {"last": True}
    assert not worker.hung_up
    assert worker.receive() is None
    assert worker.hung_up
    worker.send({"into": "the void"})
    assert not worker.sending


NOISE = (b"hello", b"[1]", b"\xff\xfe", b"null", b"", b"1" * 5000, b"[" * 50_000, b'{"a":' * 10_000, b'{"a": "\xff"}')


@pytest.mark.parametrize("noise", NOISE)
def test_noise_is_a_protocol_error(ends: Ends, noise: bytes) -> None:
    worker, _, raw = ends
    raw.sendall(noise + b"\n" + encode({"kind": "success"}))
    with pytest.raises(ProtocolError):
        worker.receive()
    assert worker.hung_up and worker.receive() is None, "nothing is believed that comes behind it"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_protocol_error(line: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(decode(line), dict)


@given(st.dictionaries(texts, json_values, max_size=3))
def test_any_message_travels(message: dict[str, Any]) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1 and decode(line[:-1]) == message


def test_an_endless_message_is_a_protocol_error(ends: Ends) -> None:
    worker, _, raw = ends
    raw.setblocking(False)
    with pytest.raises(ProtocolError, match="bytes"):
        for _ in range(LONGEST_MESSAGE // 1000):
            raw.send(b"x" * 60_000)
            worker.receive()
    assert not worker._received and worker.receive() is None, "what there was of it is forgotten"


def test_a_task_notices_that_its_worker_is_gone(ends: Ends) -> None:
    worker, task, _ = ends
    worker.close()
    assert task.receive() is None
    with pytest.raises(OSError):
        task.report({"late": True})
