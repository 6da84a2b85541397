"""Inside the zygote: parks forked children for the workers, watches them, and kills their groups when it must.

Single-threaded and without a database connection, so that every fork is safe. A group is killed when its leader has
ended (whatever it left behind), when its worker has gone away, and when its worker has not renewed its deadline.
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.authoring.loading import LoadedDags
from tailrace.execution import process
from tailrace.execution.channel import Channel
from tailrace.execution.identity import start_time
from tailrace.execution.logs import write_streams_by_line

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class _Child:
    pid: int
    pidfd: int
    deadline: float | None = None  # on this process's monotonic clock


@dataclass(slots=True)
class _Worker:
    line: socket.socket
    children: dict[int, _Child] = field(default_factory=dict)


class Nursery:
    """Serves workers until the job and every worker have hung up."""

    def __init__(self, loaded: LoadedDags, dags: Path, home: Path, isolation: str, control: socket.socket) -> None:
        self._loaded = loaded
        self._dags = dags
        self._home = home
        self._isolation = isolation
        self._control: socket.socket | None = control
        self._workers: dict[int, _Worker] = {}
        self._owner: dict[int, _Worker] = {}  # by the child's pid
        self._selector = selectors.DefaultSelector()
        self._highest = max(map(int, os.listdir("/proc/self/fd")))  # of all descriptors held so far

    def run(self) -> None:
        """The zygote's whole life after loading."""
        write_streams_by_line()
        gc.collect()
        gc.freeze()  # children share these pages: a collection there must not touch them
        gc.disable()
        control = self._control
        assert control is not None
        self._selector.register(control, selectors.EVENT_READ, self._hear_job)
        while self._open_lines():
            for key, _ in self._selector.select(self._until_next_deadline()):
                key.data()
            self._kill_overdue()

    def _open_lines(self) -> bool:
        return self._control is not None or bool(self._workers)

    # --- the job and the workers ---------------------------------------------------------------------------

    def _hear_job(self) -> None:
        assert self._control is not None
        message, descriptors, _, _ = socket.recv_fds(self._control, 64, 1)
        if not message:
            self._selector.unregister(self._control)
            self._control.close()
            self._control = None
            return
        line = socket.socket(fileno=descriptors[0])
        self._highest = max(self._highest, line.fileno())
        worker = _Worker(line)
        self._workers[line.fileno()] = worker
        self._selector.register(line, selectors.EVENT_READ, lambda: self._hear_worker(worker))

    def _hear_worker(self, worker: _Worker) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(worker.line, 4096, 1)
        except ConnectionResetError:
            message, descriptors = b"", []
        if not message:
            self._worker_gone(worker)
            return
        order = json.loads(message)
        if "deadline" in order and (child := worker.children.get(order["pid"])) is not None:
            child.deadline = time.monotonic() + order["deadline"]
        if "kill" in order and order["pid"] in worker.children:
            with suppress(ProcessLookupError):
                os.killpg(order["pid"], order["kill"])
        if descriptors:
            self._park(worker, socket.socket(fileno=descriptors[0]))

    def _worker_gone(self, worker: _Worker) -> None:
        self._selector.unregister(worker.line)
        self._workers.pop(worker.line.fileno(), None)
        worker.line.close()
        for child in list(worker.children.values()):
            self._kill(child.pid)

    def _tell(self, worker: _Worker, message: dict[str, int | None]) -> None:
        with suppress(OSError):  # a worker that is gone is heard of by itself
            worker.line.send(json.dumps(message).encode())

    # --- children ------------------------------------------------------------------------------------------

    def _park(self, worker: _Worker, channel: socket.socket) -> None:
        parent = os.getpid()
        self._highest = max(self._highest, channel.fileno())
        pid = os.fork()
        if pid == 0:
            self._be_child(parent, channel)
        channel.close()
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)  # both sides do it, so that neither can be too late
        child = _Child(pid, os.pidfd_open(pid))
        self._highest = max(self._highest, child.pidfd)
        worker.children[pid] = child
        self._owner[pid] = worker
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._child_ended(child))
        self._tell(worker, {"parked": pid, "start": start_time(pid)})

    def _be_child(self, parent: int, channel: socket.socket) -> None:
        """The new process: alone, in its own group, waiting for the word before any user code."""
        code = 70
        try:
            os.setpgid(0, 0)
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(0)  # the zygote died in between
            for number in (signal.SIGINT, signal.SIGTERM):  # the zygote ignores them, a task must not
                signal.signal(number, signal.SIG_DFL)
            os.dup2(channel.fileno(), 3, inheritable=self._isolation == "spawn")
            if channel.fileno() != 3:
                channel.detach()
            os.closerange(4, self._highest + 1)  # a copy kept here would hide that others hung up
            if self._isolation == "spawn":
                module = "tailrace.execution.spawned"
                os.execv(sys.executable, [sys.executable, "-m", module, str(self._dags), str(self._home)])
            end = channel if channel.fileno() == 3 else socket.socket(fileno=3)
            again = self._isolation == "worker"
            code = process.serve(Channel(end), self._loaded, self._home, serve_again=again)
        finally:
            os._exit(code)

    def _child_ended(self, child: _Child) -> None:
        # Its corpse keeps the pid taken until it is reaped, so the group cannot be another's yet.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        worker = self._owner.pop(child.pid)
        worker.children.pop(child.pid, None)
        self._tell(worker, {"ended": child.pid, "status": os.waitstatus_to_exitcode(status)})

    def _kill(self, pid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    # --- deadlines -----------------------------------------------------------------------------------------

    def _deadlines(self) -> list[tuple[float, int]]:
        return [
            (child.deadline, child.pid)
            for worker in self._workers.values()
            for child in worker.children.values()
            if child.deadline is not None
        ]

    def _until_next_deadline(self) -> float | None:
        due = min(self._deadlines(), default=None)
        return None if due is None else max(0.0, due[0] - time.monotonic())

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for deadline, pid in self._deadlines():
            if deadline <= now:
                self._kill(pid)
