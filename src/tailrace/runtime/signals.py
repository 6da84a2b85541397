"""SIGINT and SIGTERM as counts: the first asks a job to drain, the second to terminate, the third to do so at once.

A handler only counts and wakes the wait; what a count means is decided by the loop.
"""

import os
import signal
from types import FrameType
from typing import Self


class Interrupts:
    """Counts interrupts while used as a context manager; restores the former handlers on leaving.

    ``wakeup`` is a readable file descriptor that becomes ready with each signal: give it to whatever waits.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last: signal.Signals | None = None
        self.wakeup, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._former: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself gave us
        os.close(self.wakeup)
        os.close(self._write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.last = signal.Signals(number)
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            pass  # the pipe is full of earlier signals: the wait is awake already

    @property
    def drain(self) -> bool:
        """Whether to start nothing more."""
        return self.count >= 1

    @property
    def terminate(self) -> bool:
        """Whether to end what runs as well."""
        return self.count >= 2

    @property
    def kill(self) -> bool:
        """Whether to give what runs no time to clean up."""
        return self.count >= 3

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, as shells expect."""
        return 128 + int(self.last or signal.SIGINT)
