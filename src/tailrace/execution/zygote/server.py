"""Inside the zygote: parks forked children for the workers, watches them, and kills their groups when it must.

Single-threaded and without a database connection, so that every fork is safe. A group is killed when its leader has
ended (whatever it left behind), when its worker has gone away, and when its worker has not renewed its deadline.
"""

import errno
import gc
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from tailrace.authoring.loading.load import LoadedDags
from tailrace.authoring.loading.module_space import ModuleSpace
from tailrace.execution.messages.channel import TaskEnd
from tailrace.execution.messages.loading_process import LoadRequest
from tailrace.execution.system.fresh_interpreter import command_for
from tailrace.execution.system.identity import start_time
from tailrace.execution.system.process_guard import Deadline, ProcessGuard, adopt_orphans, die_with_parent
from tailrace.execution.tries import process, serving
from tailrace.execution.tries.reuse import may_serve_again
from tailrace.execution.tries.warmup import warm_up
from tailrace.execution.zygote.process import Lines
from tailrace.execution.zygote.protocol import DESCRIPTOR, ENDED, EVENT, ORDER, PARKED, REFUSED

_BESIDE = socket.CMSG_LEN(DESCRIPTOR.size)

#: While killed processes take their time to end, they are looked after this often.
_DYING_SECONDS = 0.002
#: One that does not end for so long hangs in the kernel: its try is over all the same.
_STUCK_SECONDS = 5.0
#: The kernel kills this process when it has not shown itself for so long (and half of a task's deadline at most): what
#: it has not received by then, it cannot end in time. With it go all tasks.
_SILENT_SECONDS = 7.0
#: A task so much later than its deadline (as a part of the time it was given, or in seconds) is the kernel's to end.
_KERNEL_PART, _KERNEL_SECONDS = 0.05, 0.25


@dataclass(slots=True)
class _Child:
    """The leader of a task's group."""

    pid: int
    pidfd: int
    deadline: float | None = None  # on this process's monotonic clock
    kernel_deadline: float = math.inf  # shortly after it
    overdue: bool = False
    exit_code: int = 0  # known once it has ended, while others of its group are still ending
    given_up_at: float = 0.0


@dataclass(slots=True)
class _Worker:
    connection: socket.socket
    children: dict[int, _Child] = field(default_factory=dict)


def reusable_tasks(loaded: LoadedDags, isolation: str) -> frozenset[tuple[str, str]]:
    """Which tasks, by dag id and task id, one process may serve after the other."""
    if isolation == "spawn":
        return frozenset()
    return frozenset(
        (dag.dag_id, task.task_id)
        for dag in loaded.dags.values()
        for task in dag.task_dict.values()
        if isolation == "worker" or (not loaded.spaces[dag.dag_id].changes and may_serve_again(dag, task))
    )


class ZygoteServer:
    """Serves workers until the job and every worker have hung up."""

    def __init__(self, loaded: LoadedDags, request: LoadRequest, isolation: str, lines: Lines) -> None:
        self._loaded = loaded
        self._dags = os.fsdecode(request.dags)
        self._home = os.fsdecode(request.home)
        self._isolation = isolation
        self._control: socket.socket | None = socket.socket(fileno=lines.control)
        self._kept = lines.kept
        if isolation != "spawn":  # those that are forked have the code already
            os.close(lines.kept)
        self._workers: dict[int, _Worker] = {}  # by their line's descriptor
        self._owner: dict[int, _Worker] = {}  # by the child's pid
        self._dying: list[_Child] = []  # the leader is gone, its group not yet
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}  # by the descriptor that is ready
        self._pid = os.getpid()
        self._guard = ProcessGuard()
        self._deadline = Deadline()
        self._killed_at = 0.0  # by the kernel, unless this process puts it off
        self._silent_seconds = _SILENT_SECONDS

    def run(self) -> None:
        """The zygote's whole life after loading."""
        process.handle_signals(self._pid)
        process.after_loading()
        adopt_orphans()
        gc.collect()
        gc.freeze()  # children share these pages: a collection there must not touch them
        if self._isolation != "spawn":
            warm_up(self._loaded)
            spaces = {space.file: space for space in self._loaded.spaces.values()}
            ModuleSpace.have_loaded(next(iter(spaces.values())) if len(spaces) == 1 else None)
            gc.freeze()
        gc.disable()
        control = self._control
        assert control is not None
        self._listen_to(control.fileno(), self._read_job)
        while self._control is not None or self._workers:
            seconds = self._look_ahead()
            for descriptor, _ in self._poll.poll(_DYING_SECONDS if self._dying else seconds):
                self._handlers[descriptor]()
            if self._dying:
                self._report_dead()
            self._kill_overdue()

    def _listen_to(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def _listen_no_more_to(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._handlers[descriptor]

    # --- the job and the workers ---------------------------------------------------------------------------

    def _read_job(self) -> None:
        assert self._control is not None
        try:
            # Not recv_fds: Python 3.11's drops the flag, and what a task starts would have the descriptor too.
            message, beside, _, _ = self._control.recvmsg(64, _BESIDE, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            message, beside = b"", []
        if not message:
            self._listen_no_more_to(self._control.fileno())
            self._control.close()
            self._control = None
            return
        if not beside:  # there was no descriptor left to take it: that worker sees its connection closed
            return
        connection = socket.socket(fileno=DESCRIPTOR.unpack(beside[0][2])[0])
        worker = _Worker(connection)
        self._workers[connection.fileno()] = worker
        self._listen_to(connection.fileno(), partial(self._read_worker, worker))

    def _read_worker(self, worker: _Worker) -> None:
        try:
            message, beside, flags, _ = worker.connection.recvmsg(ORDER.size, _BESIDE, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            message, beside, flags = b"", [], 0
        if not message:
            self._worker_gone(worker)
            return
        pid, number, deadline = ORDER.unpack(message)
        child = worker.children.get(pid)  # one that has ended is in no list any more
        if child is not None:
            if not math.isnan(deadline):
                self._set_deadline(child, deadline)
            if number:
                _signal(child, number)
        for _, _, descriptor in beside:
            self._park(worker, *DESCRIPTOR.unpack(descriptor))
        if flags & socket.MSG_CTRUNC:  # no descriptor is left for the one that came beside
            self._send_event(worker, REFUSED, 0, errno.EMFILE)

    def _worker_gone(self, worker: _Worker) -> None:
        self._listen_no_more_to(worker.connection.fileno())
        self._workers.pop(worker.connection.fileno(), None)
        worker.connection.close()
        for child in worker.children.values():
            _signal(child, signal.SIGKILL)

    def _send_event(self, worker: _Worker, kind: int, pid: int, number: int, overdue: bool = False) -> None:
        with suppress(OSError):  # a worker that is gone is noticed by itself
            worker.connection.send(EVENT.pack(kind, pid, number, overdue), socket.MSG_DONTWAIT)

    # --- children ------------------------------------------------------------------------------------------

    def _park(self, worker: _Worker, channel: int) -> None:
        try:
            pid = os.fork()
        except OSError as trouble:  # no memory or no pids left just now: the try stays queued
            os.close(channel)
            self._send_event(worker, REFUSED, 0, trouble.errno or 0)
            return
        if pid == 0:
            self._be_child(channel)
        os.close(channel)
        try:
            os.setpgid(pid, pid)  # both sides do it, so that neither can be too late
        except (PermissionError, ProcessLookupError):
            pass  # it was faster
        try:
            start, child = start_time(pid) or 0, _Child(pid, os.pidfd_open(pid))
        except OSError as trouble:  # no descriptors are left: what cannot be watched must not run
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._send_event(worker, REFUSED, 0, trouble.errno or 0)
            return
        worker.children[pid] = child
        self._owner[pid] = worker
        self._listen_to(child.pidfd, partial(self._child_ended, child))
        self._send_event(worker, PARKED, pid, start)

    def _be_child(self, channel: int) -> NoReturn:
        """The new process: alone, in its own group, waiting for its order before any user code."""
        code = 70
        try:
            os.setpgid(0, 0)
            die_with_parent(signal.SIGKILL)
            if os.getppid() != self._pid:
                os._exit(0)  # the zygote died in between
            self._let_go()
            tied = self._guard.tie()
            if self._isolation == "spawn":
                os.set_inheritable(channel, True)
                os.set_inheritable(tied, True)
                os.set_inheritable(self._kept, True)
                arguments = (self._dags, self._home, str(channel), str(tied), str(self._kept))
                os.execv(sys.executable, command_for("tailrace.execution.tries.spawned", *arguments))
            code = serving.serve(TaskEnd(socket.socket(fileno=channel)), lambda dag_id: self._loaded, self._home)
        finally:
            os._exit(code)

    def _let_go(self) -> None:
        """Close what the zygote holds for others: a copy kept in a child would hide that they hung up."""
        self._poll.close()
        if self._control is not None:
            self._control.close()
        for worker in self._workers.values():
            worker.connection.close()
            for child in worker.children.values():
                os.close(child.pidfd)

    def _child_ended(self, child: _Child) -> None:
        # The zombie keeps the pid taken until it is reaped, so the group cannot be another's yet.
        _signal_group(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        child.exit_code = os.waitstatus_to_exitcode(status)
        self._listen_no_more_to(child.pidfd)
        os.close(child.pidfd)
        self._owner[child.pid].children.pop(child.pid, None)
        child.given_up_at = time.monotonic() + _STUCK_SECONDS
        self._dying.append(child)

    def _report_dead(self) -> None:
        """Report the ends of tries of which nothing runs any more: another try may start at once."""
        for child in [child for child in self._dying if _is_empty(child.pid) or time.monotonic() > child.given_up_at]:
            self._dying.remove(child)
            self._send_event(self._owner.pop(child.pid), ENDED, child.pid, child.exit_code, child.overdue)
            self._reap_strays()

    def _reap_strays(self) -> None:
        """Reap what left its task's group and has ended since: by now this process's child, and nobody else's care."""
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, look)) is not None and found.si_pid not in self._owner:
                os.waitpid(found.si_pid, 0)

    # --- deadlines -----------------------------------------------------------------------------------------

    def _set_deadline(self, child: _Child, deadline: float) -> None:
        if deadline == math.inf:
            child.deadline, child.kernel_deadline = None, math.inf
            return
        seconds = max(0.0, deadline - time.monotonic())
        child.deadline = deadline
        child.kernel_deadline = child.deadline + max(seconds * _KERNEL_PART, _KERNEL_SECONDS)
        if seconds > 0:
            self._silent_seconds = min(self._silent_seconds, seconds / 2)

    def _look_ahead(self) -> float:
        """Seconds until something is due here at the latest; a little later than that the kernel ends this process."""
        now, first, last = time.monotonic(), math.inf, math.inf
        for worker in self._workers.values():
            for child in worker.children.values():
                if child.deadline is not None:
                    first = min(first, child.deadline)
                    last = min(last, child.kernel_deadline)
        killed_at = min(last, now + self._silent_seconds)
        if killed_at < self._killed_at or self._killed_at < now + self._silent_seconds / 2:
            self._killed_at = killed_at
            self._deadline.in_seconds(max(0.0, killed_at - now))
        return max(0.0, min(first - now, self._silent_seconds / 3))

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            for child in worker.children.values():
                if child.deadline is not None and child.deadline <= now:
                    child.deadline, child.overdue = None, True
                    _signal(child, signal.SIGKILL)


def _is_empty(group: int) -> bool:
    """Reap what has ended of a killed group; whether nothing of it is left."""
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _signal(child: _Child, number: int) -> None:
    """Signal the group of a leader that has not ended, and itself too if it has moved to another group."""
    if os.getpgid(child.pid) != child.pid:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, number)
    _signal_group(child.pid, number)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
