"""Runs and task instances as they are recorded, for the code of a task; and what may be asked about them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct, field

from tailrace.model.keys import GREATEST_MAP_INDEX, UNMAPPED

#: So many runs, or task instances, are returned at once. They are read by a worker, which has a lease to renew.
MOST_RETURNED = 10_000

#: So many values may each condition of a query have.
MOST_VALUES = 5_000

#: The confs of the runs that are returned, in characters.
LONGEST_CONFS = 16 * 1024 * 1024

Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
MapIndex: TypeAlias = Annotated[int, Meta(ge=UNMAPPED, le=GREATEST_MAP_INDEX)]


class RecordedRun(Struct, frozen=True, kw_only=True):
    """A run of a DAG. The moments at which it began and ended are None until then."""

    dag_id: str
    run_id: str
    run_type: str
    state: str
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: Mapping[str, Any] = field(default_factory=dict)


class RecordedTaskInstance(Struct, frozen=True, kw_only=True):
    """A task instance of a run. ``state`` is None where nothing is decided; of its newest try are the moments."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    max_tries: int
    logical_date: datetime
    start_date: datetime | None = None
    end_date: datetime | None = None
    pool: str = ""


class Wanted(StrEnum):
    """What is to be returned."""

    RUNS = "runs"
    RUN_COUNT = "run count"
    TASK_INSTANCES = "task instances"
    TASK_INSTANCE_COUNT = "task instance count"

    @property
    def is_of_runs(self) -> bool:
        """Whether it is about runs, not about task instances."""
        return self in (Wanted.RUNS, Wanted.RUN_COUNT)


class RecordsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for runs of a DAG, for task instances of it, or how many there are. None: not a condition.

    ``states`` are of the task instances where these are wanted. ``before`` is a logical date, ``first`` and ``last``
    are, inclusive. With ``newest`` only so many are returned, the newest logical date first; else all, the oldest
    first.
    """

    wanted: Wanted
    dag_id: str
    run_ids: tuple[str, ...] | None = None
    logical_dates: tuple[Moment, ...] | None = None
    states: tuple[str, ...] | None = None
    run_types: tuple[str, ...] | None = None
    before: Moment | None = None
    first: Moment | None = None
    last: Moment | None = None
    task_ids: tuple[str, ...] | None = None
    task_group_id: str | None = None
    map_index: MapIndex | None = None
    newest: Annotated[int, Meta(ge=1, le=MOST_RETURNED)] | None = None


class RunsFound(Struct, frozen=True):
    """The runs that were asked for."""

    runs: tuple[RecordedRun, ...]


class TaskInstancesFound(Struct, frozen=True):
    """The task instances that were asked for, by logical date, then in topological order."""

    task_instances: tuple[RecordedTaskInstance, ...]


class Counted(Struct, frozen=True):
    """How many there are."""

    count: int


class RecordsRefused(Struct, frozen=True):
    """Why there is no reply, in one line; ``unknown``: what is asked about is not there."""

    why: str
    unknown: bool = False


RecordsReply: TypeAlias = RunsFound | TaskInstancesFound | Counted | RecordsRefused


def nothing_of(wanted: Wanted) -> RecordsReply:
    """The reply where nothing is recorded."""
    if wanted in (Wanted.RUN_COUNT, Wanted.TASK_INSTANCE_COUNT):
        return Counted(0)
    return RunsFound(()) if wanted is Wanted.RUNS else TaskInstancesFound(())
