"""What code can change of its process in the kernel: folder, umask, limits, signals, environment, descriptors."""

import fcntl
import os
import resource
import signal
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from tailrace.authoring.loading.aspect import Aspect

_LIMITS = tuple(sorted(name for name in dir(resource) if name.startswith("RLIMIT_")))
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

_SIGNALS = tuple(map(int, signal.Signals))

#: By these Tailrace itself ends tasks and learns of their end.
_RESERVED = frozenset({int(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD)})


class StandardDescriptors:
    """The descriptors 0, 1 and 2 as they are now, kept to be had back."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, int, tuple[int, ...]]] = []
        for number in range(3):
            if (looks := _looks(number)) is not None:
                self._kept.append((number, fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3), looks))

    def put_back(self) -> None:
        """Whatever has been closed, or leads elsewhere by now."""
        for number, kept, looks in self._kept:
            if _looks(number) != looks:
                os.dup2(kept, number)

    def close(self) -> None:
        """Keep them no longer."""
        for _, kept, _ in self._kept:
            os.close(kept)


def _looks(descriptor: int) -> tuple[int, ...] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_rdev


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # somebody has removed it
        return None


def _change_folder(to: str | None) -> None:
    if to is not None:
        os.chdir(to)


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def _limits() -> dict[str, tuple[int, int]]:
    return {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS}


def _set_limits(limits: Mapping[str, tuple[int, int]]) -> None:
    """Those that can be had back are, whatever becomes of the others."""
    refused: Exception | None = None
    for name, (soft, hard) in limits.items():
        kind = getattr(resource, name)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError) as why:  # a hard limit that was lowered stays so, without privilege
            refused = why
            most = resource.getrlimit(kind)[1]
            unlimited = resource.RLIM_INFINITY
            resource.setrlimit(kind, (most if soft == unlimited or (most != unlimited and soft > most) else soft, most))
    if refused is not None:
        raise refused


def _user() -> tuple[Any, ...]:
    return os.getresuid(), os.getresgid(), tuple(os.getgroups())


def _become(user: tuple[Any, ...]) -> None:
    users, groups, others = user
    os.setresuid(*users)  # first: what follows may need the privilege that this brings back
    os.setresgid(*groups)
    os.setgroups(others)


def _oom_score() -> bytes:
    try:
        with open("/proc/self/oom_score_adj", "rb", buffering=0) as file:
            return file.read(16)
    except OSError:
        return b""


def _set_oom_score(score: bytes) -> None:
    if score:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(score)


def _set_environment(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _handlers(reserved: bool) -> dict[int, Any]:
    found = {number: signal.getsignal(number) for number in _SIGNALS if (number in _RESERVED) is reserved}
    return {number: handler for number, handler in found.items() if handler is not None}


def _set_handlers(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _held_off() -> frozenset[int]:
    return frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def _hold_off(signals: frozenset[int]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)


def _running_timers() -> tuple[bool, ...]:
    return tuple(signal.getitimer(timer)[0] > 0 for timer in _TIMERS)


def _stop_timers(running: tuple[bool, ...]) -> None:
    for timer, runs in zip(_TIMERS, running, strict=True):
        if not runs:
            signal.setitimer(timer, 0)


#: In the order in which they are put back: first what the rest may need.
OF_THE_SYSTEM: Final = (
    Aspect("the user and groups", _user, _become),
    Aspect("the limits (setrlimit)", _limits, _set_limits, plain=True),
    Aspect("the signals that are held off", _held_off, _hold_off, own=False),
    Aspect("timers", _running_timers, _stop_timers, own=False),
    Aspect("signal handlers", partial(_handlers, True), _set_handlers, own=False),
    Aspect("other signal handlers", partial(_handlers, False), _set_handlers),
    Aspect("the environment", lambda: dict(os.environ), _set_environment, plain=True),
    Aspect("the time zone", lambda: (time.tzname, time.timezone, time.altzone), lambda zone: time.tzset()),
    Aspect("the working folder", _working_folder, _change_folder),
    Aspect("the umask", _umask, os.umask),
    Aspect(
        "the priority (nice)",
        partial(os.getpriority, os.PRIO_PROCESS, 0),
        partial(os.setpriority, os.PRIO_PROCESS, 0),
    ),
    Aspect("the processors", lambda: frozenset(os.sched_getaffinity(0)), partial(os.sched_setaffinity, 0)),
    Aspect("the OOM score", _oom_score, _set_oom_score),
)
