"""A worker process's side of its executor: the queue it takes tries from, its line to the job, its task's port.

Here are the worker's effects that need no metastore.
"""

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from tailrace.effects.asks import (
    AnswerTask,
    AwaitTask,
    DropTask,
    Effect,
    KillTask,
    NextTry,
    ParkTask,
    StartTask,
    StopTask,
    TellExecutor,
)
from tailrace.effects.tries import Submission
from tailrace.execution.port import TaskPort
from tailrace.model.keys import TryKey


class Order(StrEnum):
    """What the job tells a worker besides tries."""

    FINISH = "finish"  # see the try in hand through, then end
    TERMINATE = "terminate"  # end the running task, report it lost, then end
    KILL = "kill"  # the same, at once


class News(Struct, frozen=True):
    """What a worker tells the job. ``failure`` is what ended the worker itself, in one line."""

    done: TryKey | None = None
    took: TryKey | None = None
    failure: str = ""
    traceback: str = ""


@dataclass(slots=True)
class JobLine:
    """The worker's line to its job. A job that is gone means the same as FINISH."""

    socket: socket.socket
    ending: bool = field(default=False, init=False)
    at_once: bool = field(default=False, init=False)
    _terminate: bool = field(default=False, init=False)
    _hung_up: bool = field(default=False, init=False)

    def fileno(self) -> int:
        """The descriptor to poll; -1 when nothing more can come."""
        return -1 if self._hung_up else self.socket.fileno()

    def listen(self) -> None:
        """Read the orders that have come."""
        while not self._hung_up:
            try:
                message = self.socket.recv(64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                message = b""
            self.ending = True
            self._hung_up = not message
            self.at_once = self.at_once or message == Order.KILL.encode()
            self._terminate = self._terminate or self.at_once or message == Order.TERMINATE.encode()

    def terminate(self) -> bool:
        """Whether the running task is to be ended."""
        self.listen()
        return self._terminate

    @property
    def come_back(self) -> bool:
        """Never: the job goes on by itself."""
        return False

    def tell(self, news: News) -> None:
        """Tell the job; one that is gone needs no telling."""
        with suppress(OSError):
            self.socket.send(msgspec.msgpack.encode(news))


class WorkerChannel:
    """Performs a worker's effects that need no metastore."""

    def __init__(self, queue: socket.socket, job: JobLine, port: TaskPort) -> None:
        self._queue = queue
        self._job = job
        self._port = port
        self._done: TryKey | None = None  # still to be told, together with what is taken next
        self._perform: dict[type, Callable[[Any], Any]] = {
            NextTry: self._next,
            TellExecutor: self._tell,
            ParkTask: port.park,
            DropTask: port.drop,
            StartTask: port.start,
            AwaitTask: lambda effect: port.wait(effect, job),
            AnswerTask: port.answer,
            StopTask: port.stop,
            KillTask: port.kill,
        }

    def perform(self, effect: Effect[Any]) -> Any:
        """Perform one effect and return its answer."""
        return self._perform[type(effect)](effect)

    def _next(self, effect: NextTry) -> Submission | None:
        """The next try; None once the job hung up or gave an order to end."""
        poll = select.poll()
        poll.register(self._queue, select.POLLIN)
        poll.register(self._job, select.POLLIN)
        while True:
            self._job.listen()
            if self._job.ending:
                self._say()
                return None
            try:
                message = self._queue.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:  # nothing there, or another worker was faster
                self._say()
                self._port.rest()
                poll.poll()
                continue
            if not message:
                self._say()
                return None
            submission = msgspec.msgpack.decode(message, type=Submission)
            self._say(submission.key)
            return submission

    def _tell(self, effect: TellExecutor) -> None:
        self._done = effect.submission.key  # NextTry follows, and says it

    def _say(self, took: TryKey | None = None) -> None:
        if took is not None or self._done is not None:
            self._job.tell(News(done=self._done, took=took))
            self._done = None
