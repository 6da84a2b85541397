"""Triggers one run of a DAG: decides, creates. Imported only after the zygote is forked (see ``launch``)."""

from datetime import UTC, datetime

from msgspec import Struct

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.store import Metastore
from tailrace.model.spec import DagSpec
from tailrace.planning.messages import Refused, Typed
from tailrace.planning.triggering import TriggerRequest, plan_trigger
from tailrace.runtime.opening import new_write_id
from tailrace.service.confs import require_params
from tailrace.service.dates import parse_single
from tailrace.service.reason_structs import Coded, coded, plain_notices, sentences
from tailrace.timetable import zone_named

_ATTEMPTS = 20


class Triggered(Struct, frozen=True, kw_only=True):
    """The run that was created."""

    schema: int = 1
    dag_id: str
    run_id: str
    logical_date: datetime
    data_interval: tuple[datetime, datetime]
    state: str = "queued"
    notices: tuple[str, ...] = ()
    notice_codes: tuple[Coded, ...] = ()


def trigger(
    metastore: Metastore, dag: DagSpec, logical_date: str | None, run_id: str | None, conf: str | None, typed: Typed
) -> Triggered:
    """Create the run; returns what was created. Raises CommandError for a date or id that is taken or cannot be."""
    require_params(dag, conf)
    zone = zone_named(dag.schedule.timezone)
    date, notices = (None, ()) if logical_date is None else parse_single(logical_date, zone)
    request = TriggerRequest(date, run_id, conf)
    for _ in range(_ATTEMPTS):
        now = datetime.now(UTC)
        wanted = plan_trigger(dag, request, now, None)
        facts = metastore.trigger_facts(dag.dag_id, wanted.logical_date, wanted.run_id)
        plan = plan_trigger(dag, request, now, facts)
        if plan.refusals:
            raise Refused(plan.refusals[0])
        if isinstance(metastore.trigger(dag, plan, new_write_id()), int):
            return Triggered(
                dag_id=dag.dag_id,
                run_id=plan.run_id,
                logical_date=plan.logical_date,
                data_interval=(plan.interval.start, plan.interval.end),
                notices=notices + sentences(plan.notices, typed),
                notice_codes=coded((*plain_notices(notices), *plan.notices)),
            )
    raise EnvironmentBroken(f"others keep creating runs of {dag.dag_id} at the same moment; try again")
