"""What a task gets that is tried out for a run: the run as it was recorded, with its XComs, if it was.

Nothing is written, and only reading is needed. The metastore is asked before and beside the task's process, never in
it.
"""

import importlib
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from tailrace.effects.tries import Claim, TaskReply, TaskRequest, XComQuery, XComReply
from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import UNMAPPED, RunType, TaskInstanceKey, TryKey, run_id_for
from tailrace.model.recorded import RecordsQuery, RecordsRefused, RecordsReply, nothing_of
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import few, joined
from tailrace.planning.messages import Action, Advised, Message, Remedy
from tailrace.planning.triggering import interval_for
from tailrace.runtime.secrets import SecretSettings
from tailrace.runtime.settings import Settings
from tailrace.runtime.task_settings import give_to_tasks
from tailrace.secrets.requests import SecretReply, SecretRequest, VariableChange
from tailrace.secrets.unwritten import UnwrittenVariables
from tailrace.service.dates import bound_text, parse_bound
from tailrace.service.scopes import run_of
from tailrace.timetable import intervals_between, zone_named

if TYPE_CHECKING:
    from tailrace.metastore.store import Metastore
    from tailrace.metastore.views.runs import Run
    from tailrace.service.stores import Stores


_MOST_NAMED = 3


class _Date(Struct, frozen=True):
    """What RUN means where it names a date: the logical date and id that a run of it has."""

    logical: datetime
    run_id: str


class Trial:
    """One task of one run, to be tried out. ``claim`` is one that nobody holds."""

    def __init__(
        self, settings: Settings, dag: DagSpec, task_id: str, run: str, map_index: int | None, now: datetime
    ) -> None:
        index = _index_of(dag, task_id, map_index)
        give_to_tasks(settings)
        self.notices: list[str] = []
        self._dag = dag
        self._named = run
        self._missing: dict[tuple[str, str], list[str]] = {}
        self._stores = _stores(settings)
        self._secrets = UnwrittenVariables(SecretSettings.of(settings).lookup(self._stored))
        found = self._recorded(run)
        self.is_recorded = found is not None
        self.claim = _claim(dag, task_id, index, _date_of(dag, run) if found is None else found, now)
        if self._stores is not None:  # before the task's process is forked
            self._stores.close()

    def read(self, request: TaskRequest) -> TaskReply:
        """What the task asks for. May be called in another thread, which closes."""
        if isinstance(request, RecordsQuery):
            return self._records(request)
        return self._xcoms(request) if isinstance(request, XComQuery) else self._secret(request)

    def _records(self, query: RecordsQuery) -> RecordsReply:
        """What runs have recorded. A DAG that is tried out before it ever ran is one with no runs, not none."""
        metastore = None if self._stores is None else self._stores.reading()
        found = RecordsRefused(f"there is no DAG {query.dag_id}", unknown=True)
        reply: RecordsReply = found if metastore is None else metastore.recorded(query)
        if isinstance(reply, RecordsRefused) and reply.unknown and self._is_there(query):
            return nothing_of(query.wanted)
        return reply

    def _is_there(self, query: RecordsQuery) -> bool:
        dag = self._dag
        known = all(task_id in dag.by_id for task_id in query.task_ids or ())
        return query.dag_id == dag.dag_id and known and query.task_group_id in (None, *dag.members)

    def _secret(self, request: SecretRequest) -> SecretReply:
        """As a worker replies. What the task sets it alone sees: nothing is written."""
        if isinstance(request, VariableChange) and not self._secrets.is_any_set:
            self.notices.append("Variables that the task has set or deleted stay as they are: nothing is written")
        return self._secrets.reply(request)

    def _xcoms(self, query: XComQuery) -> XComReply:
        """The XComs asked for, as the runs recorded them."""
        own = self.claim.task_instance
        metastore = None if self._stores is None else self._stores.reading()
        reply: XComReply = () if metastore is None else metastore.read_xcom(query)
        if isinstance(reply, tuple):
            found = {task_id for task_id, *_ in reply}
            if (query.dag_id, query.run_id) == (own.dag_id, own.run_id):  # a try begins without its own
                reply = tuple(row for row in reply if row[:2] != (own.task_id, own.map_index))
                found.add(own.task_id)
            self._note_missing(query, found)
        return reply

    def _stored(self) -> "Metastore | None":
        return None if self._stores is None else self._stores.reading()

    def close(self) -> None:
        """Close what this thread has opened."""
        if self._stores is not None:
            self._stores.close()

    @property
    def missing(self) -> Message | None:
        """The XComs that were asked for and are not recorded, in one line; None where there are none."""
        if not self._missing:
            return None
        dag_id, run_id = self._dag.dag_id, self.claim.task_instance.run_id
        named = [
            f"{key} of {joined(few(tasks, _MOST_NAMED))}" + ("" if run == run_id else f" in {run}")
            for (run, key), tasks in self._missing.items()
        ]
        which = "; ".join(few(named, _MOST_NAMED))
        if self.is_recorded:
            shows = Remedy(Action.EXPLAIN_RUN, dag_id=dag_id, run_id=run_id)
            return Advised((f"missing XComs: {which}: {run_id} has not recorded them; ", shows, " says what it did"))
        day = bound_text(self.claim.logical_date, zone_named("UTC"))
        runs = Remedy(Action.BACKFILL if self._may_be_backfilled else Action.TRIGGER, dag_id=dag_id, start=day)
        return Advised((f"missing XComs: {which}: {dag_id} has no run of {day}; ", runs, " makes one"))

    @property
    def _may_be_backfilled(self) -> bool:
        """Whether the run's date is a point of the schedule, if there is one."""
        dag, date = self._dag, self.claim.logical_date
        return not dag.has_schedule or bool(intervals_between(dag.schedule, dag.start_date, date, date))

    def _note_missing(self, query: XComQuery, found: set[str]) -> None:
        lacking = [task_id for task_id in query.task_ids if task_id not in found]
        if lacking or not (query.task_ids or found - {self.claim.task_instance.task_id}):
            known = self._missing.setdefault((query.run_id, query.key), [])
            known.extend(task_id for task_id in lacking or ["any task"] if task_id not in known)

    def _recorded(self, run: str) -> "Run | None":
        if self._stores is None:
            return None
        try:
            metastore = self._stores.reading()
            return None if metastore is None else _find(metastore, self._dag, run)
        except EnvironmentBroken as trouble:
            self.notices.append(f"what runs have recorded cannot be read: {trouble}")
            self._stores = None
            return None


def _find(metastore: "Metastore", dag: DagSpec, run: str) -> "Run | None":
    found = run_of(metastore, dag.dag_id, run, zone_named(dag.schedule.timezone))
    return None if found is None else metastore.show_run(found.id)


def _stores(settings: Settings) -> "Stores | None":
    """None where nothing was ever written: then the database library is not even loaded."""
    if settings.sqlite_file is not None and not settings.sqlite_file.exists():
        return None
    stores: Callable[[Settings], Stores] = importlib.import_module("tailrace.service.stores").Stores
    return stores(settings)


def _date_of(dag: DagSpec, run: str) -> _Date:
    """The date that RUN names, also behind the ``__`` of a run id. A day means its first schedule point."""
    try:
        moment = parse_bound(run.rpartition("__")[2], zone_named(dag.schedule.timezone))
    except CommandError as wrong:
        raise CommandError(f"no run {run!r} of {dag.dag_id} is recorded, and {wrong}") from None
    points = intervals_between(dag.schedule, dag.start_date, moment.earliest, moment.latest)
    logical = points[0].start if points else moment.earliest
    return _Date(logical, run if "__" in run else run_id_for(RunType.MANUAL, logical))


def _index_of(dag: DagSpec, task_id: str, map_index: int | None) -> int:
    """The task instance that is tried out. Raises CommandError unless it is named where there are several."""
    mapped = dag.by_id[task_id].mapped_over is not None
    if mapped and map_index in (None, UNMAPPED):
        raise CommandError(f"{task_id} is mapped: name one of its task instances with --map-index, such as 0")
    if not mapped and map_index not in (None, UNMAPPED):
        raise CommandError(f"{task_id} is not mapped: leave out --map-index")
    return UNMAPPED if map_index is None else map_index


def _claim(dag: DagSpec, task_id: str, map_index: int, of: "Run | _Date", now: datetime) -> Claim:
    """What a try of that run would get; of one that is not recorded, as it would be triggered."""
    if isinstance(of, _Date):
        logical, run_type, conf = of.logical, str(RunType.MANUAL), {}
        run_id, interval = of.run_id, interval_for(dag, of.logical)
    else:
        run_id, logical, run_type = of.run_id, of.logical_date, of.run_type
        interval, conf = DataInterval(*of.data_interval), of.conf if isinstance(of.conf, dict) else {}
    return Claim(
        id=0,
        key=TryKey(TaskInstanceKey(dag.dag_id, run_id, task_id, map_index), 1),
        token=0,
        max_tries=1,
        lost_tries=0,
        logical_date=logical,
        data_interval=interval,
        run_type=run_type,
        run_conf=conf,
        disable_retry=True,
        mark_success=False,
        started_at=now,
    )
