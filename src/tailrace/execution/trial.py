"""``tailrace tasks test``: one task, here and now, with no state read or written anywhere.

The task runs in the command's own process, to be debugged at its terminal. Whatever it starts is a descendant of ours,
wherever it has moved to since, and ends with it.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from tailrace.authoring.loading import LoadedDags
from tailrace.effects.tries import Claim, TryOutcome
from tailrace.execution.context import TaskInstance, build_context
from tailrace.execution.leash import adopt_orphans
from tailrace.execution.messages import order_for, outcome_in, timed_out
from tailrace.execution.port import GRACE_SECONDS
from tailrace.execution.process import LONGEST_TIMER, TaskTerminated, environment_of, execute
from tailrace.model.outcomes import OutcomeKind

_HEEDED = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_task_once(loaded: LoadedDags, claim: Claim, home: Path, timeout: timedelta | None) -> TryOutcome:
    """Run the claim's task; its output goes where ours goes, its XCom pulls find nothing, nothing of it stays behind.

    Raises KeyboardInterrupt where Ctrl-C ended the task; by SIGTERM and SIGHUP this process ends as well.
    """
    adopt_orphans()  # so that all it leaves behind is found below us
    with suppress(AttributeError):  # a DAG file may have put something else there
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    order = order_for(claim, None)
    os.environ.update(environment_of(claim.key, order, str(home)))
    dag = loaded.dags[claim.task_instance.dag_id]
    ti = TaskInstance(claim.key, order, _nothing)
    ending = _Ending()
    try:
        with ending.heeded(timeout):
            outcome = outcome_in(execute(dag.task_dict[claim.task_instance.task_id], build_context(dag, order, ti), ti))
    except (TaskTerminated, KeyboardInterrupt):  # before the task began, or when it had ended
        outcome = TryOutcome(OutcomeKind.FAILED, "it was asked to end")
    if ending.asked in (signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), ending.asked)
    if ending.asked == signal.SIGINT and outcome.kind is OutcomeKind.FAILED:
        raise KeyboardInterrupt
    if ending.asked == signal.SIGALRM and timeout is not None:
        return timed_out(timeout)
    return outcome


def _nothing(*query: Any) -> list[Any]:
    return []


class _Ending:
    """Whoever asks the task to end, its timeout or a person: gently at first, and not so once the grace is over."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._own = os.getpid()

    @contextmanager
    def heeded(self, timeout: timedelta | None) -> Iterator[None]:
        """Heed the signals for as long as the task runs, then end what it has left behind."""
        heeded = [each for each in _HEEDED if signal.getsignal(each) is not signal.SIG_IGN]  # nohup, a shell's &
        before = {number: signal.signal(number, self._heard) for number in heeded}
        if timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, min(timeout.total_seconds(), LONGEST_TIMER))
        try:
            yield
        finally:
            if os.getpid() != self._own:
                os._exit(70)  # a process the task forked came out of its code: the command is not its to go on with
            for number in before:
                signal.signal(number, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _end_descendants(self._own)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._own:  # a process the task forked: it ends as it would without us
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        gently = self.asked is None
        self.asked = self.asked or signal.Signals(number)
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
        if number != signal.SIGINT or not gently:  # Ctrl-C reaches all of a terminal's group by itself
            _signal_descendants(self._own, signal.SIGTERM if gently else signal.SIGKILL)
        raise KeyboardInterrupt if number == signal.SIGINT else TaskTerminated


def _end_descendants(own: int) -> None:
    """Kill everything below this process, and what that leaves, until nothing is there."""
    with suppress(ChildProcessError):
        while True:
            _signal_descendants(own, signal.SIGKILL)
            os.waitpid(-1, 0)


def _signal_descendants(pid: int, number: int) -> None:
    for child in _children(pid):
        _signal_descendants(child, number)
        with suppress(ProcessLookupError):
            os.kill(child, number)


def _children(pid: int) -> list[int]:
    """The children of all threads of a process; none of one that is gone."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found
