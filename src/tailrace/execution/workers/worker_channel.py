"""A worker process's side of its executor: the queue it takes tries from, its connection to the job, its task runner.

Here are the worker's effects that need no metastore.
"""

import select
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from tailrace.effects.events import FailedCallback
from tailrace.effects.requests import (
    AwaitTask,
    DropTask,
    Effect,
    KillTask,
    NextTry,
    NotifyExecutor,
    Parked,
    ParkTask,
    ReplyToTask,
    StartTask,
    StillRunning,
    StopTask,
)
from tailrace.effects.tries import FailedTry, Submission, TaskRequest, TryOutcome
from tailrace.execution.workers.task_runner import TaskRunner
from tailrace.execution.zygote.handle import ZygoteGone
from tailrace.model.keys import TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.plain_text import visible_line

#: A worker that could have no process for a try waits so long before it asks for another.
REFUSED_SECONDS = 1.0

#: Of a failed worker's traceback so much is reported, in characters: its end, where it failed.
_MOST_OF_A_TRACEBACK = 8_000


class Order(StrEnum):
    """What the job sends a worker besides tries."""

    FINISH = "finish"  # see the try in hand through, then end
    TERMINATE = "terminate"  # end the running task, report it lost, then end
    KILL = "kill"  # the same, at once


class WorkerReport(Struct, frozen=True):
    """What a worker reports to the job. ``failure`` is what ended the worker itself, in one line.

    ``lost``: this try was in a zygote with others as it died, which is reported to the metastore next. ``back``: the
    try that is ``done`` was not begun, for lack of what ``refused`` names; ``relieved``: that is there. ``failed``: how
    the one that is ``done`` ended, where it did not succeed.
    """

    done: TryKey | None = None
    failed: FailedTry | None = None
    took: TryKey | None = None
    lost: TryKey | None = None
    back: Submission | None = None
    refused: str = ""
    relieved: bool = False
    failure: str = ""
    traceback: str = ""
    callback: FailedCallback | None = None  # that could not be called, or failed

    @classmethod
    def of_failure(cls, text: str) -> "WorkerReport":
        """What ended this worker, in few enough bytes for one message: any value may be in it."""
        line = visible_line(text.partition("\n")[0])
        return cls(failure=line, traceback=traceback.format_exc()[-_MOST_OF_A_TRACEBACK:])


@dataclass(slots=True)
class JobChannel:
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

    def send(self, report: WorkerReport) -> None:
        """Tell the job; one that is gone needs no writer."""
        with suppress(OSError):
            self.socket.send(msgspec.msgpack.encode(report))


class WorkerChannel:
    """Performs a worker's effects that need no metastore."""

    def __init__(self, queue: socket.socket, job: JobChannel, runner: TaskRunner) -> None:
        self._queue = queue
        self._job = job
        self.runner = self._runner = runner
        self._trying: TryKey | None = None
        self._done: TryKey | None = None  # still to be reported, together with what is taken next
        self._failed: FailedTry | None = None  # how it failed
        self._back: Submission | None = None  # the same, where it was not begun
        self._refused = ""  # for want of this
        self._not_before = 0.0  # then it waits a moment before it takes another
        self._perform: dict[type, Callable[[Any], Any]] = {
            NextTry: self._next,
            NotifyExecutor: self._notify,
            ParkTask: self._park,
            DropTask: runner.drop,
            StartTask: runner.start,
            AwaitTask: self._await,
            ReplyToTask: runner.reply,
            StopTask: runner.stop,
            KillTask: runner.kill,
        }

    def perform(self, effect: Effect[Any]) -> Any:
        """Perform one effect and return its result."""
        return self._perform[type(effect)](effect)

    def pause(self, seconds: float) -> bool:
        """Wait so long. False: the job hung up or gave an order to end. Raises ZygoteGone."""
        self._job.listen()
        if not self._job.ending:
            self._wait(seconds, self._job, self._runner)
            self._job.listen()
        return not self._job.ending

    def tell_of(self, failed: FailedCallback) -> None:
        """Tell the job of a callback that failed."""
        self._job.send(WorkerReport(callback=failed))

    def _next(self, effect: NextTry) -> Submission | None:
        """The next try; None once the job hung up or gave an order to end. Raises ZygoteGone."""
        while True:
            self._runner.listen()  # before anything is reported: a try that was lost with the zygote is not over
            self._job.listen()
            if self._job.ending:
                self._report()
                return None
            left = self._not_before - time.monotonic()
            if left > 0:
                self._report()
                self._wait(left, self._job, self._runner)
                continue
            try:
                message = self._queue.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:  # nothing there, or another worker was faster
                self._report()
                self._runner.rest()
                self._wait(None, self._job, self._runner, self._queue)
                continue
            if not message:
                self._report()
                return None
            submission = msgspec.msgpack.decode(message, type=Submission)
            self._trying = submission.key
            self._report(submission.key)
            return submission

    def _wait(self, seconds: float | None, *report: JobChannel | TaskRunner | socket.socket) -> None:
        poll = select.poll()
        for each in report:
            poll.register(each, select.POLLIN)
        ready = poll.poll(None if seconds is None else seconds * 1000)
        if any(descriptor == self._runner.fileno() for descriptor, _ in ready):
            self._runner.listen()

    def _park(self, effect: ParkTask) -> Parked | None:
        try:
            parked = self._runner.park(effect)
        except ZygoteGone:  # nothing was claimed
            self._job.send(WorkerReport(done=effect.submission.key, back=effect.submission))
            raise
        if parked is None:
            self._refused, self._not_before = self._runner.refusal, time.monotonic() + REFUSED_SECONDS
        elif self._refused:
            self._refused = ""
            self._job.send(WorkerReport(relieved=True))
        return parked

    def _await(self, effect: AwaitTask) -> TryOutcome | TaskRequest | StillRunning | None:
        report = self._runner.wait(effect, self._job)
        if isinstance(report, TryOutcome) and report.kind is OutcomeKind.LOST_TOGETHER:
            self._job.send(WorkerReport(lost=self._trying))
        return report

    def _notify(self, effect: NotifyExecutor) -> None:
        self._done, self._failed = effect.submission.key, effect.failed  # NextTry follows, and reports it
        self._back = effect.submission if self._refused else None

    def _report(self, took: TryKey | None = None) -> None:
        if took is not None or self._done is not None:
            refused = self._refused if self._back is not None else ""
            report = WorkerReport(done=self._done, failed=self._failed, took=took, back=self._back, refused=refused)
            self._job.send(report)
            self._done = self._failed = self._back = None
