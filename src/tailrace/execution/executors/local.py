"""LocalExecutor: n worker processes that share one queue.

The queue is a socket: a submission is one message, and whichever worker is free receives the next, without asking the
job, which may be busy planning. Only a few are put there at a time, the most important first; the rest wait here.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from tailrace.effects.events import FailedCallback
from tailrace.effects.requests import WaitResult
from tailrace.effects.tries import FailedTry, Submission
from tailrace.errors import EnvironmentBroken, InternalError, TailraceError
from tailrace.execution.messages.tries import signal_name
from tailrace.execution.system.running_marks import RunningMark, RunningMarks
from tailrace.execution.system.shortage import is_shortage, shortage_text
from tailrace.execution.workers.submissions import WaitingSubmissions
from tailrace.execution.workers.task_runner import TaskRunner
from tailrace.execution.workers.worker_channel import JobChannel, Order, WorkerChannel, WorkerReport
from tailrace.execution.zygote.handle import ZygoteGone, ZygoteHandle
from tailrace.execution.zygote.keeping import AGAIN_SECONDS, ZygoteKeeper
from tailrace.model.keys import TryKey

#: So many workers may fail one after another, with no try ended in between, before the job gives up.
FAILURES_IN_A_ROW = 4

#: A worker ends with this exit code when its zygote has died.
_ZYGOTE_GONE = 75


@dataclass(slots=True)
class _Worker:
    pid: int
    connection: socket.socket
    marks: RunningMarks  # of the zygote it was started for
    mark: RunningMark
    trying: TryKey | None = None
    failure: str = ""  # its error as it failed
    traceback: str = ""
    refused: str = ""  # what it lacks to begin a try


class LocalExecutor:
    """Runs tries in ``workers`` processes of this host.

    ``worker_main(channel)`` is a worker's whole life; ``before_fork`` is called before each fork and must leave this
    process without an open database connection; ``in_worker`` is called first thing in each worker, to close what it
    inherited and must not hold. ``wakeup`` is a descriptor whose readiness also ends a wait. ``notify`` is called with
    one line for a person when a worker or the zygote came to a bad end, ``lost_together`` with each try that was in a
    zygote with others as it died, ``on_failure`` with each that failed, ``on_callback`` with each callback that did;
    logs are below ``home``. ``once``: after the zygote's death there is no other.
    """

    def __init__(
        self,
        workers: int,
        zygote: ZygoteHandle,
        worker_main: Callable[[WorkerChannel], None],
        *,
        before_fork: Callable[[], None],
        wakeup: int,
        grace_seconds: float,
        in_worker: Callable[[], None] = lambda: None,
        notify: Callable[[str], None] = lambda text: None,
        lost_together: Callable[[TryKey], None] = lambda key: None,
        on_failure: Callable[[FailedTry], None] = lambda failed: None,
        on_callback: Callable[[FailedCallback], None] = lambda failed: None,
        home: Path | None = None,
        once: bool = False,
    ) -> None:
        self._in_worker = in_worker
        self._grace_seconds = grace_seconds
        self._notify = notify
        self._lost_together = lost_together
        self._on_failure, self._on_callback = on_failure, on_callback
        self._home = home
        self._once = once
        self._keeper = ZygoteKeeper(zygote, workers, notify)
        self._worker_main = worker_main
        self._before_fork = before_fork
        self._wakeup = wakeup
        self._put, self._queue = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._size = workers
        self._depth = 2 * workers  # enough that no worker ever waits for this process
        self._workers: list[_Worker] = []
        self._waiting = WaitingSubmissions()
        self._queued: set[TryKey] = set()  # in the socket, not yet known to be taken
        self._in_hand: set[TryKey] = set()
        self._failures = 0
        self._early = _Events()  # received between two waits
        self._stopping = False
        try:
            for _ in range(workers):
                self._start_worker()
        except ZygoteGone:  # it died a moment after it had loaded
            self._zygote_hung_up()
        except OSError as trouble:
            started = len(self._workers)
            self.stop()
            raise EnvironmentBroken(
                f"{started} of {workers} workers could be started ({trouble.strerror}): use fewer workers, "
                "or allow more processes and open files (ulimit -u, ulimit -n)"
            ) from trouble
        except BaseException:
            self.stop()  # the zygote ends when the workers have
            raise

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries; one already in hand is ignored."""
        for submission in submissions:
            if submission.key not in self._in_hand:
                self._in_hand.add(submission.key)
                self._waiting.push(submission)
        self._feed()

    def wait(self, seconds: float) -> WaitResult:
        """Wait until a try ends, a worker dies or a signal comes. Raises EnvironmentBroken if no worker can live."""
        is_waiting = len(self._workers) < self._size or self._keeper.is_waiting
        if self._early.anything:
            seconds = 0.0
        events = self._listen(min(seconds, AGAIN_SECONDS / 2) if is_waiting and not self._stopping else seconds)
        self._early, events = _Events(), events.with_(self._early)
        self._see_to_workers()
        self._keeper.write_line(self.trouble)
        self._feed()
        return WaitResult(finished=events.finished, worker_lost=events.lost, busy=len(self._in_hand))

    def catch_up(self) -> None:
        """Receive what has arrived by now; the next ``wait`` returns it."""
        self._early = self._listen(0.0).with_(self._early)

    @property
    def has_ended(self) -> bool:
        """Whether no worker is left, and none will be."""
        return self._stopping and not self._workers

    @property
    def trouble(self) -> str:
        """What keeps tries from being begun just now, in one line; empty: nothing."""
        return self._keeper.shortage or next((worker.refused for worker in self._workers if worker.refused), "")

    def drain(self) -> None:
        """Take back what no worker has begun."""
        self._stopping = True
        while self._waiting.heap:
            self._in_hand.discard(self._waiting.pop().key)
        for submission in self._take_back():
            self._in_hand.discard(submission.key)

    def terminate(self, *, at_once: bool = False) -> None:
        """Tell every worker to end its task and report it lost."""
        self._stopping = True
        self._order(Order.KILL if at_once else Order.TERMINATE)

    def stop(self) -> None:
        """Have each worker finish the try in hand and go. A signal meanwhile ends those tries, another one at once."""
        if self._put.fileno() < 0:
            return
        self.drain()
        self._order(Order.FINISH)
        signals = 0
        while self._workers:
            if self._listen(None).signalled:
                signals += 1
                self.terminate(at_once=signals > 1)
        self._put.close()
        self._queue.close()

    def disown(self) -> None:
        """In a forked process that is none of ours: close what it inherited, so that our workers see us hang up."""
        self._keeper.zygote.disown()
        for connection in (self._put, self._queue, *(worker.connection for worker in self._workers)):
            connection.close()

    # --- workers -------------------------------------------------------------------------------------------

    def _see_to_workers(self) -> None:
        """Have as many workers as there should be, as soon as they can be had."""
        if self._stopping or not self._keeper.is_ready():
            return
        try:
            while len(self._workers) < self._size:
                self._start_worker()
        except ZygoteGone:
            self._zygote_hung_up()
        except OSError as trouble:
            if not is_shortage(trouble):
                raise
            self._keeper.set_shortage(shortage_text("a worker cannot be started", trouble.errno or 0))
        else:
            self._keeper.shortage = ""

    def _start_worker(self) -> None:
        marks = self._keeper.marks
        taken = {worker.mark.number for worker in self._workers if worker.marks is marks}
        mark = marks.mark(next(number for number in range(self._size) if number not in taken))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._before_fork()  # not before there is a descriptor: who lets go of a file must be able to open it
                with self._keeper.zygote.connect() as connection:
                    pid = os.fork()
                    if pid == 0:
                        self._be_worker(ours, theirs, connection, mark)
            except (OSError, ZygoteGone):
                ours.close()
                raise
        self._workers.append(_Worker(pid, ours, marks, mark))

    def _be_worker(
        self, ours: socket.socket, theirs: socket.socket, connection: socket.socket, mark: RunningMark
    ) -> NoReturn:
        code = 70
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.setpgid(0, 0)  # Ctrl-C in the terminal is for the job alone
            self._in_worker()
            ours.close()
            self._put.close()
            self._keeper.zygote.disown()
            for other in self._workers:
                other.connection.close()  # a copy kept here would hide that the job hung up on them
            job = JobChannel(theirs)
            try:
                specs, reusable = self._keeper.report.specs, self._keeper.report.reusable
                port = TaskRunner(connection, specs, reusable, self._grace_seconds, mark, self._home)
                self._worker_main(WorkerChannel(self._queue, job, port))
                code = 0
            except ZygoteGone:
                code = _ZYGOTE_GONE
            except TailraceError as broken:
                code = broken.exit_code
                job.send(WorkerReport.of_failure(str(broken)))
            except Exception as bug:
                job.send(WorkerReport.of_failure(f"{type(bug).__name__}: {bug}"))
        finally:
            os._exit(code)

    def _order(self, order: Order) -> None:
        for worker in self._workers:
            with suppress(OSError):  # one that is gone is noticed by itself
                worker.connection.send(order.encode(), socket.MSG_DONTWAIT)

    # --- messages ----------------------------------------------------------------------------------------------

    def _listen(self, seconds: float | None) -> "_Events":
        """Wait for the first end of a try, of a worker, or signal; take with it all that is there by then."""
        events = _Events()
        poll = select.poll()
        by_descriptor = {worker.connection.fileno(): worker for worker in self._workers}
        for descriptor in (*by_descriptor, *([self._wakeup] if self._wakeup >= 0 else [])):
            poll.register(descriptor, select.POLLIN)
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            if events.anything:
                left: float | None = 0.0
            else:
                left = None if until is None else max(0.0, until - time.monotonic()) * 1000
            ready = poll.poll(left)
            for descriptor, _ in ready:
                if descriptor == self._wakeup:
                    os.read(self._wakeup, 512)
                    events.signalled = True
                else:
                    self._receive(by_descriptor[descriptor], events)
            if not ready or events.lost or events.signalled:
                return events
            self._feed()

    def _receive(self, worker: _Worker, events: "_Events") -> None:
        while True:
            try:
                message = worker.connection.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                message = b""
            if not message:
                events.lost = True
                self._reap(worker)
                return
            report = msgspec.msgpack.decode(message, type=WorkerReport)
            worker.failure, worker.traceback = report.failure, report.traceback
            if report.lost is not None:
                self._lost_together(report.lost)
            if report.relieved:
                worker.refused = ""
            if report.callback is not None:
                self._on_callback(report.callback)
            if report.failed is not None:
                self._on_failure(report.failed)
            if report.done is not None:
                worker.trying, worker.refused = None, report.refused
                self._in_hand.discard(report.done)
                if report.back is None:
                    self._failures = 0
                    self._keeper.try_ended()
                    events.finished += 1
                elif not self._stopping:
                    self._in_hand.add(report.done)
                    self._waiting.push(report.back)
            if report.took is not None:
                self._queued.discard(report.took)
                self._in_hand.add(report.took)
                worker.trying = report.took

    def _reap(self, worker: _Worker) -> None:
        """A worker has ended. Its try is for the planner to find lost; another will take its place."""
        _, status = os.waitpid(worker.pid, 0)
        worker.connection.close()
        self._workers.remove(worker)
        for submission in self._take_back():
            self._waiting.push(submission)
        # Others were taken without a report yet, perhaps by the dead one: they may be offered again, and claimed once.
        self._in_hand -= self._queued
        self._queued.clear()
        if worker.trying is not None:
            self._in_hand.discard(worker.trying)
        code = os.waitstatus_to_exitcode(status)
        if code == _ZYGOTE_GONE:
            if worker.marks is self._keeper.marks and not self._stopping:
                self._zygote_hung_up()
            return
        if not self._keeper.zygote.has_ended():
            worker.mark.runs(False)
        if self._stopping:
            return
        if code > 0:
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW:
                raise _failure(worker, code)
        if code not in (0, EnvironmentBroken.exit_code):  # a broken environment is reported once, when it ends the job
            self._notify(f"a worker {_how(worker, code)}; another takes its place")

    def _zygote_hung_up(self) -> None:
        if self._once:
            self._stopping = True
        else:
            self._keeper.hung_up()

    # --- the queue -----------------------------------------------------------------------------------------

    def _feed(self) -> None:
        while self._waiting.heap and len(self._queued) < self._depth and not self._stopping:
            submission = self._waiting.pop()
            try:
                self._put.send(msgspec.msgpack.encode(submission), socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._waiting.push(submission)
                return
            self._queued.add(submission.key)

    def _take_back(self) -> list[Submission]:
        """Empty the queue of what no worker has taken."""
        back: list[Submission] = []
        with suppress(BlockingIOError):
            while True:
                submission = msgspec.msgpack.decode(self._queue.recv(1 << 20, socket.MSG_DONTWAIT), type=Submission)
                self._queued.discard(submission.key)
                back.append(submission)
        return back


@dataclass(slots=True)
class _Events:
    finished: int = 0
    lost: bool = False
    signalled: bool = False

    @property
    def anything(self) -> bool:
        return bool(self.finished or self.lost or self.signalled)

    def with_(self, earlier: "_Events") -> "_Events":
        return _Events(self.finished + earlier.finished, self.lost or earlier.lost, self.signalled or earlier.signalled)


def _how(worker: _Worker, code: int) -> str:
    if code < 0:
        return f"was killed by {signal_name(-code)}"
    return f"failed: {worker.failure}" if worker.failure else f"ended with exit code {code}"


def _failure(worker: _Worker, code: int) -> TailraceError:
    text = f"the workers cannot work: {worker.failure or f'they end with exit code {code}'}"
    error = EnvironmentBroken(text) if code == EnvironmentBroken.exit_code else InternalError(text)
    error.add_note(worker.traceback)
    return error
