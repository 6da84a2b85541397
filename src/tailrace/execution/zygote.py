"""Starting and ending the zygote: the small process that loads the DAG files and forks the tasks' processes.

Fork it before anything heavy is imported and before any database connection is open. What it does then is in
``nursery``; this file is the job's side of it.
"""

import importlib
import os
import pickle
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from msgspec import Struct

from tailrace.authoring.loading import load_dags
from tailrace.authoring.mistakes import Mistake, Note
from tailrace.errors import AuthoringError, EnvironmentBroken
from tailrace.execution.logs import open_streams, show_logging
from tailrace.execution.messages import signal_name
from tailrace.model.spec import DagSpec

#: Goes before each message while loading: whether it is the report (else a file's name), and its length. The pipe's end
#: proves nothing, user code may hold it open.
_HEAD = struct.Struct("!?Q")


class LoadReport(Struct, frozen=True):
    """What the zygote found in the DAG files. ``isolation`` is what tries will really get, and ``notice`` says why.

    ``reusable``: (dag id, task id) of the tasks whose process may serve the next of them too.
    """

    specs: Mapping[str, DagSpec]
    mistakes: tuple[Mistake, ...]
    threads_started: bool
    isolation: str
    notice: str = ""
    reusable: frozenset[tuple[str, str]] = frozenset()
    notes: tuple[Note, ...] = ()


class ZygoteHandle:
    """The job's hold on its zygote."""

    def __init__(self, pid: int, control: socket.socket, report: int) -> None:
        self.pid = pid
        self._control = control
        self._report = report
        self._length: int | None = None  # of the report, once it is on its way
        self._loading = ""  # the last file that was begun
        self._loaded: LoadReport | None = None
        self._status: int | None = None

    def loaded(self) -> LoadReport:
        """What the DAG files hold; waits until they are loaded. Raises AuthoringError if one of them killed it."""
        if self._loaded is None:
            while self._length is None:
                self._hear()
            self._loaded = pickle.loads(self._read(self._length))  # from our own process, over our own pipe
            os.close(self._report)
        assert self._loaded is not None
        return self._loaded

    def is_loaded(self) -> bool:
        """Whether ``loaded`` would answer (or raise) without waiting long."""
        try:
            while self._length is None and select.select([self._report], [], [], 0)[0]:
                self._hear()
        except AuthoringError:
            return True
        return self._length is not None

    def _hear(self) -> None:
        is_report, length = _HEAD.unpack(self._read(_HEAD.size))
        if is_report:
            self._length = length
        else:
            self._loading = self._read(length).decode(errors="replace")

    def connect(self) -> socket.socket:
        """A new line to the zygote, for one worker; when its last copy is closed, that worker's tasks are killed.

        Raises EnvironmentBroken if the zygote is gone.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(self._control, [b"worker"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise EnvironmentBroken(
                "the process that starts tasks is gone; run the same command again to continue"
            ) from None
        finally:
            theirs.close()
        return ours

    def disown(self) -> None:
        """In a forked worker: forget the job's own line to the zygote."""
        self._control.close()

    def stop(self) -> None:
        """Hang up and wait for its end. It ends once no worker holds a line to it; what still runs is killed."""
        self._control.close()
        if self._loaded is None and self._status is None:
            os.close(self._report)
            os.kill(self.pid, signal.SIGKILL)  # in the middle of user code: nothing else would end that
        self._wait()

    def _read(self, length: int) -> bytes:
        parts = b""
        while len(parts) < length:
            piece = os.read(self._report, length - len(parts))
            if not piece:
                what = self._loading or "the first DAG file"
                raise AuthoringError(f"{what}: loading it ended its process ({_how(self._wait())}); mend or remove it")
            parts += piece
        return parts

    def _wait(self) -> int:
        if self._status is None:
            _, self._status = os.waitpid(self.pid, 0)
        return self._status


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal_name(os.WTERMSIG(status))}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def start_zygote(dags: Path, home: Path, *, isolation: str = "fork") -> ZygoteHandle:
    """Fork the zygote; it loads the DAG files while the caller goes on. ``isolation``: fork, spawn or worker.

    Raises EnvironmentBroken where the kernel has no pidfds (Linux has them since 5.3).
    """
    if not hasattr(os, "pidfd_open"):
        raise EnvironmentBroken(f"tasks can be run on Linux (5.3 or newer) only; this is {sys.platform}")
    control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, their_report = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    job = os.getpid()
    pid = os.fork()
    if pid == 0:
        control.close()
        os.close(report)
        be_zygote(job, dags.absolute(), home.absolute(), isolation, their_control, their_report)
    their_control.close()
    os.close(their_report)
    return ZygoteHandle(pid, control, report)


def be_zygote(job: int, dags: Path, home: Path, isolation: str, control: socket.socket, report: int) -> NoReturn:
    """The zygote's whole life, in a process that has nothing of the job in it. ``job`` is the job's pid."""
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.setpgid(0, 0)  # Ctrl-C in the terminal is the job's to hear
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)  # what DAG files print while loading must not mix with the command's own answer
        open_streams()
        # Imported here, after the fork: what only a zygote and its children need is theirs to load.
        nursery = importlib.import_module("tailrace.execution.nursery")
        leash = importlib.import_module("tailrace.execution.leash")
        leash.die_with_parent(signal.SIGKILL)  # a job that dies now has no workers to wait for
        if os.getppid() != job:
            os._exit(0)
        _load_and_serve(nursery, leash, dags, home, isolation, control, report)
        code = 0
    except BaseException:
        traceback.print_exc()  # ours: whatever is in a DAG file is reported as its mistake
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _load_and_serve(
    nursery: ModuleType,
    leash: ModuleType,
    dags: Path,
    home: Path,
    isolation: str,
    control: socket.socket,
    report: int,
) -> None:
    pipe = os.fdopen(report, "wb")

    def tell(is_report: bool, told: bytes) -> None:
        pipe.write(_HEAD.pack(is_report, len(told)) + told)
        pipe.flush()  # it may be the last that this process does

    loaded = load_dags(dags, began=lambda file: tell(False, os.fsencode(file)))
    show_logging()
    notice = ""
    if loaded.threads_started and isolation != "spawn":
        files = ", ".join(loaded.threads_started)
        notice = f"loading {files} started threads, so each try gets a fresh interpreter (not {isolation})"
        isolation = "spawn"
    reusable = nursery.reusable_tasks(loaded, isolation)
    report_of = LoadReport(
        loaded.specs, loaded.mistakes, bool(loaded.threads_started), isolation, notice, reusable, loaded.notes
    )
    with pipe:
        tell(True, pickle.dumps(report_of))
    sys.stdout.flush()
    sys.stderr.flush()  # a half line left here would come out again in every child
    leash.die_with_parent(0)  # from here on it ends with the last worker, which may finish a try after the job
    nursery.Nursery(loaded, dags, home, isolation, control).run()
