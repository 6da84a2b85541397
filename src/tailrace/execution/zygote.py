"""Starting and ending the zygote: the small process that loads the DAG files and forks the tasks' processes.

Fork it before anything heavy is imported and before any database connection is open. What it does then is in
``nursery``; this file is the job's side of it.
"""

import importlib
import os
import pickle
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from tailrace.authoring.loading import load_dags
from tailrace.authoring.mistakes import Mistake
from tailrace.errors import EnvironmentBroken
from tailrace.model.spec import DagSpec


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the zygote found in the DAG files. ``isolation`` is what tries will really get, and ``notice`` says why."""

    specs: Mapping[str, DagSpec]
    mistakes: tuple[Mistake, ...]
    threads_started: bool
    isolation: str
    notice: str = ""


class ZygoteHandle:
    """The job's hold on its zygote."""

    def __init__(self, pid: int, control: socket.socket, report: Connection) -> None:
        self.pid = pid
        self._control = control
        self._report = report
        self._loaded: LoadReport | None = None

    def loaded(self) -> LoadReport:
        """What the DAG files hold; waits until they are loaded. Raises EnvironmentBroken if loading killed it."""
        if self._loaded is None:
            try:
                self._loaded = pickle.loads(self._report.recv_bytes())  # our own process, over our own pipe
            except EOFError:
                _, status = os.waitpid(self.pid, 0)
                raise EnvironmentBroken(
                    f"loading the DAG files ended their process ({_how(status)}); "
                    f"run `python FILE` on each to see which one does that"
                ) from None
            self._report.close()
        assert self._loaded is not None
        return self._loaded

    def connect(self) -> socket.socket:
        """A new line to the zygote, for one worker; when its last copy is closed, that worker's tasks are killed."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(self._control, [b"worker"], [theirs.fileno()])
        theirs.close()
        return ours

    def disown(self) -> None:
        """In a forked worker: forget the job's own line to the zygote."""
        self._control.close()

    def stop(self) -> None:
        """Hang up and wait for its end. It ends once no worker holds a line to it; what still runs is killed."""
        self._control.close()
        self._report.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # it was reaped when it failed to load


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def start_zygote(dags: Path, home: Path, *, isolation: str = "fork") -> ZygoteHandle:
    """Fork the zygote; it loads the DAG files while the caller goes on. ``isolation``: fork, spawn or worker."""
    control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, their_report = Pipe(duplex=False)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        their_control.close()
        their_report.close()
        return ZygoteHandle(pid, control, report)
    code = 70
    try:
        control.close()
        report.close()
        os.setpgid(0, 0)  # Ctrl-C in the terminal is the job's to hear
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what DAG files print while loading must not mix with the command's own answer
        _serve(dags, home, isolation, their_control, their_report)
        code = 0
    finally:
        os._exit(code)


def _serve(dags: Path, home: Path, isolation: str, control: socket.socket, report: Connection) -> None:
    loaded = load_dags(dags)
    notice = ""
    if loaded.threads_started and isolation == "fork":
        isolation = "spawn"
        notice = "loading the DAG files started threads, so each try gets a fresh interpreter (isolation spawn)"
    told = LoadReport(dict(loaded.specs), loaded.mistakes, loaded.threads_started, isolation, notice)
    report.send_bytes(pickle.dumps(told))
    report.close()
    # Imported here, after the fork: the templates' library is the zygote's and its children's to load.
    nursery = importlib.import_module("tailrace.execution.nursery")
    nursery.Nursery(loaded, dags, home, isolation, control).run()
