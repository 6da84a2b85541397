"""Decides what triggering a DAG creates: one run that a person asked for, beside what its schedule is due."""

from datetime import datetime

from msgspec import Struct

from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType, run_id_for
from tailrace.model.spec import DagSpec, ScheduleKind
from tailrace.planning.backfills import NO_CONF
from tailrace.timetable import intervals_between, previous_interval


class TriggerRequest(Struct, frozen=True):
    """What the person asked for. No logical date: now. ``conf`` is canonical JSON text of an object."""

    logical_date: datetime | None = None
    run_id: str | None = None
    conf: str | None = None


class TriggerFacts(Struct, frozen=True):
    """What the metastore knows: the runs that have the wanted date or id, with their ids and states."""

    now: datetime
    dag_paused: bool = False
    same_date: str | None = None  # a run's id
    same_id: str | None = None


class TriggerPlan(Struct, frozen=True):
    """The run to create, live from the start: schedulers drive it. Refused as a whole, or created as a whole."""

    run_id: str
    logical_date: datetime
    interval: DataInterval
    conf: str | None = None
    refusals: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def plan_trigger(dag: DagSpec, request: TriggerRequest, now: datetime, facts: TriggerFacts | None) -> TriggerPlan:
    """The run that the request means; with ``facts``, also whether it may be created. ``now`` stands for no date."""
    date = now if request.logical_date is None else request.logical_date
    run_id = request.run_id or run_id_for(RunType.MANUAL, date)
    refusals: list[str] = []
    notices: list[str] = []
    if facts is not None:
        for taken, what in ((facts.same_date, "of that logical date"), (facts.same_id, "of that id")):
            if taken is not None:
                refusals.append(
                    f"{dag.dag_id} has a run {what} already, {taken}; have it done again with "
                    f"`tailrace runs clear {dag.dag_id} {taken}`, or give another --logical-date"
                )
                break
        if facts.dag_paused:
            notices.append(f"{dag.dag_id} is paused: it begins once `tailrace dags unpause {dag.dag_id}` is typed")
    if date > now:
        refusals.append(f"{date.isoformat(timespec='minutes')} is in the future; give a --logical-date that has come")
    conf = None if request.conf == NO_CONF else request.conf
    return TriggerPlan(run_id, date, interval_for(dag, date), conf, tuple(refusals), tuple(notices))


def interval_for(dag: DagSpec, date: datetime) -> DataInterval:
    """The interval that begins at a schedule point; else the last that has ended by then; else the moment itself."""
    if dag.schedule.kind is ScheduleKind.NONE:
        return DataInterval(date, date)
    begins = intervals_between(dag.schedule, dag.start_date, date, date)
    if begins:
        return begins[0]
    found = previous_interval(dag.schedule, dag.start_date, date)  # it is no point itself
    while found is not None and found.end > date:
        found = previous_interval(dag.schedule, dag.start_date, found.start)
    return DataInterval(date, date) if found is None else found
