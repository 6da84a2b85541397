"""XComs as a person looks at them: which a run has recorded, and the value of one."""

from tailrace.effects.tries import Json, Unreadable, XComQuery
from tailrace.errors import CommandError, NotFound
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.lists import RunFound
from tailrace.metastore.views.recorded_xcoms import RecordedXCom
from tailrace.model.keys import UNMAPPED, index_suffix
from tailrace.model.suggestions import few, joined
from tailrace.model.tagged_values import readable
from tailrace.service.scopes import find_run, instance_of
from tailrace.service.stores import Stores

_MOST_NAMED = 5


def list_xcoms(stores: Stores, dag_id: str, run: str) -> tuple[RecordedXCom, ...]:
    """What the run that is named has recorded. Raises CommandError as ``find_run`` does."""
    metastore, found = _found(stores, dag_id, run)
    return metastore.recorded_xcoms(found.id)


def get_xcom(
    stores: Stores, dag_id: str, task_id: str, run: str, key: str, map_index: int | None
) -> tuple[Json, tuple[str, ...]]:
    """The value, as it is read: of a mapped task without ``map_index`` the list of all.

    With it, which instances that list has nothing of. Raises CommandError, with what there is, for a value that is
    not there.
    """
    metastore, found = _found(stores, dag_id, run)
    reply = metastore.read_xcom(XComQuery(dag_id, found.run_id, (task_id,), key, map_index))
    if isinstance(reply, Unreadable):
        raise CommandError(reply.why)
    if not reply:
        raise _lacking(metastore, found, dag_id, task_id, key, map_index)
    ordered = sorted(reply, key=lambda row: row[1])
    if len(ordered) == 1 and (map_index is not None or ordered[0][1] == UNMAPPED):
        return readable(ordered[0][2]), ()
    there = {index for _, index, _ in ordered}
    absent = [each for each in metastore.task_instances_of(found.id) if each.task_id == task_id]
    said = [f"{task_id}{index_suffix(each.map_index)} ({each.state})" for each in absent if each.map_index not in there]
    return [readable(value) for _, _, value in ordered], tuple(few(said, _MOST_NAMED))


def _found(stores: Stores, dag_id: str, run: str) -> tuple[Metastore, RunFound]:
    metastore = stores.reading()
    found = find_run(metastore, dag_id, run)
    assert metastore is not None  # else no run is found
    return metastore, found


def _lacking(
    metastore: Metastore, run: RunFound, dag_id: str, task_id: str, key: str, map_index: int | None
) -> NotFound:
    instances = metastore.task_instances_of(run.id)
    own = [each for each in instances if each.task_id == task_id]
    if not own or map_index is not None:
        own = [instance_of(dag_id, run.run_id, instances, task_id, map_index)]
    recorded = [each for each in metastore.recorded_xcoms(run.id) if each.task_id == task_id]
    there = list(dict.fromkeys(each.key + index_suffix(each.map_index) for each in recorded))
    what = (
        f"it has {joined(few(there, _MOST_NAMED))}"
        if there
        else f"it has none, and is {joined(sorted({each.state for each in own}))}"
    )
    index = "" if map_index is None else index_suffix(map_index)
    return NotFound(f"{task_id}{index} of {run.run_id} has recorded no XCom {key!r}; {what}")
