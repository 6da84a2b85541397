"""Calls that may compute for ever, such as a regular expression that backtracks, and are given up after a while."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

R = TypeVar("R")

#: So much computing, in seconds of the processor: how busy the machine is otherwise makes no difference.
SECONDS = 2.0


class TookTooLong(BaseException):
    """It was given up. No error of its own: nothing on the way may take it for one."""


def bounded(call: Callable[[], R]) -> R:
    """What the call returns. Raises TookTooLong. Only in the main thread: no other can be interrupted."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    former = signal.signal(signal.SIGVTALRM, give_up)
    left, interval = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, left, interval)
        signal.signal(signal.SIGVTALRM, former or signal.SIG_DFL)
