"""What failed inside a run, counted and reported: a run is judged by its leaves, so tasks may fail in one that
succeeds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct, field

from tailrace.model.states import TaskInstanceState

_MOST_NAMED = 5


class FailedTasks(Struct, frozen=True):
    """How many task instances of each task failed, and how many did not run because one above them had."""

    failed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    upstream_failed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        return bool(self.failed or self.upstream_failed)

    @property
    def counted(self) -> str:
        """``4 tasks failed inside, 1 task upstream_failed``; nothing where nothing failed."""
        return ", ".join(f"{_tasks(tasks)} {text}" for text, tasks in self._parts())

    @property
    def named(self) -> str:
        """``4 tasks failed inside: a, b (3); 1 task upstream_failed: c``, the first few by name."""
        return "; ".join(f"{_tasks(tasks)} {text}: {_names(tasks)}" for text, tasks in self._parts())

    @property
    def names(self) -> str:
        """``failed inside: a, b (3); upstream_failed: c``, the first few of each."""
        return "; ".join(f"{text}: {_names(tasks)}" for text, tasks in self._parts())

    def _parts(self) -> Iterable[tuple[str, Mapping[str, int]]]:
        if self.failed:
            yield "failed inside", self.failed
        if self.upstream_failed:
            yield f"upstream_failed{'' if self.failed else ' inside'}", self.upstream_failed


def failed_tasks(found: Iterable[tuple[str, str, int]]) -> FailedTasks:
    """From (task id, state, how many task instances); what is in any other state does not count."""
    failed: Counter[str] = Counter()
    upstream_failed: Counter[str] = Counter()
    for task_id, state, count in found:
        if state == TaskInstanceState.FAILED:
            failed[task_id] += count
        elif state == TaskInstanceState.UPSTREAM_FAILED:
            upstream_failed[task_id] += count
    return FailedTasks(dict(sorted(failed.items())), dict(sorted(upstream_failed.items())))


def _tasks(counts: Mapping[str, int]) -> str:
    count = sum(counts.values())
    return "1 task" if count == 1 else f"{count:,} tasks"


def _names(counts: Mapping[str, int]) -> str:
    names = [name if count == 1 else f"{name} ({count:,})" for name, count in counts.items()]
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
