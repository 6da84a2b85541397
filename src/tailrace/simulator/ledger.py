"""What the tasks themselves would have written down: which code was started, by whom, for which try, and when it ended.

Seen from outside the metastore, so that a metastore that fools itself is caught all the same.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tailrace.audit.records import HistoryRecord
from tailrace.effects.tries import Claim
from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import Cause

#: Why a row is that says what the code of a try came to.
_REPORTED = (Cause.OUTCOME, Cause.RETRY, Cause.RESCHEDULED, Cause.AWAITS)


@dataclass(slots=True)
class Execution:
    """User code of one try, from its start. ``lease_until`` is how long its worker may believe it has the try."""

    claim: Claim
    worker: int
    lease_until: float
    over: bool = False
    gives_back: bool = False  # it ends by giving its worker back: the same try goes on

    def is_after(self, other: "Execution") -> bool:
        """Whether it is of a later claim of the same task instance."""
        mine, theirs = self.claim, other.claim
        return mine.id == theirs.id and (mine.key.try_number, mine.token) > (theirs.key.try_number, theirs.token)


@dataclass(slots=True)
class Called:
    """The callbacks of an event, from their start. ``lease_until`` is how long whoever calls may believe it has it."""

    event_id: str
    token: int
    lease_until: float
    over: bool = False


class Ledger:
    """Every execution of a history, in order, and what was wrong with them."""

    def __init__(self) -> None:
        self.executions: list[Execution] = []
        self.calls: list[Called] = []
        self.violations: list[str] = []
        self.failures: Counter[int] = Counter()  # tries of a task instance that failed and were retried since its clear

    def start(self, claim: Claim, worker: int, now: float, lease_until: float) -> Execution:
        """User code of a try starts; twice is once too often, and so is beside another try that keeps its lease.

        A try that has given its worker back goes on under a larger token, once the code of its claim before has ended.
        """
        execution = Execution(claim, worker, lease_until)
        for other in self.executions:
            if other.claim.id != claim.id:
                continue
            goes_on = other.over and other.gives_back and execution.is_after(other)
            if other.claim.key.try_number == claim.key.try_number and not goes_on:
                self.violations.append(f"double start: the code of {claim.key} was started twice")
            elif not other.over and other.lease_until > now:
                number = other.claim.key.try_number
                self.violations.append(f"overlap: {claim.key} started while the code of try {number} ran on its lease")
        self.executions.append(execution)
        return execution

    def call(self, event_id: str, token: int, now: float, lease_until: float) -> Called:
        """The callbacks of an event begin; never while others call them on a lease that holds."""
        for other in self.calls:
            if other.event_id == event_id and not other.over and other.lease_until > now:
                self.violations.append(f"called at once: event {event_id} by two that hold it")
            if other.event_id == event_id and other.token >= token:
                self.violations.append(f"called at once: event {event_id} with token {token} after {other.token}")
        called = Called(event_id, token, lease_until)
        self.calls.append(called)
        return called

    def renew(self, execution: Execution, until: float) -> None:
        """The lease of a try is renewed; never while the code of a later try of its task instance runs."""
        execution.lease_until = until
        mine = execution.claim
        for other in self.executions:
            if not other.over and other.is_after(execution):
                number = other.claim.key.try_number
                self.violations.append(
                    f"overlap: the lease of {mine.key} was renewed while the code of try {number} ran"
                )

    def accept(self, claim: Claim, *, retried: bool) -> None:
        """An outcome of this try was accepted; its code has ended by then, or it is not the try's own outcome."""
        self.failures[claim.id] += retried
        for each in self.executions:
            if (each.claim.id, each.claim.key.try_number) == (claim.id, claim.key.try_number) and not each.over:
                self.violations.append(f"outcome: one of {claim.key} was accepted while its code ran")

    def check(self, history: Iterable[HistoryRecord], marked: bool) -> None:
        """Every outcome that history accepted is of code that was started; not so where success was only marked."""
        started = {(each.claim.task_instance, each.claim.key.try_number) for each in self.executions}
        names = {(key.run_id, key.task_id, key.map_index, number) for key, number in started}
        for row in history:
            ends_a_try = row.kind == "task_instance" and row.cause in _REPORTED
            ends_a_try = ends_a_try and row.before != TaskInstanceState.STOPPING  # that one ends as a person wanted
            if ends_a_try and not marked and (row.run_id, row.task_id, row.map_index, row.try_number) not in names:
                text = f"{row.run_id} / {row.task_id} try {row.try_number}: {row.after}, and its code never ran"
                self.violations.append(f"ledger: {text}")
