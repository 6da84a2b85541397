"""Which task instances of which runs a command means, and what is refused because it means nothing."""

from collections.abc import Container, Iterable, Iterator, Set
from datetime import datetime

from tailrace.model.keys import UNMAPPED, TaskInstanceKey, spans_of
from tailrace.model.spec import DagSpec
from tailrace.model.states import TaskInstanceState
from tailrace.model.task_words import tasks_meant
from tailrace.planning.commands import CommandFacts
from tailrace.planning.expanded import by_task_of, number_stands
from tailrace.planning.messages import Message
from tailrace.planning.refusals import NeverRan, NoRunsInRange, NoSuchMapIndex, NoSuchRun, NoSuchTask
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot


def name_of(run: str | datetime) -> str:
    """A run as it was named."""
    return run if isinstance(run, str) else run.isoformat(timespec="minutes")


def refusals(facts: CommandFacts, task_ids: Iterable[str] = (), map_index: int | None = None) -> Iterator[Message]:
    """Why the command means nothing: one for each thing that it names and that is not there."""
    if facts.dag is None:
        yield NeverRan(facts.dag_id)
        return
    for run in facts.not_found:
        yield NoSuchRun(facts.dag_id, name_of(run))
    if not facts.runs and not facts.not_found:
        yield NoRunsInRange(facts.dag_id)
    known = _known(facts)
    for task_id in task_ids:
        if task_id not in known:
            yield NoSuchTask(facts.dag_id, task_id, tuple(sorted(known)))
        elif map_index is not None:
            yield from _without_index(facts, task_id, map_index)


def named_tasks(facts: CommandFacts, words: Iterable[str]) -> tuple[str, ...]:
    """The tasks that are meant by these ids, groups and patterns. What means none stays as it is, to be refused."""
    groups = {} if facts.dag is None else facts.dag.members
    known = sorted(_known(facts))
    return tuple(dict.fromkeys(each for word in words for each in tasks_meant(word, known, groups) or (word,)))


def _known(facts: CommandFacts) -> set[str]:
    of_dag = () if facts.dag is None else facts.dag.by_id
    return {*of_dag, *(ti.task_id for run in facts.runs for ti in run.task_instances)}


def _without_index(facts: CommandFacts, task_id: str, map_index: int) -> Iterator[Message]:
    """The first of the runs in which the task has no such instance."""
    for run in facts.runs:
        by_task = by_task_of(run.task_instances)
        expanded = number_stands(facts.dag, task_id, by_task)
        there = {ti.map_index for ti in by_task.get(task_id, ()) if ti.state is not TaskInstanceState.REMOVED}
        if map_index not in there or (map_index != UNMAPPED and not expanded):
            yield NoSuchMapIndex(facts.dag_id, run.run_id, task_id, map_index, indexes_text(there, expanded=expanded))
            return


def indexes_text(map_indexes: Set[int], *, expanded: bool = True) -> str:
    """The map indexes that a task has in a run, for whoever named another one."""
    if not map_indexes:
        return "no task instances yet"
    if map_indexes == {UNMAPPED}:
        return "one instance only, which is not mapped, or not yet"
    if not expanded:
        return "no map indexes until it is expanded anew"
    return f"map index{'' if len(map_indexes) == 1 else 'es'} {spans_of(map_indexes)}"


def with_relatives(dag: DagSpec, task_ids: Iterable[str], *, upstream: bool, downstream: bool) -> frozenset[str]:
    """These tasks, and all above or below them, however far."""
    named = frozenset(task_ids)
    chosen = set(named)
    if downstream:
        chosen.update(below for task_id in named for below in dag.descendants.get(task_id, ()))
    if upstream:
        chosen.update(task.task_id for task in dag.tasks if named & dag.descendants[task.task_id])
    return frozenset(chosen)


def by_index(dag: DagSpec, named: Iterable[str], chosen: Iterable[str]) -> frozenset[str]:
    """Of the chosen tasks those of which a map index means that one alone: the named ones, and their mapped groups'."""
    of_named = set(named)
    groups = {task.mapped_group for task_id in of_named if (task := dag.by_id.get(task_id)) is not None} - {""}
    beside = (each for each in chosen if each in dag.by_id and dag.by_id[each].mapped_group in groups)
    return frozenset(of_named.union(beside))


def instances(
    run: RunSnapshot, chosen: frozenset[str] | None, indexed: Container[str] = (), map_index: int | None = None
) -> Iterator[TaskInstanceSnapshot]:
    """The run's task instances of these tasks, of all tasks for None; of the ``indexed`` ones only that index, if any.

    Those that a mapped task has no place for any more are left out, unless nothing else of it is there.
    """
    there = {ti.task_id for ti in run.task_instances if ti.state is not TaskInstanceState.REMOVED}
    for ti in run.task_instances:
        if chosen is not None and ti.task_id not in chosen:
            continue
        other = map_index is not None and ti.task_id in indexed and ti.map_index != map_index
        if not other and (ti.state is not TaskInstanceState.REMOVED or ti.task_id not in there):
            yield ti


def key_of(facts: CommandFacts, run: RunSnapshot, ti: TaskInstanceSnapshot) -> TaskInstanceKey:
    """The task instance's key."""
    return TaskInstanceKey(facts.dag_id, run.run_id, ti.task_id, ti.map_index)
