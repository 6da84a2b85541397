"""What a shell completes: names that the metastore knows, and tasks that the text of DAG files seems to define.

Nothing is written, no code of a DAG file is run, and whatever goes wrong completes to nothing.
"""

from tailrace.model.spec import DagSpec
from tailrace.secrets.names import SecretKind
from tailrace.service.dag_names import task_names_in
from tailrace.service.secrets import names_of
from tailrace.service.stores import Stores
from tailrace.timetable import zone_named

#: So many of the newest are offered.
_MOST = 100


def task_ids(stores: Stores, dag_id: str) -> list[str]:
    """The tasks of the DAG as it ran or was loaded last, in their order; of one that is not known, by its file."""
    dag = _dag(stores, dag_id)
    if dag is not None:
        return [task.task_id for task in dag.tasks]
    return sorted(task_names_in(stores.settings.dags, dag_id))


def tasks_and_groups(stores: Stores, dag_id: str) -> list[str | tuple[str, str]]:
    """The same, and the DAG's task groups."""
    dag = _dag(stores, dag_id)
    groups = () if dag is None else dag.groups
    return [*task_ids(stores, dag_id), *((group.group_id, group.tooltip or "a task group") for group in groups)]


def runs(stores: Stores, dag_id: str, beginning: str) -> list[tuple[str, str]]:
    """The DAG's newest runs with their states: by id, or by date where a digit is typed."""
    metastore = stores.reading()
    if metastore is None:
        return []
    found = metastore.newest_runs(dag_id, _MOST)
    if not beginning[:1].isdigit():
        return [(run.run_id, run.state) for run in found]
    dag = metastore.stored_dag(dag_id)
    zone = zone_named("UTC" if dag is None else dag.schedule.timezone)
    local = [(run.logical_date.astimezone(zone), run.state) for run in found]
    days = [moment.date() for moment, _ in local]
    return [
        (day.isoformat() if days.count(day) == 1 else moment.isoformat(timespec="minutes"), state)
        for day, (moment, state) in zip(days, local, strict=True)
    ]


def backfills(stores: Stores) -> list[tuple[str, str]]:
    """The ids of the newest backfills, with what each is."""
    metastore = stores.reading()
    found = () if metastore is None else metastore.list_backfills(None, _MOST)
    return [(str(each.backfill_id), f"{each.dag_id} {each.state}") for each in found]


def pools(stores: Stores) -> list[str]:
    """The names of the pools."""
    metastore = stores.reading()
    return [] if metastore is None else [pool.name for pool in metastore.list_pools()]


def variables(stores: Stores) -> list[str]:
    """The Variables that are stored."""
    return list(names_of(stores, SecretKind.VARIABLE))


def connections(stores: Stores) -> list[str]:
    """The Connections that are stored."""
    return list(names_of(stores, SecretKind.CONNECTION))


def _dag(stores: Stores, dag_id: str) -> DagSpec | None:
    metastore = stores.reading()
    if metastore is None:
        return None
    loaded = [each.spec for each in metastore.loaded_dags() if each.spec.dag_id == dag_id]
    return loaded[0] if loaded else metastore.stored_dag(dag_id)
