"""Finds the log of a try by the names that a person knows it by."""

from pathlib import Path

from tailrace.errors import CommandError
from tailrace.execution.logs import log_path
from tailrace.metastore.views.task_instances import TaskInstanceLine
from tailrace.model.keys import TaskInstanceKey, TryKey, index_suffix
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.messages import Refused
from tailrace.planning.refusals import NoSuchMapIndex
from tailrace.planning.selecting import indexes_text
from tailrace.service.stores import Stores
from tailrace.service.views import RunDetails, show_run


def find_log(
    stores: Stores, dag_id: str, task_id: str, run: str, try_number: int | None, map_index: int | None = None
) -> Path:
    """The log file of a try, the latest by default. Raises CommandError for a try that has none, or never was."""
    found = show_run(stores, dag_id, run)
    instance = _instance(found, task_id, map_index)
    name = task_id + index_suffix(instance.map_index)
    wanted = try_number or instance.try_number
    if wanted == 0 and instance.marked:
        raise _was_marked(found, instance)
    if wanted == 0:
        raise CommandError(f"{name} of {found.run_id} has had no try yet: it is {instance.state}{_why(instance)}")
    if wanted > instance.try_number:
        raise CommandError(f"{name} of {found.run_id} has had no try {wanted}: its latest is {instance.try_number}")
    key = TryKey(TaskInstanceKey(dag_id, found.run_id, task_id, instance.map_index), wanted)
    path = log_path(stores.settings.home, key)
    if not path.is_file() and instance.marked:
        raise _was_marked(found, instance)
    if not path.is_file():
        raise CommandError(
            f"no log of {key} at {path}: its process never started, ran on another host, or the file was removed"
        )
    return path


def _was_marked(run: RunDetails, instance: TaskInstanceLine) -> CommandError:
    return CommandError(f"{instance.task_id} of {run.run_id} has no log: it was marked, not run{_why(instance)}")


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
