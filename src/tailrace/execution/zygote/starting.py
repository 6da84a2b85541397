"""Starts a zygote: by forking this process while it is small, or as an interpreter of its own.

Fork it before anything heavy is imported and before any database connection is open. A job that has come so far starts
another as a fresh interpreter: its own process has long opened a metastore, and forking it would hand a database
library to every task.
"""

import os
import socket
import sys
from contextlib import suppress

from msgspec import Struct

from tailrace.errors import EnvironmentBroken
from tailrace.execution.messages.loading_process import LoadRequest, read_request, write_request
from tailrace.execution.system.fresh_interpreter import command_for
from tailrace.execution.system.withheld import without_secrets
from tailrace.execution.zygote.process import Lines, be_zygote


class Started(Struct, frozen=True):
    """A zygote that has begun to load: its pid, the job's line to it, and where it reports."""

    pid: int
    control: socket.socket
    report: int


def fork_zygote(request: LoadRequest, kept: int, former: int = -1) -> Started:
    """Fork it; it loads the DAG files while the caller goes on. Raises EnvironmentBroken.

    ``kept`` is where it keeps what it loads, ``former`` where another has kept what it loaded before.
    """
    ours, lines = _lines(kept, former)
    sys.stdout.flush()
    sys.stderr.flush()
    job = os.getpid()
    try:
        pid = os.fork()
    except OSError as trouble:
        raise _cannot_start(trouble, ours, lines) from None
    if pid == 0:
        ours.control.close()
        os.close(ours.report)
        be_zygote(job, request, lines)
    with suppress(OSError):
        os.setpgid(pid, pid)  # both sides do it, so that neither can be too late
    return _begun(pid, ours, lines)


def execute_zygote(request: LoadRequest, kept: int, former: int = -1) -> Started:
    """The same, started as a fresh interpreter."""
    ours, lines = _lines(kept, former)
    sys.stdout.flush()
    sys.stderr.flush()
    asked = -1
    try:
        asked = write_request(request)
        arguments = (os.getpid(), asked, lines.control, lines.report, kept, former)
        command = command_for("tailrace.execution.zygote.starting", *map(str, arguments))
        for descriptor in arguments[1:]:
            if descriptor >= 0:
                os.set_inheritable(descriptor, True)
        # The signals that a job holds off for a while are none that its zygote should.
        environ = without_secrets(os.environ)
        pid = os.posix_spawn(sys.executable, command, environ, setpgroup=0, setsigmask=())
    except OSError as trouble:
        raise _cannot_start(trouble, ours, lines) from None
    finally:
        for descriptor in {kept, former} - {-1}:
            os.set_inheritable(descriptor, False)
        if asked >= 0:
            os.close(asked)
    return _begun(pid, ours, lines)


class _Ours(Struct):
    control: socket.socket
    report: int


def _lines(kept: int, former: int) -> tuple[_Ours, Lines]:
    report = their_report = -1
    try:
        report, their_report = os.pipe()
        control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as trouble:
        for descriptor in {report, their_report} - {-1}:
            os.close(descriptor)
        raise EnvironmentBroken(_no_process(trouble)) from None
    os.set_blocking(report, False)
    return _Ours(control, report), Lines(their_control.detach(), their_report, kept, former)


def _begun(pid: int, ours: _Ours, lines: Lines) -> Started:
    os.close(lines.control)
    os.close(lines.report)
    return Started(pid, ours.control, ours.report)


def _cannot_start(trouble: OSError, ours: _Ours, lines: Lines) -> EnvironmentBroken:
    ours.control.close()
    for descriptor in (ours.report, lines.control, lines.report):
        os.close(descriptor)
    return EnvironmentBroken(_no_process(trouble))


def _no_process(trouble: OSError) -> str:
    return (
        f"the process that loads DAG files cannot be started ({trouble.strerror}): "
        "allow more processes and open files (ulimit -u, ulimit -n)"
    )


def main() -> None:
    """The fresh interpreter's: its arguments are JOB REQUEST CONTROL REPORT KEPT FORMER, a pid and descriptors."""
    job, asked, *given = map(int, sys.argv[1:7])
    for descriptor in {asked, *given} - {-1}:
        os.set_inheritable(descriptor, False)
    request = read_request(asked)
    os.close(asked)
    be_zygote(job, request, Lines(*given))
