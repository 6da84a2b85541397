"""LocalExecutor: n worker processes that share one queue.

The queue is a socket: a submission is one message, and whichever worker is free receives the next, without asking the
job, which may be busy planning. Only a few are put there at a time, the most important first; the rest wait here.
"""

import heapq
import os
import pickle
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

from tailrace.effects.asks import (
    AnswerTask,
    AwaitTask,
    DropTask,
    Effect,
    KillTask,
    NextTry,
    ParkTask,
    StartTask,
    TellExecutor,
    Woken,
)
from tailrace.effects.tries import Submission
from tailrace.execution.port import TaskPort
from tailrace.execution.zygote import LoadReport, ZygoteHandle
from tailrace.model.keys import TryKey

_TERMINATE = "terminate"

#: While every worker has more to do, the end of one try waits this long for others to end, so that one planning step
#: serves several; with little left to do the job is woken at once.
_GATHER_SECONDS = 0.0


class WorkerChannel:
    """What a worker process has of its executor: the queue, a line to the job, and its task's port."""

    def __init__(self, queue: socket.socket, job: Connection, port: TaskPort) -> None:
        self._queue = queue
        self._job = job
        self._perform: dict[type, Callable[[Any], Any]] = {
            NextTry: self._next,
            TellExecutor: self._tell,
            ParkTask: port.park,
            DropTask: port.drop,
            StartTask: port.start,
            AwaitTask: lambda effect: port.wait(effect, self._interrupted()),
            AnswerTask: port.answer,
            KillTask: port.kill,
        }
        self._terminated = False

    def perform(self, effect: Effect[Any]) -> Any:
        """Perform an effect that needs no metastore."""
        return self._perform[type(effect)](effect)

    def _next(self, effect: NextTry) -> Submission | None:
        """The next try; None once the job hung up, or said terminate."""
        while not self._terminated:
            watched: list[Any] = [self._queue, self._job]
            ready, _, _ = select.select(watched, [], [])
            if self._job in ready:
                return None  # terminate, or the job is gone: either way nothing more is begun
            try:
                message = self._queue.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue  # another worker was faster
            if not message:
                return None
            submission: Submission = pickle.loads(message)  # from our own job
            with suppress(OSError):
                self._job.send(("took", submission.key))
            return submission
        return None

    def _tell(self, effect: TellExecutor) -> None:
        with suppress(OSError):  # a job that is gone needs no telling
            self._job.send(("done", effect.submission.key))

    def _interrupted(self) -> int:
        """The descriptor that says terminate; -1 when only the job's death could be heard there."""
        if self._terminated:
            return -1
        if not self._job.poll():
            return self._job.fileno()
        try:
            self._job.recv()
        except EOFError:
            self._terminated = True
            return -1  # the job is gone: this try is seen through and reported all the same
        self._terminated = True
        return self._job.fileno()


@dataclass(slots=True)
class _Worker:
    pid: int
    line: Connection
    trying: TryKey | None = None


@dataclass(slots=True)
class _Waiting:
    """Submissions not yet put into the queue, the most important first, then in the order they came."""

    heap: list[tuple[int, int, Submission]] = field(default_factory=list)
    count: int = 0

    def push(self, submission: Submission) -> None:
        heapq.heappush(self.heap, (-submission.priority, self.count, submission))
        self.count += 1

    def pop(self) -> Submission:
        return heapq.heappop(self.heap)[2]


class LocalExecutor:
    """Runs tries in ``workers`` processes of this host.

    ``worker_main(channel)`` is a worker's whole life; ``before_fork`` is called before each fork and must leave this
    process without an open database connection. ``wakeup`` is a descriptor whose readiness also ends a wait.
    """

    def __init__(
        self,
        workers: int,
        zygote: ZygoteHandle,
        worker_main: Callable[[WorkerChannel], None],
        *,
        before_fork: Callable[[], None],
        wakeup: int,
    ) -> None:
        self._zygote = zygote
        self._report: LoadReport = zygote.loaded()
        self._worker_main = worker_main
        self._before_fork = before_fork
        self._wakeup = wakeup
        self._put, self._queue = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._depth = 2 * workers  # enough that no worker ever waits for this process
        self._workers: list[_Worker] = []
        self._waiting = _Waiting()
        self._queued: dict[TryKey, Submission] = {}  # in the socket, not yet taken
        self._in_hand: set[TryKey] = set()
        self._stopping = False
        for _ in range(workers):
            self._start_worker()

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries; one already in hand is ignored."""
        for submission in submissions:
            if submission.key not in self._in_hand:
                self._in_hand.add(submission.key)
                self._waiting.push(submission)
        self._feed()

    def wait(self, seconds: float) -> Woken:
        """Wait until a try ends, a worker dies or a signal comes."""
        finished, lost = self._collect(0.0)
        if not finished and not lost and seconds > 0:
            finished, lost = self._collect(seconds)
        self._feed()
        return Woken(finished=finished, worker_lost=lost, busy=len(self._in_hand))

    def drain(self) -> None:
        """Take back what no worker has begun."""
        self._stopping = True
        while self._waiting.heap:
            self._in_hand.discard(self._waiting.pop().key)
        with suppress(BlockingIOError):
            while True:
                submission: Submission = pickle.loads(self._queue.recv(1 << 20, socket.MSG_DONTWAIT))
                self._queued.pop(submission.key, None)
                self._in_hand.discard(submission.key)

    def terminate(self) -> None:
        """Tell every worker to end its task and report it lost."""
        for worker in self._workers:
            with suppress(OSError):
                worker.line.send(_TERMINATE)

    def stop(self) -> None:
        """Hang up on the workers and wait for them: each finishes the try in hand first."""
        self._stopping = True
        self._put.close()
        self._queue.close()
        for worker in self._workers:
            worker.line.close()
        for worker in self._workers:
            os.waitpid(worker.pid, 0)
        self._workers.clear()

    # --- workers -------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        self._before_fork()
        job, theirs = Pipe()
        line = self._zygote.connect()
        pid = os.fork()
        if pid:
            line.close()
            theirs.close()
            self._workers.append(_Worker(pid, job))
            return
        code = 70
        try:
            os.setpgid(0, 0)  # Ctrl-C in the terminal is the job's to hear
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.set_wakeup_fd(-1)
            job.close()
            self._put.close()
            self._zygote.disown()
            for other in self._workers:
                other.line.close()  # a copy kept here would hide that the job hung up on them
            port = TaskPort(line, self._report.specs, self._report.isolation)
            self._worker_main(WorkerChannel(self._queue, theirs, port))
            code = 0
        finally:
            os._exit(code)

    def _collect(self, seconds: float) -> tuple[int, bool]:
        """Read what workers say, waiting for the first word; answers how many tries ended and whether a worker died."""
        finished, lost = 0, False
        poll = select.poll()
        by_descriptor = {worker.line.fileno(): worker for worker in self._workers}
        for descriptor in (*by_descriptor, *([self._wakeup] if self._wakeup >= 0 else [])):
            poll.register(descriptor, select.POLLIN)
        timeout = seconds * 1000
        gathered_by = time.monotonic() + _GATHER_SECONDS
        while True:
            ready = poll.poll(timeout)
            if ready and not finished:
                gathered_by = time.monotonic() + _GATHER_SECONDS
            if not ready:
                return finished, lost
            for descriptor, _ in ready:
                if descriptor == self._wakeup:
                    os.read(self._wakeup, 512)
                    return finished, lost
                ended, died = self._hear(by_descriptor[descriptor])
                finished += ended
                lost = lost or died
                if died:
                    poll.unregister(descriptor)
            self._feed()
            if finished or lost:
                # Take what else is here already, then go; or gather a little while nobody waits for this process.
                plenty = len(self._in_hand) > self._depth and not self._stopping and not lost
                timeout = max(0.0, (gathered_by - time.monotonic()) * 1000) if plenty else 0

    def _hear(self, worker: _Worker) -> tuple[int, bool]:
        finished = 0
        try:
            while worker.line.poll():
                word, key = worker.line.recv()
                self._queued.pop(key, None)
                if word == "took":
                    worker.trying = key
                else:
                    worker.trying = None
                    self._in_hand.discard(key)
                    finished += 1
        except (EOFError, OSError):
            self._bury(worker)
            return finished, True
        return finished, False

    def _bury(self, worker: _Worker) -> None:
        """A worker died. Its try is for the planner to find lost; here a new worker takes its place."""
        os.waitpid(worker.pid, 0)
        worker.line.close()
        self._workers.remove(worker)
        if worker.trying is not None:
            self._in_hand.discard(worker.trying)
        self._start_worker()

    def _feed(self) -> None:
        while self._waiting.heap and len(self._queued) < self._depth and not self._stopping:
            submission = self._waiting.pop()
            try:
                self._put.send(pickle.dumps(submission), socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._waiting.push(submission)
                return
            self._queued[submission.key] = submission
