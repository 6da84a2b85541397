"""One try under way, as its worker sees it: what its process has reported, and when it is to be ended and why."""

from dataclasses import dataclass
from typing import Protocol

from tailrace.effects.tries import TryOutcome
from tailrace.execution.logs.log_times import LogTimer
from tailrace.execution.zygote.client import Child
from tailrace.model.outcomes import OutcomeKind

TERMINATED = TryOutcome(OutcomeKind.LOST, "terminated by a second interrupt")
STOPPED = TryOutcome(OutcomeKind.LOST, "stopped as a person asked")
STOPPED_WITH_RUN = TryOutcome(OutcomeKind.LOST, "stopped with its run, which took too long or failed fast")
HELD_UP = TryOutcome(OutcomeKind.LOST, "its worker was held up beyond the lease, so its process was killed")


class Orders(Protocol):
    """The orders of the job to a worker while a task runs."""

    def fileno(self) -> int:
        """The descriptor to poll; -1 when nothing more can come."""

    def terminate(self) -> bool:
        """Read what has come; whether the running task is to be ended."""

    @property
    def at_once(self) -> bool:
        """Whether that is to be without any grace."""


@dataclass(slots=True)
class Run:
    """One try under way. Times are of the monotonic clock; None: not at all."""

    child: Child
    again: bool  # the process is ordered to wait for another try afterwards
    late: TryOutcome | None  # what it ends with once its time is over
    timeout_at: float | None
    timer: LogTimer | None = None
    kill_at: float | None = None
    killed: bool = False  # at once, as somebody wanted
    hung_up_at: float | None = None  # it can report nothing any more; a process that ends hangs up as well
    ending: TryOutcome | None = None  # what a process we are ending will be reported as
    outcome: TryOutcome | None = None  # received, while the process has yet to end
    waiting: str = ""  # what its process waits for after its function has returned
    asked: int = 0  # the number of its query that is to be replied to
    is_replied: bool = False  # since it was last waited for
    has_sent_more: bool = False  # perhaps: behind what was received last

    def next_moment(self, due: float) -> float:
        """When something is to be done next, at the latest when the renewal is ``due``."""
        timed = None if self.timer is None else self.timer.due
        moments = (due, self.timeout_at, self.kill_at, self.hung_up_at, timed)
        return min(at for at in moments if at is not None)

    def time_log(self, now: float) -> None:
        """Record how long its log is, if that is due."""
        if self.timer is not None and now >= self.timer.due:
            self.timer.look(now)

    def close(self) -> None:
        """It is over: nothing more of its log is timed."""
        if self.timer is not None:
            self.timer.close()


def need_not_end(run: Run, outcome: TryOutcome) -> bool:
    """After a failure another try may follow at once: not before all of this one's group is gone."""
    return run.again or outcome.kind in (OutcomeKind.SUCCESS, OutcomeKind.SKIPPED)
