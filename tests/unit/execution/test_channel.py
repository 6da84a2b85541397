"""Messages between a worker and its task: whole, bounded, and never waited for on the worker's side."""

import socket
from collections.abc import Iterator

import pytest

from tailrace.execution.channel import LONGEST_MESSAGE, Garbled, TaskEnd, WorkerEnd


@pytest.fixture
def ends() -> Iterator[tuple[WorkerEnd, TaskEnd, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WorkerEnd(ours), TaskEnd(theirs), theirs


def test_messages_arrive_whole_and_in_order(ends: tuple[WorkerEnd, TaskEnd, socket.socket]) -> None:
    worker, task, _ = ends
    task.send({"n": 1})
    task.send({"n": "zwei\n"})
    assert [worker.hear(), worker.hear(), worker.hear()] == [{"n": 1}, {"n": "zwei\n"}, None]
    worker.post({"go": True})
    assert task.receive() == {"go": True}


def test_half_a_message_keeps_nobody(ends: tuple[WorkerEnd, TaskEnd, socket.socket]) -> None:
    worker, _, raw = ends
    raw.sendall(b'{"kind": ')
    assert worker.hear() is None
    raw.sendall(b'"success"}\n')
    assert worker.hear() == {"kind": "success"}


def test_a_task_that_does_not_listen_keeps_nobody(ends: tuple[WorkerEnd, TaskEnd, socket.socket]) -> None:
    worker, task, _ = ends
    large = {"xcom": "x" * 3_000_000}
    worker.post(large)  # far more than the socket holds: comes back at once
    assert worker.sending
    received = []
    while worker.sending:
        received.append(len(task._end.recv(1 << 20)))
        worker.go_on()
    received.append(0)
    assert sum(received) > 2_000_000


def test_the_end_is_heard_after_the_last_word(ends: tuple[WorkerEnd, TaskEnd, socket.socket]) -> None:
    worker, task, raw = ends
    task.send({"last": True})
    raw.close()
    assert worker.hear() == {"last": True}
    assert not worker.hung_up
    assert worker.hear() is None
    assert worker.hung_up
    worker.post({"into": "the void"})
    assert not worker.sending


@pytest.mark.parametrize("noise", [b"hello\n", b"[1]\n", b"\xff\xfe\n", b"null\n"])
def test_noise_is_garbled(ends: tuple[WorkerEnd, TaskEnd, socket.socket], noise: bytes) -> None:
    worker, _, raw = ends
    raw.sendall(noise)
    with pytest.raises(Garbled):
        worker.hear()


def test_an_endless_message_is_garbled(ends: tuple[WorkerEnd, TaskEnd, socket.socket]) -> None:
    worker, _, raw = ends
    raw.setblocking(False)
    with pytest.raises(Garbled, match="bytes"):
        for _ in range(LONGEST_MESSAGE // 1000):
            raw.send(b"x" * 60_000)
            worker.hear()


def test_a_task_hears_that_its_worker_is_gone(ends: tuple[WorkerEnd, TaskEnd, socket.socket]) -> None:
    worker, task, _ = ends
    worker.close()
    assert task.receive() is None
    with pytest.raises(OSError):
        task.send({"late": True})
