"""Which task instances of which runs a command means, and what is refused because it means nothing."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from tailrace.model.keys import TaskInstanceKey
from tailrace.model.spec import DagSpec
from tailrace.planning.commands import CommandFacts
from tailrace.planning.messages import Message
from tailrace.planning.refusals import NeverRan, NoRunsInRange, NoSuchRun, NoSuchTask
from tailrace.planning.snapshot import RunView, TaskInstanceView


def name_of(run: str | datetime) -> str:
    """A run as it was named."""
    return run if isinstance(run, str) else run.isoformat(timespec="minutes")


def refusals(facts: CommandFacts, task_ids: Iterable[str] = ()) -> Iterator[Message]:
    """Why the command means nothing: one for each thing that it names and that is not there."""
    if facts.dag is None:
        yield NeverRan(facts.dag_id)
        return
    for run in facts.not_found:
        yield NoSuchRun(facts.dag_id, name_of(run))
    if not facts.runs and not facts.not_found:
        yield NoRunsInRange(facts.dag_id)
    known = {*facts.dag.by_id, *(ti.task_id for run in facts.runs for ti in run.task_instances)}
    for task_id in task_ids:
        if task_id not in known:
            yield NoSuchTask(facts.dag_id, task_id, tuple(sorted(known)))


def with_relatives(dag: DagSpec, task_ids: Iterable[str], *, upstream: bool, downstream: bool) -> frozenset[str]:
    """These tasks, and all above or below them, however far."""
    named = frozenset(task_ids)
    chosen = set(named)
    if downstream:
        chosen.update(below for task_id in named for below in dag.descendants.get(task_id, ()))
    if upstream:
        chosen.update(task.task_id for task in dag.tasks if named & dag.descendants[task.task_id])
    return frozenset(chosen)


def instances(run: RunView, chosen: frozenset[str] | None) -> Iterator[TaskInstanceView]:
    """The run's task instances of these tasks; of all tasks for None."""
    return (ti for ti in run.task_instances if chosen is None or ti.task_id in chosen)


def key_of(facts: CommandFacts, run: RunView, ti: TaskInstanceView) -> TaskInstanceKey:
    """The task instance's key."""
    return TaskInstanceKey(facts.dag_id, run.run_id, ti.task_id, ti.map_index)
