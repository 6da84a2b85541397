"""Who a process is, beyond its pid: boot, pid and start time together are never used twice."""

import contextlib
import functools
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

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
    found = _stat(pid)
    return None if found is None or found.is_corpse else found.start


class _Stat(NamedTuple):
    group: int
    start: int
    is_corpse: bool


def _stat(pid: int) -> _Stat | None:
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
    return _Stat(int(fields[2]), int(fields[19]), fields[0] in (b"Z", b"X"))


def identity_of(pid: int) -> ProcessIdentity | None:
    """The identity of a living process of this host, or None."""
    began = start_time(pid)
    return None if began is None else ProcessIdentity(host_name(), boot_id(), pid, began)


def has_children() -> bool:
    """Whether this process has any child, reaped or not."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process; none of one that is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    return found


def living_children() -> list[str]:
    """The processes that this one has started and that still run, as ``name (pid)``; no helpers of multiprocessing."""
    found = []
    for pid in children_of(os.getpid()):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as command:
            if start_time(pid) is not None and b"from multiprocessing." not in command.read():
                with open(f"/proc/{pid}/comm") as name:
                    found.append(f"{name.read().strip()} ({pid})")
    return found


def leads_others() -> bool:
    """Whether anything else runs in the group that this process leads or has led."""
    own = os.getpid()
    return any(pid != own for pid in _running_in({own}))


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
    """Kill the process group led by ``leader``, and itself if it has moved to another group.

    The group may outlive its leader. A pid that now belongs to another process leads no group of ours: then
    nothing is killed.
    """
    if not _may_lead(leader):
        return
    with contextlib.suppress(OSError):
        process = os.pidfd_open(leader.pid)
        try:
            if is_alive(leader):  # then that is what the descriptor stands for
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)


def end_groups(leaders: Sequence[ProcessIdentity], within: float = 2.0) -> None:
    """Kill these groups and wait until nothing of them runs, stopped processes and unreaped corpses notwithstanding.

    What is not gone ``within`` seconds hangs in the kernel: the first thing it does afterwards is to die.
    """
    for leader in leaders:
        kill_group(leader)
    until = time.monotonic() + within
    while any(map(is_alive, leaders)) or any(
        _running_in({leader.pid for leader in leaders if _may_lead(leader) and _has_members(leader.pid)})
    ):
        if time.monotonic() >= until:
            return
        time.sleep(0.002)


def _may_lead(leader: ProcessIdentity) -> bool:
    """Whether a group of that number is the one this process led: no pid is given anew while its group exists."""
    if leader.host != host_name() or leader.boot_id != boot_id():
        return False
    found = _stat(leader.pid)
    return found is None or found.start == leader.start_time


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _running_in(groups: set[int]) -> Iterator[int]:
    """The living processes of these groups: one that nobody has reaped is not living."""
    for name in os.listdir("/proc") if groups else ():
        if name.isdecimal() and (found := _stat(int(name))) and found.group in groups and not found.is_corpse:
            yield int(name)
