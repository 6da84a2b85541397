"""Finds the logs of tries by the names that a person knows them by, and follows those of one task instance."""

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tailrace.errors import CommandError
from tailrace.execution.logs import log_path
from tailrace.metastore.views.task_instances import TaskInstanceLine
from tailrace.model.keys import UNMAPPED, TaskInstanceKey, TryKey, index_suffix
from tailrace.model.states import CLAIMED, FINISHED, DagRunState, TaskInstanceState
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.messages import Refused
from tailrace.planning.refusals import NoSuchMapIndex
from tailrace.planning.selecting import indexes_text
from tailrace.service.scopes import require_known
from tailrace.service.stores import Stores
from tailrace.service.views import RunDetails, Wanted, list_runs, list_task_instances, show_run

#: A task's newest run is looked for among so many of its task instances.
_MOST_LOOKED_AT = 1_000

#: Of a try that is under way, or is about to be.
_GOES_ON = CLAIMED | {TaskInstanceState.QUEUED}


class LogNamed(Struct, frozen=True):
    """A log as a person names it: its task, and of that what is not left out."""

    dag_id: str
    task_id: str
    run: str | None = None  # a run id or a logical date; None: the newest run in which the task has had a try
    try_number: int | None = None  # None: the latest
    map_index: int | None = None


class TryLog(Struct, frozen=True):
    """A try's log file, which may not be there, and how its task instance stands."""

    key: TryKey
    path: Path
    state: str
    reason: str
    marked: bool


def find_log(stores: Stores, named: LogNamed) -> TryLog:
    """The log file of a try. Raises CommandError for a try that has none, or never was."""
    run, instance = _named(stores, named)
    name = named.task_id + index_suffix(instance.map_index)
    wanted = named.try_number or instance.try_number
    log = _log(stores, run, instance, wanted)
    if wanted == 0 and instance.marked:
        raise CommandError(no_log(log))
    if wanted == 0:
        raise CommandError(f"{name} of {run.run_id} has had no try yet: it is {instance.state}{_why(instance)}")
    if wanted > instance.try_number:
        raise CommandError(f"{name} of {run.run_id} has had no try {wanted}: its latest is {instance.try_number}")
    if not log.path.is_file():
        raise CommandError(no_log(log))
    return log


def no_log(log: TryLog) -> str:
    """Why there is nothing to show."""
    key = log.key
    if log.marked:
        why = f" ({log.reason})" if log.reason else ""
        return f"{key.task_instance.place} of {key.task_instance.run_id} has no log: it was marked, not run{why}"
    return f"no log of {key} at {log.path}: its process never started, ran on another host, or the file was removed"


def failed_logs(stores: Stores, dag_id: str, run: str | None) -> tuple[str, tuple[TryLog, ...]]:
    """The run that is named, the newest by default, and the latest try of each task instance of it that failed."""
    found = show_run(stores, dag_id, run or _newest_run(stores, dag_id))
    failed = [each for each in found.task_instances if each.state == TaskInstanceState.FAILED]
    return found.run_id, tuple(_log(stores, found, each, each.try_number) for each in failed)


class LogFollowed:
    """One task instance whose tries are followed, from one that may not have begun yet to the last."""

    def __init__(self, stores: Stores, named: LogNamed) -> None:
        """Raises CommandError for a task instance that is not there."""
        self._stores = stores
        run = _run(stores, named)
        self._named = replace(named, run=run.run_id)
        self.number = named.try_number or 1
        if not _waits(run):
            instance = _instance(run, named.task_id, named.map_index)
            self._named = replace(self._named, map_index=instance.map_index)
            self.number = named.try_number or max(1, instance.try_number)

    @property
    def home(self) -> Path:
        """Where logs are."""
        return self._stores.settings.home

    def look(self) -> tuple[TryLog, bool, bool]:
        """The try that is followed; whether it is over, and whether another can follow it."""
        self._stores.close()  # what was read last must not stand in for what is there
        run = _run(self._stores, self._named)
        if _waits(run):
            key = TaskInstanceKey(run.dag_id, run.run_id, self._named.task_id, self._named.map_index or UNMAPPED)
            first = TryKey(key, self.number)
            return TryLog(first, log_path(self.home, first), run.state, run.reason, False), False, True
        instance = _instance(run, self._named.task_id, self._named.map_index)
        log = _log(self._stores, run, instance, self.number)
        goes_on = instance.state in _GOES_ON and instance.try_number <= self.number
        is_begun = instance.try_number >= self.number
        more = instance.try_number > self.number or (
            instance.state not in FINISHED and run.state in (DagRunState.QUEUED, DagRunState.RUNNING)
        )
        return log, (is_begun or not more) and not goes_on, more


def _named(stores: Stores, named: LogNamed) -> tuple[RunDetails, TaskInstanceLine]:
    run = _run(stores, named)
    return run, _instance(run, named.task_id, named.map_index)


def _run(stores: Stores, named: LogNamed) -> RunDetails:
    return show_run(stores, named.dag_id, named.run or _newest_run(stores, named.dag_id, named.task_id))


def _waits(run: RunDetails) -> bool:
    """Whether it has not begun, so that it has no task instances yet."""
    return run.state == DagRunState.QUEUED and not run.task_instances


def _newest_run(stores: Stores, dag_id: str, task_id: str | None = None) -> str:
    """The newest run, or that in which this task has had a try, if it has had any."""
    if task_id is not None:
        tried = list_task_instances(stores, Wanted(dag_id, limit=_MOST_LOOKED_AT), (), (task_id,))
        for each in tried:
            if each.try_number:
                return each.run_id
    for run in list_runs(stores, Wanted(dag_id, limit=1)):
        return run.run_id
    require_known(stores.reading(), dag_id)
    raise CommandError(f"{dag_id} has no run yet")


def _log(stores: Stores, run: RunDetails, instance: TaskInstanceLine, number: int) -> TryLog:
    key = TryKey(TaskInstanceKey(run.dag_id, run.run_id, instance.task_id, instance.map_index), number)
    path = log_path(stores.settings.home, key)
    return TryLog(key, path, instance.state, instance.reason, instance.marked)


def _instance(run: RunDetails, task_id: str, map_index: int | None) -> TaskInstanceLine:
    if not run.task_instances:
        raise CommandError(f"{run.run_id} of {run.dag_id} is {run.state}: no task of it has run yet")
    found = {instance.map_index: instance for instance in run.task_instances if instance.task_id == task_id}
    if len(found) == 1 and map_index is None:
        return next(iter(found.values()))
    if map_index in found:
        return found[map_index]
    if found and map_index is not None:
        raise Refused(NoSuchMapIndex(run.dag_id, run.run_id, task_id, map_index, indexes_text(found.keys())))
    if found:
        has = indexes_text(found.keys())
        raise CommandError(f"{task_id} of {run.run_id} has {has}: say which with --map-index N")
    names = [instance.task_id for instance in run.task_instances]
    raise CommandError(f"no task {task_id!r} in {run.run_id} of {run.dag_id}{did_you_mean(task_id, names)}")


def _why(instance: TaskInstanceLine) -> str:
    return f" ({instance.reason})" if instance.reason else ""
