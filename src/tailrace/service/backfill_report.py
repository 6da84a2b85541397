"""What a person asked of a backfill, as typed, and what became of it: the values that interfaces give and
get.

Plain values only: nothing here reads a setting, a file or the metastore, and importing it stays cheap (no
SQLAlchemy), because a command is built before the zygote is forked.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct, field

from tailrace.model.json_values import json_or_text
from tailrace.model.keys import TaskInstanceKey, TryKey, shown_to_clear
from tailrace.model.spec import DagSpec
from tailrace.planning.backfills import BackfillCreation, DateAction, Reprocess
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.planning.failure_groups import Failed
from tailrace.planning.messages import Message, Typed
from tailrace.planning.plan import Blocker
from tailrace.service.reason_structs import Blocked, Coded, blocked_of, coded, sentences


class BackfillEnding(StrEnum):
    """How a backfill stands when its command ends: the ``state`` of its JSON."""

    QUEUED = "queued"
    RUNNING = "running"  # other jobs go on with it
    SUCCESS = "success"
    FAILED = "failed"
    DEADLOCKED = "deadlocked"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"


#: The exit code of each ending; an interrupted command ends with 128 + its signal instead.
EXIT_CODES: Mapping[BackfillEnding, int] = MappingProxyType(
    {
        BackfillEnding.QUEUED: 6,
        BackfillEnding.RUNNING: 6,
        BackfillEnding.SUCCESS: 0,
        BackfillEnding.FAILED: 1,
        BackfillEnding.DEADLOCKED: 3,
        BackfillEnding.CANCELLED: 5,
        BackfillEnding.PAUSED: 6,
        BackfillEnding.INTERRUPTED: 130,
    }
)


class BackfillCommand(Struct, frozen=True):
    """One ``tailrace backfill`` as typed.

    Dates and conf are still text: their meaning needs the DAG (its time zone, its schedule). Workers,
    executor, isolation and the DAG path are not here: they are settings, and an option only overrides them
    there. ``typed`` is the command line to repeat, for messages that say what continues.
    """

    dag_id: str
    start: str | None = None
    end: str | None = None
    reprocess: Reprocess = Reprocess.MISSING
    new: bool = False
    max_active_runs: int | None = None
    pool: str | None = None
    backwards: bool = False
    stop_on_failure: bool = False
    disable_retry: bool = False
    mark_success: bool = False
    ignore_first_depends_on_past: bool = False
    conf: str | None = None
    detached: bool = False  # create it, and leave it to the schedulers
    tasks: tuple[str, ...] = ()  # the part of the DAG: these tasks, by regular expressions,
    upstream: bool = False  # and all above them,
    downstream: bool = False  # and all below them
    bundled: bool = False  # the DAG is one of the examples that ship with Tailrace
    typed: str = ""


class BackfillPreview(Struct, frozen=True):
    """What a command would do, date by date. ``metastore`` is safe to print and need not exist yet."""

    creation: BackfillCreation
    dag: DagSpec
    metastore: str

    @property
    def actions(self) -> Mapping[str, int]:
        """How many dates there are of each action; zeros are left out."""
        counts = Counter(date.action for date in self.creation.dates)
        return {str(action): counts[action] for action in DateAction if counts[action]}


class Repair(Struct, frozen=True):
    """Which runs before its range a backfill goes back to: all dates ``since`` then are to run again with its own.

    ``alone``: between these there are dates without a run, which nobody asked for; so each is to run again by itself.
    """

    since: datetime
    alone: tuple[datetime, ...] = ()


class RootFailure(Struct, frozen=True):
    """The failure that a failed or deadlocked backfill goes back to: the first in time, in the first run that
    has one.

    ``log`` is the path of the try's log file as text, or None where no process ever wrote one.
    """

    try_key: TryKey
    state: str  # failed, upstream_failed, or the state of a deadlocked task instance
    reason: str
    log: str | None = None
    is_own: bool = True  # in a run that the backfill wants
    repair: Repair | None = None  # where a run blocks the backfill's that is none of its own

    @property
    def task_instance(self) -> TaskInstanceKey:
        """The task instance that failed."""
        return self.try_key.task_instance


class BackfillReport(Struct, frozen=True):
    """How a backfill stands when its command ends.

    ``runs`` counts the wanted runs by state, ``task_instances`` those of these runs by state (states with
    none left out); ``seconds`` is this command's own time; ``left_failed`` counts runs that had failed before
    and were left alone; ``done_already``: an earlier command had done it all, and nothing was written. ``failed``
    counts by task what failed in all these runs, ``failed_inside`` in those that succeeded: ``exit_code`` is 1 for it
    only where that was asked for. ``failures`` are those by task and error, ``part`` the tasks that it does, if not
    all.
    """

    backfill_id: int
    dag_id: str
    state: BackfillEnding
    exit_code: int
    runs: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    task_instances: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    seconds: float = 0.0
    blocked: tuple[Blocker, ...] = ()
    root_failure: RootFailure | None = None
    left_failed: int = 0
    done_already: bool = False
    failed: FailedTasks = FailedTasks()
    failed_inside: FailedTasks = FailedTasks()
    failures: tuple[Failed, ...] = ()
    last_command: PersonsCommand | None = None
    notices: tuple[Message, ...] = ()
    part: tuple[str, ...] | None = None


class BackfillEnded(Struct, frozen=True, omit_defaults=True):
    """The same as every interface shows it: the fields are the JSON's. ``done_already`` is there where it is so.

    ``last_command`` is there where a person cancelled or paused it, ``part`` (its tasks) where it is a part of its DAG.
    """

    schema: int
    backfill_id: int
    dag_id: str
    state: BackfillEnding
    runs: Mapping[str, int]
    task_instances: Mapping[str, int]
    seconds: float
    blocked: tuple[Blocked, ...]
    failed_tasks: Mapping[str, int]
    upstream_failed_tasks: Mapping[str, int]
    failures: tuple[Failed, ...]
    root_failure: RootFailure | None
    done_already: bool = False
    last_command: PersonsCommand | None = None
    part: tuple[str, ...] | None = None


def ended(report: BackfillReport, typed: Typed) -> BackfillEnded:
    """A report as it is shown."""
    return BackfillEnded(
        1,
        report.backfill_id,
        report.dag_id,
        report.state,
        report.runs,
        report.task_instances,
        round(report.seconds, 2),
        tuple(blocked_of(each, typed) for each in report.blocked),
        report.failed.failed,
        report.failed.upstream_failed,
        report.failures,
        report.root_failure,
        report.done_already,
        report.last_command if report.last_command is not None and report.last_command.stands else None,
        report.part,
    )


class PreviewedDate(Struct, frozen=True):
    """What would be done about one date, and why."""

    logical_date: datetime
    data_interval: tuple[datetime, datetime]
    run_id: str
    action: DateAction
    reason: str
    task_instances: int
    clear: tuple[str, ...]
    conf: object


class BackfillPreviewed(Struct, frozen=True):
    """A preview as every interface shows it. ``backfill_id``: the unfinished backfill that would be continued.

    ``part``: the tasks that it does; null where that is the whole DAG.
    """

    schema: int
    dry_run: bool
    backfill_id: int | None
    dag_id: str
    metastore: str
    runs: Mapping[str, int]
    task_instances: int
    dates: tuple[PreviewedDate, ...]
    notices: tuple[str, ...]
    notice_codes: tuple[Coded, ...]
    part: tuple[str, ...] | None = None


def previewed(preview: BackfillPreview, typed: Typed) -> BackfillPreviewed:
    """A preview as it is shown."""
    creation = preview.creation
    return BackfillPreviewed(
        1,
        True,
        creation.continues,
        creation.request.dag_id,
        preview.metastore,
        preview.actions,
        sum(date.to_run for date in creation.dates),
        tuple(
            PreviewedDate(
                date.interval.start,
                (date.data_interval.start, date.data_interval.end),
                date.run_id,
                date.action,
                date.reason,
                date.to_run,
                tuple(map(shown_to_clear, date.clear)),
                json_or_text(date.conf),
            )
            for date in creation.dates
        ),
        sentences(creation.notices, typed),
        coded(creation.notices),
        creation.request.part,
    )
