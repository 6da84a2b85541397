"""``>>``, ``<<``, ``chain`` and ``cross_downstream``: how an author says what comes before what."""

from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeAlias, TypeVar, Union

#: What may stand on either side: a task, an output, or several, in lists of lists if need be.
Related: TypeAlias = Union["Relations", Iterable["Relations | Iterable[Relations]"]]
L = TypeVar("L", bound=Related)


class Relations:
    """Anything that stands for a task in ``>>``: an operator, or the output of one."""

    @property
    def tasks_of_item(self) -> "list[Task]":
        """The tasks this stands for."""
        raise TypeError(f"{type(self).__name__} stands for no task")

    def set_downstream(self, other: Related) -> None:
        """This comes before ``other``."""
        relate(self.tasks_of_item, self._others(other))

    def set_upstream(self, other: Related) -> None:
        """This comes after ``other``."""
        relate(self._others(other), self.tasks_of_item)

    def _others(self, other: object) -> "list[Task]":
        try:
            return tasks_in(other)
        except TypeError as wrong:
            for task in self.tasks_of_item:
                task.mistake(str(wrong))
            return []

    def __rshift__(self, other: L) -> L:
        self.set_downstream(other)
        return other

    def __lshift__(self, other: L) -> L:
        self.set_upstream(other)
        return other

    def __rrshift__(self, other: Related) -> Self:
        self.set_upstream(other)
        return self

    def __rlshift__(self, other: Related) -> Self:
        self.set_downstream(other)
        return self


class Task(Relations):
    """A task, as far as relations go: which DAG it is in, and what is directly above and below it."""

    task_id: str
    dag: Any
    upstream_task_ids: set[str]
    downstream_task_ids: set[str]

    @property
    def tasks_of_item(self) -> "list[Task]":
        """A task stands for itself."""
        return [self]

    def mistake(self, message: str) -> None:
        """Note a mistake where this task was written."""
        raise NotImplementedError


def tasks_in(related: object) -> list[Task]:
    """The tasks that one side of a ``>>`` stands for. Raises TypeError for anything that is not tasks."""
    if isinstance(related, Relations):
        return related.tasks_of_item
    if isinstance(related, Iterable) and not isinstance(related, str):
        return [task for each in related for task in tasks_in(each)]
    raise TypeError(f"only tasks and lists of tasks can be related by >> and <<, not {related!r}")


def relate(before: Iterable[Task], after: Iterable[Task]) -> None:
    """Every task of ``before`` comes before every task of ``after``."""
    later = list(after)
    for upstream in before:
        for downstream in later:
            if upstream.dag is not downstream.dag:
                downstream.mistake(
                    f"{upstream.task_id} and {downstream.task_id} are in different DAGs and cannot be related"
                )
                continue
            upstream.downstream_task_ids.add(downstream.task_id)
            downstream.upstream_task_ids.add(upstream.task_id)


def chain(*tasks: Related) -> None:
    """Each argument comes before the next; two lists side by side are joined pair by pair.

    Raises ValueError for two lists of different lengths.
    """
    for former, latter in zip(tasks, tasks[1:], strict=False):
        both = isinstance(former, Sequence) and isinstance(latter, Sequence)
        if not both:
            relate(tasks_in(former), tasks_in(latter))
            continue
        left, right = tasks_in(former), tasks_in(latter)
        if len(left) != len(right):
            raise ValueError(f"chain: two lists side by side must be of one length, not {len(left)} and {len(right)}")
        for upstream, downstream in zip(left, right, strict=True):
            relate([upstream], [downstream])


def cross_downstream(from_tasks: Related, to_tasks: Related) -> None:
    """Every task of ``from_tasks`` comes before every task of ``to_tasks``."""
    relate(tasks_in(from_tasks), tasks_in(to_tasks))
