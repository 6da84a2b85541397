"""What the metastore knows of backfills, runs, DAGs and pools, as every interface shows it: fields are the JSON's."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict

from tailrace.errors import CommandError
from tailrace.metastore.commands.pools import PoolSummary
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.awaited import WaitingTasks
from tailrace.metastore.views.failures import Root
from tailrace.metastore.views.grid import Grid
from tailrace.metastore.views.jobs import Job
from tailrace.metastore.views.lists import Backfill, DagStats
from tailrace.metastore.views.runs import Run, RunFilter
from tailrace.metastore.views.task_instances import TaskInstanceFilter, TaskInstanceLine, TaskInstanceOfRun
from tailrace.metastore.views.versions import DagVersion, VersionOfRun
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import near_or_there
from tailrace.model.task_words import tasks_meant
from tailrace.planning.explain_facts import CallbackFacts
from tailrace.planning.messages import Action, Advised, Refused, Remedy
from tailrace.service.reason_structs import Blocked, blocked_of, no_backfill
from tailrace.service.scopes import find_run, range_of, removed, require_known
from tailrace.service.stores import Stores


class BackfillDetails(Backfill, frozen=True, kw_only=True):
    """One backfill with what stands in its way."""

    task_instances: Mapping[str, int]
    blocked: tuple[Blocked, ...]
    root_failure: Root | None
    waiting: WaitingTasks  # for other runs


class RunDetails(Run, frozen=True, kw_only=True):
    """One run with its task instances, and the version of its DAG that it was last begun with."""

    task_instances: tuple[TaskInstanceLine, ...]
    dag_version: VersionOfRun | None = None
    callbacks: tuple[CallbackFacts, ...] = ()


def list_backfills(stores: Stores, dag_id: str | None, limit: int) -> tuple[Backfill, ...]:
    """Backfills, newest first. Raises CommandError for a DAG that has never run."""
    metastore = stores.reading()
    if dag_id is not None:
        require_known(metastore, dag_id)
    return () if metastore is None else metastore.list_backfills(dag_id, limit)


def show_backfill(stores: Stores, backfill_id: int | None) -> BackfillDetails:
    """One backfill, the newest by default. Raises CommandError when there is none."""
    metastore = stores.reading()
    line = None if metastore is None else metastore.show_backfill(backfill_id)
    if metastore is None or line is None:
        if backfill_id is None:
            raise Refused(Advised(("no backfill yet; ", Remedy(Action.BACKFILL), " makes one")))
        raise Refused(no_backfill(backfill_id))
    summary = metastore.backfill_summary(line.backfill_id)
    return BackfillDetails(
        **asdict(line),
        task_instances=summary.task_instances,
        blocked=tuple(blocked_of(each, stores.typed) for each in summary.blocked),
        root_failure=summary.root_failure,
        waiting=summary.waiting,
    )


def runs_of_backfill(stores: Stores, backfill_id: int, limit: int) -> tuple[Run, ...]:
    """The runs that a backfill wants, in its order."""
    metastore = stores.reading()
    return () if metastore is None else metastore.runs_of_backfill(backfill_id, limit)


class Wanted(Struct, frozen=True):
    """What a list is asked for, as a person types it: a DAG and a range of logical dates; None: it is left out."""

    dag_id: str | None = None
    start: str | None = None
    end: str | None = None
    limit: int = 100


def list_runs(
    stores: Stores, wanted: Wanted, state: str | None = None, *, failed_tasks: bool = False
) -> tuple[Run, ...]:
    """Runs, newest logical date first; with ``failed_tasks`` only those in which a task failed.

    Raises CommandError for a DAG that has never run, and for dates that are none.
    """
    metastore = stores.reading()
    first, last = _range(metastore, wanted)
    if metastore is None:
        return ()
    asked = RunFilter(wanted.dag_id, state, first, last, failed_tasks)
    return metastore.list_runs(asked, wanted.limit)


def list_task_instances(
    stores: Stores, wanted: Wanted, states: tuple[str, ...], task_ids: tuple[str, ...] = ()
) -> tuple[TaskInstanceOfRun, ...]:
    """Task instances in these states, newest logical date first. Raises as ``list_runs`` does.

    ``task_ids`` may be ids of groups and patterns too.
    """
    metastore = stores.reading()
    first, last = _range(metastore, wanted)
    if metastore is None:
        return ()
    asked = TaskInstanceFilter(wanted.dag_id, states, _meant(metastore, wanted.dag_id, task_ids), first, last)
    return metastore.list_task_instances(asked, wanted.limit)


def _meant(metastore: Metastore, dag_id: str | None, words: tuple[str, ...]) -> tuple[str, ...]:
    """Raises CommandError for a word that means no task there has ever been."""
    if not words:
        return ()
    known = metastore.task_names(dag_id)
    found: dict[str, None] = {}
    for word in words:
        meant = tasks_meant(word, sorted(known.tasks), known.groups)
        if not meant:
            whose = "no DAG here has ever had a" if dag_id is None else f"{dag_id} has never had a"
            raise CommandError(
                f"{whose} task {word!r}{near_or_there(word, (*sorted(known.tasks), *sorted(known.groups)))}"
            )
        found |= dict.fromkeys(meant)
    return tuple(found)


def list_jobs(stores: Stores, limit: int) -> tuple[Job, ...]:
    """Jobs, newest first."""
    metastore = stores.reading()
    return () if metastore is None else metastore.list_jobs(limit)


def _range(metastore: Metastore | None, wanted: Wanted) -> tuple[datetime | None, datetime | None]:
    if wanted.dag_id is None:
        return range_of(None, wanted.start, wanted.end)
    require_known(metastore, wanted.dag_id)
    dag = None if metastore is None else metastore.stored_dag(wanted.dag_id)
    return range_of(dag, wanted.start, wanted.end)


def grid(stores: Stores, wanted: Wanted, task_ids: tuple[str, ...] = ()) -> Grid:
    """The states of a DAG's tasks over its newest runs. Raises CommandError as ``list_task_instances`` does."""
    assert wanted.dag_id is not None
    metastore = stores.reading()
    require_known(metastore, wanted.dag_id)
    assert metastore is not None  # else it is not known
    first, last = _range(metastore, wanted)
    dag = metastore.stored_dag(wanted.dag_id) or DagSpec(wanted.dag_id, ())
    asked = RunFilter(wanted.dag_id, first=first, last=last)
    return metastore.grid(dag, asked, wanted.limit, _meant(metastore, wanted.dag_id, task_ids))


def show_run(stores: Stores, dag_id: str, run: str) -> RunDetails:
    """The run that is named by its id or a logical date. Raises CommandError as ``find_run`` does."""
    metastore = stores.reading()
    found = find_run(metastore, dag_id, run)
    assert metastore is not None  # else no run is found
    try:
        shown = metastore.show_run(found.id)
    except KeyError:
        raise removed(dag_id, found.run_id) from None
    return RunDetails(
        **asdict(shown),
        task_instances=metastore.task_instances_of(found.id),
        dag_version=metastore.version_of_run(found.id),
        callbacks=metastore.callbacks_of(shown.dag_id, shown.run_id),
    )


def dag_versions(stores: Stores, dag_id: str) -> tuple[DagVersion, ...]:
    """Every structure that a DAG has had. Raises CommandError for one that was never loaded."""
    metastore = stores.reading()
    found = () if metastore is None else metastore.dag_versions(dag_id)
    if not found:
        require_known(metastore, dag_id)
    return found


def dag_stats(stores: Stores, dag_id: str | None) -> tuple[DagStats, ...]:
    """The runs and task instances of one DAG, or of each, by state. Raises CommandError for one that never ran."""
    metastore = stores.reading()
    if dag_id is not None:
        require_known(metastore, dag_id)
    return () if metastore is None else metastore.dag_stats(dag_id)


def list_pools(stores: Stores) -> tuple[PoolSummary, ...]:
    """Every pool, by name, with what occupies it."""
    metastore = stores.reading()
    return () if metastore is None else metastore.list_pools()
