"""Triggers one run of a DAG: finds the DAG, decides, creates. Imported only after the zygote is forked (``launch``)."""

from contextlib import closing
from datetime import UTC, datetime

from msgspec.structs import replace

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.execution.zygote import ZygoteHandle
from tailrace.planning.triggering import TriggerPlan, TriggerRequest, plan_trigger
from tailrace.runtime.dates import parse_single
from tailrace.runtime.driver import new_write_id
from tailrace.runtime.finding import find_dag
from tailrace.runtime.opening import open_metastore
from tailrace.runtime.settings import Settings
from tailrace.timetable import zone_named

_ATTEMPTS = 20


def run(
    dag_id: str,
    logical_date: str | None,
    run_id: str | None,
    conf: str | None,
    settings: Settings,
    zygote: ZygoteHandle,
) -> TriggerPlan:
    """Create the run; answers what was created. Raises CommandError for a date or id that is taken or cannot be."""
    dag = find_dag(zygote.loaded(), dag_id, settings.dags)
    zone = zone_named(dag.schedule.timezone)
    date, notices = (None, ()) if logical_date is None else parse_single(logical_date, zone)
    request = TriggerRequest(date, run_id, conf)
    metastore = open_metastore(settings)
    with closing(metastore):
        for _ in range(_ATTEMPTS):
            now = datetime.now(UTC)
            wanted = plan_trigger(dag, request, now, None)
            facts = metastore.trigger_facts(dag_id, wanted.logical_date, wanted.run_id)
            plan = plan_trigger(dag, request, now, facts)
            if plan.refusals:
                raise CommandError(plan.refusals[0])
            if isinstance(metastore.trigger(dag, plan, new_write_id()), int):
                return replace(plan, notices=notices + plan.notices)
    raise EnvironmentBroken(f"others keep creating runs of {dag_id} at the same moment; try again")
