"""The keys by which people, rows and log lines name a run, a task instance and a try."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

UNMAPPED = -1
GREATEST_MAP_INDEX = 2**31 - 1


class RunType(StrEnum):
    """Who asked for a run first; the prefix of its run id."""

    BACKFILL = "backfill"
    SCHEDULED = "scheduled"
    MANUAL = "manual"


def run_id_for(run_type: RunType, logical_date: datetime) -> str:
    """The run id of a run, as Airflow spells it: ``backfill__2016-01-01T00:00:00+00:00``.

    ``logical_date`` is aware and in UTC.
    """
    return f"{run_type}__{logical_date.isoformat()}"


def index_suffix(map_index: int) -> str:
    """What stands behind the id of a mapped task to name one of its instances: ``[3]``; nothing if it is not mapped."""
    return "" if map_index == UNMAPPED else f"[{map_index}]"


def to_clear(task_id: str, map_index: int | None = None) -> str:
    """How a task that is to be cleared when its run begins is stored; or one instance of it: no task id has a slash."""
    return task_id if map_index is None else f"{task_id}/{map_index}"


def task_to_clear(stored: str) -> str:
    """The task of what ``to_clear`` wrote."""
    return stored.partition("/")[0]


def shown_to_clear(stored: str) -> str:
    """What ``to_clear`` wrote as people read it."""
    task_id, _, index = stored.partition("/")
    return task_id + (index_suffix(int(index)) if index else "")


def spans_of(map_indexes: Iterable[int]) -> str:
    """Map indexes as people read them: ``0 to 4, 7``."""
    spans: list[list[int]] = []
    for index in sorted(set(map_indexes)):
        if spans and spans[-1][-1] == index - 1:
            spans[-1][1:] = [index]
        else:
            spans.append([index])
    return ", ".join(" to ".join(map(str, span)) for span in spans)


class TaskInstanceKey(Struct, frozen=True, order=True):
    """One task of one run (and one map index, -1 where the task is not mapped)."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = UNMAPPED

    def __str__(self) -> str:
        return f"{self.dag_id} / {self.run_id} / {self.place}"

    @property
    def place(self) -> str:
        """Where in its run it is: its task id, with its map index."""
        return self.task_id + index_suffix(self.map_index)


class TryKey(Struct, frozen=True, order=True):
    """One try of one task instance; try numbers start at 1 and are never used twice."""

    task_instance: TaskInstanceKey
    try_number: int

    def __str__(self) -> str:
        return f"{self.task_instance} try {self.try_number}"


class ProcessIdentity(Struct, frozen=True, order=True):
    """A process without ambiguity: a pid alone is reused, together with boot, namespace and start time it is not.

    ``start_time`` is in clock ticks since boot (field 22 of /proc/PID/stat). ``namespace`` names the kernel namespaces
    in which pid and start time count: containers of one host may share its name and boot, and have pids of their own.
    What cannot be known is empty, or 0.
    """

    host: str
    boot_id: str
    pid: int
    start_time: int
    namespace: str = ""
