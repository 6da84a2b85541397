"""What a person is told beside what a command does: each notice as a message, with what can be done about it."""

from datetime import datetime

from tailrace.planning.messages import Action, Message, Remedy, Typed, several


class _OfBackfill(Message, frozen=True):
    backfill_id: int


class CancelledAlready(_OfBackfill, frozen=True):
    template = "backfill {0.backfill_id} is cancelled already"


class PausedAlready(_OfBackfill, frozen=True):
    template = "backfill {0.backfill_id} is paused already"


class NotPaused(_OfBackfill, frozen=True):
    template = "backfill {0.backfill_id} is not paused"


class RunningFinishes(_OfBackfill, frozen=True):
    template = "what runs finishes; go on with {remedy}"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.RESUME_BACKFILL, backfill_id=self.backfill_id)


class JobGoesOn(Message, frozen=True):
    template = "its job goes on with it"


class SchedulerGoesOn(Message, frozen=True):
    template = "a scheduler goes on with it ({remedy})"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.RUN_SCHEDULER)


class NoScheduler(Message, frozen=True):
    template = "no scheduler is running: {remedy} starts one, and drives it"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.RUN_SCHEDULER)


class GoOnWith(Message, frozen=True):
    command: str  # as typed
    template = "go on with it: {remedy}"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.REPEAT, command=self.command)


class LeftAsked(Message, frozen=True):
    count: int
    template = "{0.which} on: the schedule or a person asked for {0.it}"

    @property
    def which(self) -> str:
        """The open runs."""
        return several(self.count, "1 open run goes", f"{self.count} open runs go")

    @property
    def it(self) -> str:
        """The runs again."""
        return several(self.count, "it", "them")


class LeftWanted(LeftAsked, frozen=True):
    backfills: tuple[int, ...]
    template = "{0.which} on: backfill {0.ids} wants {0.it} too"

    @property
    def ids(self) -> str:
        """Who wants them."""
        return ", ".join(map(str, self.backfills))


class NothingToClear(Message, frozen=True):
    template = "nothing to clear"


class NothingToMark(Message, frozen=True):
    template = "nothing to mark: it is so already"


class StayUpstreamFailed(Message, frozen=True):
    dag_id: str
    run_id: str
    tasks: tuple[str, ...]
    template = "{0.run_id}: {0.which} upstream_failed; {remedy} lets it run"

    @property
    def which(self) -> str:
        """The tasks."""
        return ", ".join(self.tasks) + several(len(self.tasks), " stays", " stay")

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.CLEAR_TASK, dag_id=self.dag_id, task_id=self.tasks[0], run_id=self.run_id)


# --- who drives what a command has opened -------------------------------------------------------------------


class DrivenByJob(Message, frozen=True):
    """Open runs, and who drives them: ``run_id`` is the first of them by its row."""

    dag_id: str
    run_id: str
    count: int
    first: str  # logical dates
    last: str
    template = "{0.which}: a job goes on with {0.it}"

    @property
    def which(self) -> str:
        """The runs."""
        return several(self.count, self.run_id, f"{self.count} runs")

    @property
    def it(self) -> str:
        """The runs again."""
        return several(self.count, "it", "them")


class DrivenByBackfill(DrivenByJob, frozen=True):
    backfill_id: int
    template = "{0.which}: backfill {0.backfill_id} drives {0.it}"


class DrivenDetached(DrivenByBackfill, frozen=True):
    template = "{0.which}: backfill {0.backfill_id} drives {0.it} as soon as a scheduler runs ({remedy})"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.RUN_SCHEDULER)


class DrivenIfContinued(DrivenByBackfill, frozen=True):
    command: str  # as typed
    template = "{0.which}: backfill {0.backfill_id} drives {0.it}; continue that with {remedy}"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.REPEAT, command=self.command)


class DrivenIfResumed(DrivenByBackfill, frozen=True):
    template = "{0.which}: backfill {0.backfill_id} is paused; go on with {remedy}"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.RESUME_BACKFILL, backfill_id=self.backfill_id)


class DrivenByScheduler(DrivenByJob, frozen=True):
    paused: bool  # its DAG
    template = "{0.which}: a scheduler drives {0.it}{0.once} ({remedy})"

    @property
    def once(self) -> str:
        """What has to be first."""
        return f" once {self.dag_id} is unpaused" if self.paused else ""

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.RUN_SCHEDULER)


class DrivenByAnybody(DrivenByScheduler, frozen=True):
    """The same, where a backfill may drive them as well, with what it has to name to do them as they were."""

    pool: str | None = None
    disable_retry: bool = False
    mark_success: bool = False

    def told(self, typed: Typed) -> str:
        """With both ways to go on."""
        end = None if self.first == self.last else self.last
        here = Remedy(
            Action.BACKFILL,
            dag_id=self.dag_id,
            start=self.first,
            end=end,
            pool=self.pool,
            disable_retry=self.disable_retry,
            mark_success=self.mark_success,
        )
        return f"{super().told(typed)}, or run {self.it} here: `{typed(here)}`"


class VerdictStays(Message, frozen=True):
    backfills: tuple[int, ...]
    template = "the verdict of backfill {0.ids} stays as it is"

    @property
    def ids(self) -> str:
        """The backfills."""
        return ", ".join(map(str, self.backfills))


class GoAgain(Message, frozen=True):
    dag_id: str
    count: int
    template = "{0.which} of {0.dag_id} that were deadlocked for it {0.go} again"

    @property
    def which(self) -> str:
        """The runs."""
        return several(self.count, "1 run", f"{self.count} runs")

    @property
    def go(self) -> str:
        """What they do."""
        return several(self.count, "goes", "go")


class PoolStandsStill(Message, frozen=True):
    pool: str
    template = "what needs pool {0.pool} waits until it has slots again: {remedy}"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.SET_POOL, pool=self.pool)


class BeginsUnpaused(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} is paused: it begins once {remedy} is typed"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.UNPAUSE_DAG, dag_id=self.dag_id)


# --- of a backfill that is created --------------------------------------------------------------------------


class DagPaused(Message, frozen=True):
    dag_id: str
    template = "{0.dag_id} is paused: its schedule stands still, this backfill runs"


class PoolWithoutSlots(Message, frozen=True):
    pool: str
    slots: int
    template = "pool {0.pool!r} has 0 slots: what needs it waits until {remedy} or more"

    @property
    def remedy(self) -> Remedy | None:
        return Remedy(Action.SET_POOL, pool=self.pool, slots=self.slots)


class LimitOnlyLowers(Message, frozen=True):
    limit: int
    template = "--max-active-runs can only lower the DAG's own limit, {0.limit}"


class KeepsInterval(Message, frozen=True):
    run_id: str
    count: int
    start: datetime
    end: datetime
    template = "{0.which} the data interval of creation ({0.interval}), which the schedule of now does not have"

    @property
    def which(self) -> str:
        """The runs."""
        return several(self.count, f"{self.run_id} keeps", f"{self.count} runs, first {self.run_id}, keep")

    @property
    def interval(self) -> str:
        """The first one's."""
        return f"{self.start.isoformat()} to {self.end.isoformat()}"


class FailedAreLeft(Message, frozen=True):
    count: int
    template = "{0.which}; --reprocess failed runs {0.it} again"

    @property
    def which(self) -> str:
        """The runs."""
        return several(
            self.count, "1 run failed before and is left as it is", f"{self.count} runs failed before and are left"
        )

    @property
    def it(self) -> str:
        """The runs again."""
        return several(self.count, "it", "them")


class NothingBefore(Message, frozen=True):
    date: datetime
    tasks: tuple[str, ...]  # that have no run before; none named: all that look back
    template = "no run{0.which} before {0.moment}: depends_on_past is met for the first date"

    @property
    def which(self) -> str:
        """With which tasks."""
        return f" with {', '.join(self.tasks)}" if self.tasks else ""

    @property
    def moment(self) -> str:
        """The first date."""
        return self.date.isoformat()


class PastIsUndriven(Message, frozen=True):
    run_id: str
    instead: tuple[str, ...]
    template = "{0.run_id} is open and nobody drives it: depends_on_past does not wait for it{0.looks}"

    @property
    def looks(self) -> str:
        """What is looked at instead."""
        return f"; it looks at {', '.join(self.instead)}" if self.instead else ""


class DoneLooksBack(Message, frozen=True):
    run_id: str
    count: int
    template = (
        "{0.which} back at what this backfill fills in; {0.it} not run again (--reprocess over those dates would)"
    )

    @property
    def which(self) -> str:
        """The later runs."""
        many = f"{self.count} later runs that are done, from {self.run_id} on, look"
        return several(self.count, f"{self.run_id}, which is done, looks", many)

    @property
    def it(self) -> str:
        """The runs again."""
        return several(self.count, "it is", "they are")


class ConfKept(Message, frozen=True):
    count: int
    template = "keeps the conf of {0.which}; --conf gives another, --conf '{{}}' none"

    @property
    def which(self) -> str:
        """The runs."""
        return several(self.count, "1 run", f"{self.count} runs")


class ConfReplaced(ConfKept, frozen=True):
    template = "replaces the conf of {0.which}"


class ConfTaken(ConfKept, frozen=True):
    template = "takes away the conf of {0.which}"
