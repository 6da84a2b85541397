"""Who a process is, beyond its pid: boot, namespace, pid and start time together are never used twice.

What cannot be seen is not dead. A process of another container, another user's where ``/proc`` hides those, or one of
another machine of the same name is *unknown*: its lease decides, as that of any process on another host.
"""

import contextlib
import functools
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from tailrace.errors import EnvironmentBroken
from tailrace.model.keys import ProcessIdentity


class Life(Enum):
    """What is known of a process from here."""

    ALIVE = auto()
    DEAD = auto()
    UNKNOWN = auto()


@functools.cache
def host_name() -> str:
    """This host's name."""
    return socket.gethostname()


@functools.cache
def boot_id() -> str:
    """An id that changes with every boot of this host; empty where the kernel does not give one."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


@functools.cache
def namespace() -> str:
    """The namespaces in which this process counts pids and start times; empty where ``/proc`` shows those of others."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""
        found = [os.readlink("/proc/self/ns/pid")]
        with contextlib.suppress(FileNotFoundError):  # the kernel is older than namespaces of time
            found.append(os.readlink("/proc/self/ns/time"))
    except OSError:
        return ""
    return " ".join(found)


def require_proc() -> None:
    """Raise EnvironmentBroken where ``/proc`` is not there: no task could be tied to the life of its zygote."""
    if not os.path.isdir("/proc/self/fd"):
        raise EnvironmentBroken(
            "/proc is not mounted, or not for this process; tasks need it (mount -t proc proc /proc)"
        )


def start_time(pid: int) -> int | None:
    """When a process of this namespace began, in clock ticks since boot; None if it is not seen, or is a zombie."""
    found = _stat(pid) if namespace() else None
    return None if found is None or found.is_zombie else found.start


class _Stat(NamedTuple):
    group: int
    start: int
    is_zombie: bool


def _stat(pid: int) -> _Stat | None:
    """What ``/proc`` shows of a process; None if it shows none, which may be hidden."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)  # open() costs several times as much
    except OSError:
        return None
    try:
        fields = os.read(descriptor, 4096).rpartition(b")")[2].split()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return _Stat(int(fields[2]), int(fields[19]), fields[0] in (b"Z", b"X"))


def identity_of(pid: int) -> ProcessIdentity | None:
    """The identity of a living process of this namespace, or None."""
    began = start_time(pid)
    return None if began is None else identity_from(pid, began)


def identity_from(pid: int, start: int) -> ProcessIdentity:
    """The identity of a process of this namespace that began then (0: nobody knows)."""
    return ProcessIdentity(host_name(), boot_id(), pid, start, namespace())


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


def living_children(but: int = 0) -> list[str]:
    """The processes that this one has started and that still run, as ``name (pid)``; no helpers of multiprocessing.

    ``but``: nor this one.
    """
    found = []
    for pid in children_of(os.getpid()):
        if pid == but:
            continue
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
    return identity_from(os.getpid(), start_time(os.getpid()) or 0)


def life_of(identity: ProcessIdentity) -> Life:
    """Whether exactly this process still runs, as far as it can be known from here."""
    if not _is_near(identity) or not identity.start_time:
        return Life.UNKNOWN
    found = _stat(identity.pid)
    if found is not None:
        return Life.ALIVE if found.start == identity.start_time and not found.is_zombie else Life.DEAD
    try:
        os.kill(identity.pid, 0)  # which hides nothing
    except ProcessLookupError:
        return Life.DEAD
    except OSError:
        pass
    return Life.UNKNOWN


def _is_near(identity: ProcessIdentity) -> bool:
    """Whether a pid means the same there and here."""
    here = identity_from(identity.pid, identity.start_time)
    return identity == here and bool(here.boot_id) and bool(here.namespace)


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
            if life_of(leader) is Life.ALIVE:  # then that is what the descriptor stands for
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)


def end_groups(leaders: Sequence[ProcessIdentity], within: float = 2.0) -> None:
    """Kill these groups and wait until nothing of them runs, stopped processes and unreaped zombies notwithstanding.

    What is not gone ``within`` seconds hangs in the kernel: the first thing it does afterwards is to die.
    """
    for leader in leaders:
        kill_group(leader)
    until = time.monotonic() + within
    while any(life_of(leader) is Life.ALIVE for leader in leaders) or any(
        _running_in({leader.pid for leader in leaders if _may_lead(leader) and _has_members(leader.pid)})
    ):
        if time.monotonic() >= until:
            return
        time.sleep(0.002)


def _may_lead(leader: ProcessIdentity) -> bool:
    """Whether a group of that number is the one this process led: no pid is given anew while its group exists."""
    if not _is_near(leader):
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
    try:
        names = os.listdir("/proc") if groups else ()
    except OSError:  # no descriptor is left to look with: they may live
        yield from groups
        return
    for name in names:  # what is hidden is not ours to wait for
        if name.isdecimal() and (found := _stat(int(name))) and found.group in groups and not found.is_zombie:
            yield int(name)
