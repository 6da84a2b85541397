"""Finds the DAGs, runs and ranges that a person names among what the metastore knows, or says what is near."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from msgspec import Struct

from tailrace.errors import CommandError, NotFound
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import did_you_mean, joined, near_or_there
from tailrace.planning.commands import CommandScope
from tailrace.planning.messages import Action, Advised, NothingThere, Remedy
from tailrace.planning.refusals import NoSuchMapIndex
from tailrace.planning.selecting import indexes_text
from tailrace.service.dates import parse_bound, run_reference
from tailrace.timetable import zone_named

if TYPE_CHECKING:
    from tailrace.metastore.store import Metastore
    from tailrace.metastore.views.lists import RunFound
    from tailrace.metastore.views.task_instances import TaskInstanceLine

_MOST_NAMED = 4


class RunsNamed(Struct, frozen=True):
    """Runs of a DAG as a person names them: run ids, logical dates and days, or all between two dates."""

    dag_id: str
    runs: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None


def require_known(metastore: "Metastore | None", dag_id: str) -> None:
    """Raise CommandError, with the nearest names, for a DAG that the metastore has never seen."""
    known = () if metastore is None else metastore.known_dags()
    if dag_id not in known:
        raise NotFound(f"{dag_id} has never run here{did_you_mean(dag_id, known)}")


def find_run(metastore: "Metastore | None", dag_id: str, text: str) -> "RunFound":
    """The run that RUN names: a run id, a logical date (naive ones in the DAG's zone), or the day of just one run.

    Raises CommandError with the nearest DAG ids, with the command that lists the DAG's runs, or with the day's runs.
    """
    dag = None if metastore is None else metastore.stored_dag(dag_id)
    if metastore is None or dag is None:
        known = () if metastore is None else metastore.known_dags()
        raise NotFound(f"no run {text} of {dag_id}: it has never run here{did_you_mean(dag_id, known)}")
    zone = zone_named(dag.schedule.timezone)
    found = run_of(metastore, dag_id, text, zone)
    if found is None:
        lists = Remedy(Action.LIST_RUNS, dag_id=dag_id)
        is_name = isinstance(run_reference(text, zone), str) and "__" not in text
        no_date = ", and it is no date such as 2024-05-31" if is_name else ""
        raise NothingThere(Advised((f"no run {text} of {dag_id}{no_date}; ", lists, " lists its runs")))
    return found


def run_of(metastore: "Metastore", dag_id: str, text: str, zone: tzinfo) -> "RunFound | None":
    """The same where the DAG's zone is known; None where there is no such run. Raises CommandError for several."""
    named = run_reference(text, zone)
    if isinstance(named, str):
        found = metastore.find_runs(dag_id, named)
    else:
        found = metastore.runs_between(dag_id, named.earliest, named.latest, _MOST_NAMED + 1)
    if len(found) > 1:
        names = joined([run.run_id for run in found[:_MOST_NAMED]] + ["more"] * (len(found) > _MOST_NAMED))
        raise CommandError(f"{text} is the day of several runs of {dag_id}: {names}; name one of them")
    return found[0] if found else None


def instance_of(
    dag_id: str, run_id: str, instances: Sequence["TaskInstanceLine"], task_id: str, map_index: int | None
) -> "TaskInstanceLine":
    """The instance of the task; of a mapped one that of the index.

    Raises CommandError with the nearest task, Refused with the indexes that there are.
    """
    found = {instance.map_index: instance for instance in instances if instance.task_id == task_id}
    if len(found) == 1 and map_index is None:
        return next(iter(found.values()))
    if map_index in found:
        return found[map_index]
    if found and map_index is not None:
        raise NothingThere(NoSuchMapIndex(dag_id, run_id, task_id, map_index, indexes_text(found.keys())))
    if found:
        raise CommandError(f"{task_id} of {run_id} has {indexes_text(found.keys())}: say which with --map-index N")
    names = [instance.task_id for instance in instances]
    raise NotFound(f"no task {task_id!r} in {run_id} of {dag_id}{near_or_there(task_id, names)}")


def removed(dag_id: str, run_id: str) -> NotFound:
    """The run was there when it was looked for."""
    return NotFound(f"run {run_id} of {dag_id} was removed from the metastore just now")


def scope_of(metastore: "Metastore", named: RunsNamed) -> CommandScope:
    """The runs that are named. Raises CommandError for none, and for a range that ends before it begins."""
    require_known(metastore, named.dag_id)
    if not named.runs and named.start is None and named.end is None:
        raise CommandError("no runs given: name them (run ids or logical dates), or say -s START, -e END or both")
    dag = metastore.stored_dag(named.dag_id)
    first, last = range_of(dag, named.start, named.end)
    return CommandScope(
        named.dag_id,
        tuple(dict.fromkeys(find_run(metastore, named.dag_id, run).run_id for run in named.runs)),
        first,
        last,
    )


def range_of(dag: DagSpec | None, start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """The logical dates from START to END, its whole day included; naive ones in the DAG's zone, else in UTC.

    Raises CommandError for what is no date, and for a range that ends before it begins.
    """
    zone = zone_named("UTC" if dag is None else dag.schedule.timezone)
    first, last = _bound(start, zone), _bound(end, zone)
    if first is not None and last is not None and first[0] > last[1]:
        raise CommandError(f"the range ends before it begins: start {start} is after end {end}")
    return None if first is None else first[0], None if last is None else last[1]


def _bound(text: str | None, zone: tzinfo) -> tuple[datetime, datetime] | None:
    if text is None:
        return None
    moment = parse_bound(text, zone)
    return moment.earliest, moment.latest
