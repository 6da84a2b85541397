"""Why a person's command is refused: each reason as a message, with what can be done about it."""

from datetime import datetime

from tailrace.model.keys import RunType
from tailrace.planning.messages import Action, Message


class NeverRan(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} has never run here; {1} lists what has"
    action = Action.LIST_ALL_RUNS


class NoRunsInRange(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} has no runs in this range; {1} lists its runs"
    action = Action.LIST_RUNS


class NoSuchRun(NoRunsInRange, frozen=True):
    run: str
    template = "{0.dag_id} has no run {0.run}; {1} lists its runs"


class NoSuchTask(Message, frozen=True):
    dag_id: str
    task_id: str
    known: tuple[str, ...]
    template = "{0.dag_id} has no task {0.task_id!r}; it has {0.known}"


class DownstreamFailedBeside(Message, frozen=True):
    beside: str
    template = "--downstream-failed clears what is upstream_failed below; leave it out beside {0.beside}"


class NoSuchMapIndex(Message, frozen=True):
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    has: str
    template = "{0.task_id} of {0.run_id} has no map index {0.map_index}: it has {0.has}"


class NoSuchBackfill(Message, frozen=True):
    template = "there is no such backfill; {1} lists them"
    action = Action.LIST_BACKFILLS


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
    template = "pool {0.pool!r} does not exist; create it with {1}, or use one of: {0.known:none}"
    action = Action.SET_POOL


class TaskTooLarge(Message, frozen=True):
    pool: str
    size: int
    slots: int
    template = "a task needs {0.slots} slots and pool {0.pool!r} has {0.size} in all; enlarge it with {1}"
    action = Action.SET_POOL


class BackwardsWithPast(Message, frozen=True):
    dag_id: str
    tasks: tuple[str, ...]
    template = (
        "{0.dag_id}: --backwards cannot go with depends_on_past ({0.tasks}): each run would wait for a later one; "
        "leave out --backwards"
    )


_ASKED_BY = {
    RunType.SCHEDULED: "due by the schedule",
    RunType.MANUAL: "triggered by a person",
    RunType.BACKFILL: "running already",
}


class OptionsDiffer(Message, frozen=True):
    run_id: str
    count: int
    options: tuple[str, ...]

    @property
    def differing(self) -> str:
        """The options."""
        return " and ".join(self.options)


class OtherOptions(OptionsDiffer, frozen=True):
    """Open runs that whoever asked for them wants with other options; ``run_id`` is the first."""

    run_type: RunType
    template = (
        "{0.count:|# runs, first }{0.run_id}{0.count: is|, are} {0.asked_by} with another {0.differing}; give the same "
        "options, or first let that end"
    )

    @property
    def asked_by(self) -> str:
        """Who wants them."""
        return _ASKED_BY[self.run_type]


class OtherBackfill(OptionsDiffer, frozen=True):
    """The same, where backfills want them."""

    backfill_id: int
    backfills: tuple[int, ...]
    template = (
        "{0.count:|# runs, first }{0.run_id}{0.count: is|, are} wanted by backfill {0.backfills} with another "
        "{0.differing}; give the same options, or first have that end (continue it, or {1})"
    )
    action = Action.CANCEL_BACKFILL


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
        "{0.dag_id} has a run of that {0.same} already, {0.run_id}; have it done again with {1}, "
        "or give another {0.same}"
    )
    action = Action.CLEAR_RUN


class FutureDate(Message, frozen=True):
    date: datetime
    template = "{0.date:minutes} is in the future; give a --logical-date that has come"
