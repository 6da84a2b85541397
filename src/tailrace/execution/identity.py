"""Who a process is, beyond its pid: boot, pid and start time together are never used twice."""

import contextlib
import functools
import os
import signal
import socket

from tailrace.model.keys import ProcessIdentity


@functools.cache
def host_name() -> str:
    """This host's name."""
    return socket.gethostname()


@functools.cache
def boot_id() -> str:
    """An id that changes with every boot of this host."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None if there is no such process, or only its corpse."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)  # open() costs several times as much
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        fields = os.read(descriptor, 4096).rpartition(b")")[2].split()
    except ProcessLookupError:
        return None
    finally:
        os.close(descriptor)
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def identity_of(pid: int) -> ProcessIdentity | None:
    """The identity of a living process of this host, or None."""
    began = start_time(pid)
    return None if began is None else ProcessIdentity(host_name(), boot_id(), pid, began)


def own_identity() -> ProcessIdentity:
    """This process's identity."""
    found = identity_of(os.getpid())
    assert found is not None, "a running process has an entry in /proc"
    return found


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether exactly this process of this host still runs. False for another boot or another host's process."""
    here = identity.host == host_name() and identity.boot_id == boot_id()
    return here and start_time(identity.pid) == identity.start_time


def kill_group(leader: ProcessIdentity) -> None:
    """Kill the process group led by ``leader``.

    The group may outlive its leader. A pid that now belongs to another process leads no group of ours: then
    nothing is killed.
    """
    if leader.host != host_name() or leader.boot_id != boot_id():
        return
    began = start_time(leader.pid)
    if began is not None and began != leader.start_time:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)
