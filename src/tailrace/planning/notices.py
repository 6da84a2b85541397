"""Notices beside what a command does: each notice as a message, with what can be done about it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from tailrace.planning.messages import Action, Message, Typed


class OfBackfill(Message, frozen=True):
    backfill_id: int


class CancelledAlready(OfBackfill, frozen=True):
    template = "backfill {0.backfill_id} is cancelled already"


class PausedAlready(OfBackfill, frozen=True):
    template = "backfill {0.backfill_id} is paused already"


class NotPaused(OfBackfill, frozen=True):
    template = "backfill {0.backfill_id} is not paused"


class DoneAlready(OfBackfill, frozen=True):
    template = (
        "backfill {0.backfill_id} has done all of this already, and nothing is written; --reprocess failed runs again "
        "what failed, --reprocess all everything"
    )


class RunningFinishes(OfBackfill, frozen=True):
    template = "what runs finishes; go on with {1}"
    action = Action.RESUME_BACKFILL


class JobGoesOn(Message, frozen=True):
    template = "its job goes on with it"


class SchedulerGoesOn(Message, frozen=True):
    template = "a scheduler goes on with it ({1})"
    action = Action.RUN_SCHEDULER


class NoScheduler(Message, frozen=True):
    template = "no scheduler is running: {1} starts one, and drives it"
    action = Action.RUN_SCHEDULER


class GoOnWith(Message, frozen=True):
    command: str  # as typed
    template = "go on with it: {1}"
    action = Action.REPEAT


class LeftAsked(Message, frozen=True):
    count: int  # open runs
    template = "{0.count:1 open run goes|# open runs go} on: the schedule or a person asked for {0.count:it|them}"


class LeftWanted(LeftAsked, frozen=True):
    backfills: tuple[int, ...]
    template = "{0.count:1 open run goes|# open runs go} on: wanted by backfill {0.backfills} too"


class NothingToClear(Message, frozen=True):
    template = "nothing to clear"


class NothingToMark(Message, frozen=True):
    template = "nothing to mark: it has that state already"


class StayUpstreamFailed(Message, frozen=True):
    dag_id: str
    run_id: str
    task_id: str  # that was marked
    map_index: int | None
    state: str
    tasks: tuple[str, ...]
    count: int
    template = "{0.run_id}: {0.tasks} {0.count:stays|stay} upstream_failed; {1} lets it run"
    action = Action.CLEAR_DOWNSTREAM_FAILED


# --- who drives what a command has opened -------------------------------------------------------------------


class DrivenByJob(Message, frozen=True):
    """Open runs, the first of them by its row, and the logical dates between which they are."""

    dag_id: str
    run_id: str
    count: int
    start: str
    end: str
    template = "{0.which}: a job goes on with {0.count:it|them}"

    @property
    def which(self) -> str:
        """The runs."""
        return self.run_id if self.count == 1 else f"{self.count} runs"


class DrivenByBackfill(DrivenByJob, frozen=True):
    backfill_id: int
    template = "{0.which}: backfill {0.backfill_id} drives {0.count:it|them}"


class DrivenDetached(DrivenByBackfill, frozen=True):
    template = "{0.which}: backfill {0.backfill_id} drives {0.count:it|them} as soon as a scheduler runs ({1})"
    action = Action.RUN_SCHEDULER


class DrivenIfContinued(DrivenByBackfill, frozen=True):
    command: str  # as typed
    template = "{0.which}: backfill {0.backfill_id} drives {0.count:it|them}; continue that with {1}"
    action = Action.REPEAT


class DrivenIfResumed(DrivenByBackfill, frozen=True):
    template = "{0.which}: backfill {0.backfill_id} is paused; go on with {1}"
    action = Action.RESUME_BACKFILL


class DrivenByScheduler(DrivenByJob, frozen=True):
    paused: bool  # its DAG
    template = "{0.which}: a scheduler drives {0.count:it|them}{0.once} ({1})"
    action = Action.RUN_SCHEDULER

    @property
    def once(self) -> str:
        """What has to be first."""
        return f" once {self.dag_id} is unpaused" if self.paused else ""


class DrivenByAnybody(DrivenByScheduler, frozen=True):
    """The same, where a backfill may drive them as well, with what it has to name to do them as they were."""

    pool: str | None
    disable_retry: bool
    mark_success: bool
    part: tuple[str, ...] = ()  # the tasks that are done in them, where those are not all

    def render(self, typed: Typed) -> str:
        """With both ways to go on."""
        end = None if self.start == self.end else self.end
        here = replace(self.remedy_of(Action.BACKFILL), end=end)
        return f"{super().render(typed)}, or run {'it' if self.count == 1 else 'them'} here: `{typed(here)}`"


class VerdictStays(Message, frozen=True):
    backfills: tuple[int, ...]
    template = "what was judged stays as it is: backfill {0.backfills}"


class GoAgain(Message, frozen=True):
    dag_id: str
    count: int
    template = "{0.count:1 run|# runs} of {0.dag_id} that were deadlocked for it {0.count:goes|go} again"


class PoolStandsStill(Message, frozen=True):
    pool: str
    template = "what needs pool {0.pool} waits until it has slots again: {1}"
    action = Action.SET_POOL


class BeginsUnpaused(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} is paused: it begins once {1} is typed"
    action = Action.UNPAUSE_DAG


# --- of a backfill that is created --------------------------------------------------------------------------


class DagPaused(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} is paused: its schedule creates no runs, this backfill runs"


class PoolWithoutSlots(Message, frozen=True):
    pool: str
    slots: int
    template = "pool {0.pool!r} has 0 slots: what needs it waits until {1} or more"
    action = Action.SET_POOL


class LimitOnlyLowers(Message, frozen=True):
    limit: int
    template = "--max-active-runs can only lower the DAG's own limit, {0.limit}"


class KeepsInterval(Message, frozen=True):
    first: str  # a run
    count: int
    begins: datetime
    ends: datetime
    template = (
        "{0.count:|# runs, first }{0.first}{0.count: keeps|, keep} the data interval of creation ({0.begins} to "
        "{0.ends}), which the schedule of now does not have"
    )


class FailedAreLeft(Message, frozen=True):
    count: int
    template = (
        "{0.count:1 run failed before and is left as it is|# runs failed before and are left}; --reprocess failed runs "
        "{0.count:it|them} again"
    )


class LeftOut(Message, frozen=True):
    """Of the tasks that a part leaves out: in how many runs they stand above it and have not succeeded."""

    tasks: tuple[str, ...]
    template = "left out of the part and not waited for, although not succeeded: {0.tasks}"


def left_out(runs: Iterable[Iterable[str]]) -> Iterator[Message]:
    """The notice, of the tasks that are left out in each of these runs; none where there are none."""
    counts = Counter(task_id for tasks in runs for task_id in tasks)
    if counts:
        yield LeftOut(
            tuple(f"{name} in {count:,} run{'' if count == 1 else 's'}" for name, count in sorted(counts.items()))
        )


class PartCreates(Message, frozen=True):
    count: int
    template = (
        "{0.count:1 run is|# runs are} created for the part alone: its schedule makes no other for {0.count:that date|"
        "those dates}, a backfill without --tasks fills in the rest"
    )


class PartWaits(Message, frozen=True):
    run_id: str  # the first
    count: int
    template = (
        "{0.count:|# runs, first }{0.run_id}{0.count: is|, are} open with more than the part: there its tasks wait for "
        "those above them"
    )


class NothingBefore(Message, frozen=True):
    date: datetime
    template = "no run before {0.date}: depends_on_past is met for the first date"


class NothingBeforeSome(NothingBefore, frozen=True):
    tasks: tuple[str, ...]
    template = "no run with {0.tasks} before {0.date}: depends_on_past is met for the first date"


class PastIsUndriven(Message, frozen=True):
    first: str  # a run
    template = "{0.first} is open and nobody drives it: depends_on_past does not wait for it"


class PastIsAnother(PastIsUndriven, frozen=True):
    instead: tuple[str, ...]
    template = PastIsUndriven.template + "; it looks at {0.instead}"


class DoneLooksBack(Message, frozen=True):
    first: str  # a run
    template = (
        "{0.first}, which is done, looks back at what this backfill fills in; it is not run again (--reprocess over "
        "those dates would)"
    )


class DoneLookBack(DoneLooksBack, frozen=True):
    count: int
    template = (
        "{0.count} later runs that are done, from {0.first} on, look back at what this backfill fills in; they are not "
        "run again (--reprocess over those dates would)"
    )


class ConfKept(Message, frozen=True):
    count: int
    template = "keeps the conf of {0.count:1 run|# runs}; --conf gives another, --conf '{{}}' none"


class ConfReplaced(ConfKept, frozen=True):
    template = "replaces the conf of {0.count:1 run|# runs}"


class ConfTaken(ConfKept, frozen=True):
    template = "takes away the conf of {0.count:1 run|# runs}"
