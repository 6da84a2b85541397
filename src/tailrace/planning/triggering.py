"""Decides what triggering a DAG creates: one run that a person asked for, beside what its schedule is due."""

from datetime import datetime

from msgspec import Struct

from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType, run_id_for
from tailrace.model.spec import DagSpec, ScheduleKind
from tailrace.planning.backfills import NO_CONF
from tailrace.planning.messages import Message
from tailrace.planning.notices import BeginsUnpaused
from tailrace.planning.refusals import FutureDate, RunExists
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
    refusals: tuple[Message, ...] = ()
    notices: tuple[Message, ...] = ()


def plan_trigger(dag: DagSpec, request: TriggerRequest, now: datetime, facts: TriggerFacts | None) -> TriggerPlan:
    """The run that the request means; with ``facts``, also whether it may be created. ``now`` stands for no date."""
    date = now if request.logical_date is None else request.logical_date
    run_id = request.run_id or run_id_for(RunType.MANUAL, date)
    refusals: list[Message] = []
    notices: list[Message] = []
    if facts is not None:
        for taken, what in ((facts.same_date, "logical date"), (facts.same_id, "id")):
            if taken is not None:
                refusals.append(RunExists(dag.dag_id, taken, what))
                break
        if facts.dag_paused:
            notices.append(BeginsUnpaused(dag.dag_id))
    if date > now:
        refusals.append(FutureDate(date))
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
