"""What the kernel does for us, so that a task cannot outlive its lease although every process of ours is stopped.

Two things that need no process to be scheduled: a timer that kills the zygote when it has not moved it in time, and a
pipe whose end kills a task's whole group when the zygote, which alone holds the other end, is gone. Both are SIGKILL:
stopped processes die of it too, and user code cannot hold it off.
"""

import ctypes
import fcntl
import os
import signal
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_F_SETSIG = 10
_SIGEV_SIGNAL = 0

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]


class _SignalEvent(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_byte * 48),
    )


class _TimerSetting(ctypes.Structure):
    _fields_ = (
        ("again_seconds", ctypes.c_long),
        ("again_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


def die_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent dies; 0: no longer."""
    _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of whatever this process's descendants leave behind, so that its end can be awaited."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Deadline:
    """The moment at which the kernel kills this process. No child inherits it."""

    def __init__(self) -> None:
        self._timer = ctypes.c_void_p()
        event = _SignalEvent(None, signal.SIGKILL, _SIGEV_SIGNAL)
        _libc.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer))

    def in_seconds(self, seconds: float) -> None:
        """Put it off, or bring it forward, to so many seconds from now."""
        whole = int(seconds)
        setting = _TimerSetting(0, 0, whole, max(1, int((seconds - whole) * 1e9)))  # all zeros would disarm it
        _libc.timer_settime(self._timer, 0, ctypes.byref(setting), None)


class ProcessGuard:
    """Ties task groups to this process: at its end, however it comes, the kernel kills all of each."""

    def __init__(self) -> None:
        self._tied_end, self._held_end = os.pipe()

    def tie(self) -> int:
        """In a child that leads a group of its own: from here on that group ends with the holder.

        Returns the descriptor that does it; the group is tied for as long as one of its processes has it open.
        """
        os.close(self._held_end)  # a copy here would hide that the holder is gone
        # Opened anew, because whom to signal belongs to the open pipe end: each group needs one of its own.
        own = os.open(f"/proc/self/fd/{self._tied_end}", os.O_RDONLY | os.O_NONBLOCK)
        os.close(self._tied_end)
        fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(own, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        return own
