"""How a try can end, before any retry budget is looked at."""

from enum import StrEnum

#: So many XComs may a try leave: each is a row, and all are written while others wait for the metastore.
MOST_XCOMS = 20_000


class OutcomeKind(StrEnum):
    """How a try's process ended, before any retry budget is looked at."""

    SUCCESS = "success"
    FAILED = "failed"  # raised, exited non-zero, crashed, or ran out of time
    FAILED_FOR_GOOD = "failed_for_good"  # asked not to be tried again (TaskFailed)
    SKIPPED = "skipped"
    RESCHEDULED = "rescheduled"  # it goes on later, in the same try; its worker is free meanwhile
    LOST = "lost"  # its process was lost through no fault of the task: spends no retry
    LOST_TOGETHER = "lost_together"  # with other tries at once, and whose fault it was cannot be known: spends nothing

    @property
    def text(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")
