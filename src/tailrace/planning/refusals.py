"""Why a person's command is refused: each reason as a message, with what can be done about it."""

from datetime import datetime

from tailrace.model.keys import RunType
from tailrace.planning.messages import Action, Message, Remedy, several


class NeverRan(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} has never run here; {remedy} lists what has"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.LIST_RUNS)


class NoRunsInRange(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} has no runs in this range; {remedy} lists its runs"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.LIST_RUNS, dag_id=self.dag_id)


class NoSuchRun(NoRunsInRange, frozen=True):
    run: str
    template = "{0.dag_id} has no run {0.run}; {remedy} lists its runs"


class NoSuchTask(Message, frozen=True):
    dag_id: str
    task_id: str
    known: tuple[str, ...]
    template = "{0.dag_id} has no task {0.task_id!r}; it has {0.names}"

    @property
    def names(self) -> str:
        """Those it has."""
        return ", ".join(self.known)


class NoSuchBackfill(Message, frozen=True):
    template = "there is no such backfill; {remedy} lists them"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.LIST_BACKFILLS)


class BackfillOver(Message, frozen=True):
    backfill_id: int
    state: str
    command: str
    template = "backfill {0.backfill_id} is {0.state} already; there is nothing to {0.command}"


class BackfillCancelled(BackfillOver, frozen=True):
    template = "backfill {0.backfill_id} is {0.state}; there is nothing to {0.command}"


class PoolUnknown(Message, frozen=True):
    pool: str
    known: tuple[str, ...]
    template = "pool {0.pool!r} does not exist; create it with {remedy}, or use one of: {0.names}"

    @property
    def names(self) -> str:
        """Those there are."""
        return ", ".join(self.known) or "none"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.SET_POOL, pool=self.pool)


class TaskTooLarge(Message, frozen=True):
    pool: str
    size: int
    slots: int
    template = "a task needs {0.slots} slots and pool {0.pool!r} has {0.size} in all; enlarge it with {remedy}"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.SET_POOL, pool=self.pool, slots=self.slots)


class BackwardsWithPast(Message, frozen=True):
    dag_id: str
    tasks: tuple[str, ...]
    template = (
        "{0.dag_id}: --backwards cannot go with depends_on_past ({0.names}): each run would wait for a later one; "
        "leave out --backwards"
    )

    @property
    def names(self) -> str:
        """The tasks."""
        return ", ".join(self.tasks)


_ASKED_BY = {
    RunType.SCHEDULED: "due by the schedule",
    RunType.MANUAL: "triggered by a person",
    RunType.BACKFILL: "running already",
}


class OtherOptions(Message, frozen=True):
    """Open runs that somebody else, a backfill or whoever asked for them, wants with other options."""

    run_id: str  # the first
    count: int
    run_type: RunType | None  # None: backfills want them
    backfills: tuple[int, ...]
    options: tuple[str, ...]
    template = "{0.which} {0.whose} with another {0.differing}; give the same options, or first let that end"

    @property
    def which(self) -> str:
        """The runs."""
        return several(self.count, f"{self.run_id} is", f"{self.count} runs, first {self.run_id}, are")

    @property
    def whose(self) -> str:
        """Who wants them."""
        ids = ", ".join(map(str, self.backfills))
        return f"wanted by backfill {ids}" if self.run_type is None else _ASKED_BY[self.run_type]

    @property
    def differing(self) -> str:
        """The options."""
        return " and ".join(self.options)


class OtherBackfills(OtherOptions, frozen=True):
    """The same, where a backfill wants them."""

    template = (
        "{0.which} {0.whose} with another {0.differing}; give the same options, or first have that end (continue it, "
        "or {remedy})"
    )

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.CANCEL_BACKFILL, backfill_id=self.backfills[0])


class BadSlots(Message, frozen=True):
    pool: str
    slots: int
    template = "pool {0.pool!r}: expected 0 slots or more (-1: no limit), found {0.slots}"


class BadPoolName(Message, frozen=True):
    expected: str
    template = "a pool's name must be {0.expected}"


class RunExists(Message, frozen=True):
    dag_id: str
    run_id: str
    same: str  # what is the same: its logical date or its id
    template = (
        "{0.dag_id} has a run of that {0.same} already, {0.run_id}; have it done again with {remedy}, or give another "
        "--logical-date"
    )

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.CLEAR_RUN, dag_id=self.dag_id, run_id=self.run_id)


class FutureDate(Message, frozen=True):
    date: datetime
    template = "{0.moment} is in the future; give a --logical-date that has come"

    @property
    def moment(self) -> str:
        """It, to the minute."""
        return self.date.isoformat(timespec="minutes")
