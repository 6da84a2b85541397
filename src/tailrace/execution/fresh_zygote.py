"""Another zygote for a job that is no longer small: started as a fresh interpreter, not forked.

A scheduler loads changed DAG files this way: its own process has long opened a metastore, and forking it would hand a
database library to every task.
"""

import os
import socket
import sys
from pathlib import Path

from tailrace.execution.withheld import without_secrets
from tailrace.execution.zygote import ZygoteHandle, be_zygote


def start_fresh_zygote(dags: Path, home: Path, *, isolation: str) -> ZygoteHandle:
    """Like ``start_zygote``, in an interpreter of its own; it loads the DAG files while the caller goes on."""
    control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, their_report = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    os.set_inheritable(their_control.fileno(), True)
    os.set_inheritable(their_report, True)
    told = (str(os.getpid()), str(dags.absolute()), str(home.absolute()), isolation)
    # -P: no module is looked for in the working folder, which may be anybody's.
    command = [sys.executable, "-P", "-m", "tailrace.execution.fresh_zygote", *told]
    command += [str(their_control.fileno()), str(their_report)]
    pid = os.posix_spawn(sys.executable, command, without_secrets(os.environ))
    their_control.close()
    os.close(their_report)
    return ZygoteHandle(pid, control, report)


def main() -> None:
    """``python -m tailrace.execution.fresh_zygote JOB DAGS HOME ISOLATION CONTROL REPORT``."""
    job, dags, home, isolation, control, report = sys.argv[1:7]
    line = socket.socket(fileno=int(control))
    line.set_inheritable(False)
    os.set_inheritable(int(report), False)
    be_zygote(int(job), Path(dags), Path(home), isolation, line, int(report))


if __name__ == "__main__":
    main()
