"""Finds the logs of tries by the names that a person knows them by, and follows those of one task instance."""

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tailrace.errors import NotFound
from tailrace.execution.logs.files import callbacks_path, log_path
from tailrace.metastore.views.task_instances import TaskInstanceLine
from tailrace.model.keys import UNMAPPED, TaskInstanceKey, TryKey
from tailrace.model.states import CLAIMED, FINISHED, DagRunState, TaskInstanceState
from tailrace.model.suggestions import near_or_there
from tailrace.service.scopes import instance_of, require_known
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
    """A try's log file, and how its task instance, or the run that has none yet, stands.

    ``missing`` says why there is no such file; it is empty where there is one. ``marked`` says by whom the task
    instance was given its outcome after the log of its latest try had ended.
    """

    key: TryKey
    path: Path
    stands: str
    reason: str
    missing: str
    marked: str = ""
    callbacks: bool = False  # whether callbacks have printed something beside it


def find_log(stores: Stores, named: LogNamed) -> TryLog:
    """The log file of a try. Raises CommandError for a try that has none, or never was."""
    run = _run(stores, named)
    instance = _instance(stores, run, named.task_id, named.map_index)
    log = _log(stores, run, instance, named.try_number or instance.try_number)
    if log.missing:
        raise NotFound(log.missing)
    return log


def find_callbacks(stores: Stores, named: LogNamed) -> Path:
    """What callbacks that were called for a try have printed. Raises CommandError where there is nothing."""
    run = _run(stores, named)
    instance = _instance(stores, run, named.task_id, named.map_index)
    number = instance.try_number if named.try_number is None else named.try_number
    key = TryKey(TaskInstanceKey(run.dag_id, run.run_id, instance.task_id, instance.map_index), number)
    path = callbacks_path(stores.settings.home, key)
    if not path.is_file():
        raise NotFound(f"no callbacks of {key} have printed anything here: none were called, or on another host")
    return path


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
        if _waits(run):
            _require_task(stores, run, named.task_id)
            return
        instance = _instance(stores, run, named.task_id, named.map_index)
        if instance.map_index != UNMAPPED:  # a placeholder may yet become instances with an index
            self._named = replace(self._named, map_index=instance.map_index)
        self.number = named.try_number or max(1, instance.try_number)

    @property
    def home(self) -> Path:
        """What the logs are in."""
        return self._stores.settings.home

    @property
    def logs(self) -> Path:
        """Where logs are."""
        return self._stores.settings.logs

    def look(self) -> tuple[TryLog, bool, bool]:
        """The try that is followed; whether it is over, and whether another can follow it."""
        self._stores.close()  # what was read last must not stand in for what is there
        run = _run(self._stores, self._named)
        if _waits(run):
            index = UNMAPPED if self._named.map_index is None else self._named.map_index
            first = TryKey(TaskInstanceKey(run.dag_id, run.run_id, self._named.task_id, index), self.number)
            waits = f"the run is {run.state}"
            log = TryLog(first, log_path(self.home, first), waits, run.reason, f"{first} has not begun: {waits}")
            return log, False, True
        instance = _instance(self._stores, run, self._named.task_id, self._named.map_index)
        log = _log(self._stores, run, instance, self.number)
        goes_on = instance.state in _GOES_ON and instance.try_number <= self.number
        is_begun = instance.try_number >= self.number
        more = instance.try_number > self.number or (
            instance.state not in FINISHED and run.state in (DagRunState.QUEUED, DagRunState.RUNNING)
        )
        return log, (is_begun or not more) and not goes_on, more


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
    raise NotFound(f"{dag_id} has no run yet")


def _log(stores: Stores, run: RunDetails, instance: TaskInstanceLine, number: int) -> TryLog:
    key = TryKey(TaskInstanceKey(run.dag_id, run.run_id, instance.task_id, instance.map_index), number)
    path = log_path(stores.settings.home, key)
    missing = "" if path.is_file() else _why_missing(instance, key, path)
    marked = "" if missing else _marked(instance, key)
    calls = callbacks_path(stores.settings.home, key).is_file()
    return TryLog(key, path, f"the task instance is {instance.state}", instance.reason, missing, marked, calls)


def _marked(instance: TaskInstanceLine, key: TryKey) -> str:
    command = instance.last_command
    if not instance.marked or key.try_number != instance.try_number or command is None or not command.stands:
        return ""
    return f"after this try {key.task_instance.place} of {key.task_instance.run_id} was {command.text}"


def _why_missing(instance: TaskInstanceLine, key: TryKey, path: Path) -> str:
    name = f"{key.task_instance.place} of {key.task_instance.run_id}"
    why = f" ({instance.reason})" if instance.reason else ""
    if instance.marked and key.try_number in (0, instance.try_number):
        command = instance.last_command
        by = why if command is None or not command.stands else f" ({command.text})"
        return f"{name} has no log: it was marked, not run{by}"
    if instance.try_number == 0:
        return f"{name} has had no try yet: it is {instance.state}{why}"
    if key.try_number > instance.try_number:
        return f"{name} has had no try {key.try_number}: its latest is {instance.try_number}"
    return f"no log of {key} at {path}: its process never started, ran on another host, or the file was removed"


def _instance(stores: Stores, run: RunDetails, task_id: str, map_index: int | None) -> TaskInstanceLine:
    if not run.task_instances:
        _require_task(stores, run, task_id)
        raise NotFound(f"{run.run_id} of {run.dag_id} is {run.state}: no task of it has run yet")
    return instance_of(run.dag_id, run.run_id, run.task_instances, task_id, map_index)


def _require_task(stores: Stores, run: RunDetails, task_id: str) -> None:
    """Raise CommandError, with the nearest name, for a task that the run, which has none yet, will not have."""
    metastore = stores.reading()
    dag = None if metastore is None else metastore.stored_dag(run.dag_id)
    if dag is not None and task_id not in dag.by_id:
        raise NotFound(f"no task {task_id!r} in DAG {run.dag_id}{near_or_there(task_id, dag.by_id)}")
