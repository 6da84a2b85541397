"""Sensors of a world: tasks that wait for others, or a whole run, of any of its DAGs, and look as real ones do."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from tailrace.effects.tries import Claim, TryOutcome
from tailrace.metastore.store import Metastore
from tailrace.model.awaited import Awaited, Seen, look
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.recorded import RecordsQuery, RecordsReply, RunsFound, TaskInstancesFound, Wanted
from tailrace.model.states import TaskInstanceState

#: After so many seconds a sensor looks again for what nobody has heard of yet.
_UNKNOWN_SECONDS = 9.0


class Sensor(Struct, frozen=True):
    """Which task it is, and what it waits for: these tasks of a DAG, or (none) the run, so many days before its own."""

    task_id: str
    dag_id: str
    task_ids: tuple[str, ...] = ()
    days_before: int = 0
    failed_states: tuple[str, ...] = ()
    allowed_states: tuple[str, ...] = ("success",)
    goes_on: bool = False
    timeout: float = 30.0 * 24 * 3600

    def awaits(self, date: datetime) -> Awaited:
        """What it waits for in the run of this date."""
        return Awaited(
            self.dag_id,
            (date - timedelta(days=self.days_before),),
            self.task_ids,
            allowed_states=self.allowed_states,
            failed_states=self.failed_states,
            goes_on=self.goes_on,
        )


def outcome_of_look(metastore: Metastore, sensor: Sensor, claim: Claim, now: datetime, first: datetime) -> TryOutcome:
    """What one look comes to: one consistent read of what is recorded. Before the ``first`` date there is nothing."""
    awaited = sensor.awaits(claim.logical_date)
    if awaited.logical_dates[0] < first:
        return TryOutcome(OutcomeKind.SUCCESS, "there is no such date")
    reply = metastore.recorded(
        RecordsQuery(
            Wanted.RUNS if awaited.is_of_runs else Wanted.TASK_INSTANCES,
            awaited.dag_id,
            logical_dates=awaited.logical_dates,
            task_ids=awaited.task_ids or None,
        )
    )
    seen = _seen(reply)
    looked = None if seen is None else look(awaited, seen)
    if looked is not None and looked.failed:
        return TryOutcome(
            OutcomeKind.SKIPPED if sensor.goes_on else OutcomeKind.FAILED, "what it waited for has failed"
        )
    if looked is not None and looked.is_decided:
        return TryOutcome(OutcomeKind.SUCCESS, "it is there")
    ends = claim.started_at + timedelta(seconds=sensor.timeout)
    if now >= ends:
        return TryOutcome(OutcomeKind.SKIPPED if sensor.goes_on else OutcomeKind.FAILED_FOR_GOOD, "it timed out")
    if looked is None:
        return TryOutcome(
            OutcomeKind.RESCHEDULED, "not known yet", resumes_at=min(ends, now + timedelta(seconds=_UNKNOWN_SECONDS))
        )
    return TryOutcome(OutcomeKind.RESCHEDULED, "not there yet", resumes_at=ends, times_out_at=ends, awaits=awaited)


def _seen(reply: RecordsReply) -> Sequence[Seen] | None:
    """What there is of it; None where its DAG, or its task, is not known."""
    if isinstance(reply, RunsFound):
        return [Seen(run.logical_date, run.state, run_id=run.run_id) for run in reply.runs]
    if not isinstance(reply, TaskInstancesFound):
        return None
    return [
        Seen(ti.logical_date, ti.state or TaskInstanceState.NONE, ti.task_id, ti.map_index, ti.run_id)
        for ti in reply.task_instances
        if ti.state != TaskInstanceState.REMOVED
    ]
