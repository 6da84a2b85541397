"""An executor beside which callbacks are called: by processes of their own, so that no try waits for one.

They are made as workers are, over the same zygote. Whatever becomes of them, the executor of the tries goes on.
"""

import time
from collections.abc import Callable, Sequence

from tailrace.effects.requests import WaitResult
from tailrace.effects.tries import Submission
from tailrace.errors import TailraceError
from tailrace.execution.executors.local import LocalExecutor
from tailrace.execution.executors.port import ForkingExecutor

#: Where they cannot work, they are made anew after so many seconds.
_AGAIN_SECONDS = 2.0


class CallingExecutor:
    """``main`` with callers beside it, which ``make_callers`` makes once ``may_begin`` says that there is a zygote.

    ``notify`` is called with one line when they cannot work.
    """

    def __init__(
        self,
        make_main: Callable[[Callable[[], None]], ForkingExecutor],
        make_callers: Callable[[Callable[[], None]], LocalExecutor],
        *,
        may_begin: Callable[[], bool],
        notify: Callable[[str], None],
    ) -> None:
        self._make_callers, self._may_begin, self._notify = make_callers, may_begin, notify
        self._callers: LocalExecutor | None = None
        self._again_at = 0.0
        self._noted = False
        self._ending = False
        self._main = make_main(self._disown_callers)
        self._begin()

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries."""
        self._main.submit(submissions)

    def wait(self, seconds: float) -> WaitResult:
        """Wait for an event of the tries; look after those that call back."""
        waited = self._main.wait(seconds)
        if self._callers is None:
            self._begin()
            return waited
        try:
            self._callers.wait(0)
            if self._callers.has_ended:
                self._end_callers()
        except TailraceError as trouble:
            self._cannot(trouble)
        return waited

    @property
    def trouble(self) -> str:
        """What keeps tries from being begun just now."""
        return self._main.trouble

    def drain(self) -> None:
        """Forget the tries that have not begun; callbacks go on being called."""
        self._main.drain()

    def terminate(self, *, at_once: bool = False) -> None:
        """End what runs, callbacks included: what they are about waits for the next job."""
        self._ending = True
        self._main.terminate(at_once=at_once)
        if self._callers is not None:
            self._callers.terminate(at_once=at_once)

    def stop(self) -> None:
        """End: tries in hand are finished. Whoever ends the job has waited for callbacks as long as they should be."""
        self._ending = True
        self._main.stop()
        self._end_callers()

    def disown(self) -> None:
        """In a process that another one forked: close what was inherited."""
        self._main.disown()
        self._disown_callers()

    def _begin(self) -> None:
        if self._ending or time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + _AGAIN_SECONDS
        try:
            if self._may_begin():
                self._callers = self._make_callers(self._main.disown)
        except TailraceError as trouble:
            self._cannot(trouble)

    def _cannot(self, trouble: TailraceError) -> None:
        if not self._noted:
            self._noted = True
            self._notify(f"callbacks cannot be called just now, and wait: {trouble}")
        self._end_callers()

    def _end_callers(self) -> None:
        callers, self._callers = self._callers, None
        self._again_at = time.monotonic() + _AGAIN_SECONDS
        if callers is not None:
            callers.terminate()
            try:
                callers.stop()
            except TailraceError as trouble:
                self._notify(f"callbacks: {trouble}")

    def _disown_callers(self) -> None:
        if self._callers is not None:
            self._callers.disown()
