"""What templates and functions are given, by name. What costs time is made when it is first asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from tailrace.authoring.context.variables import ON_DEMAND


class Given(dict[str, Any]):
    """What a run was given: its conf, or its params with the conf over them. Its own copy in each try."""


class Context(dict[str, Any]):
    """The variables of one try.

    ``on_demand`` makes those whose values are computed from the schedule, all at once: most tasks use none of them.
    """

    def __init__(self, values: Mapping[str, Any], on_demand: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(values)
        self._on_demand: Callable[[], Mapping[str, Any]] | None = on_demand

    def completed(self) -> Self:
        """With everything made: for whoever copies it, or looks through it."""
        if self._on_demand is not None:
            made, self._on_demand = self._on_demand, None
            for name, value in made().items():
                self.setdefault(name, value)
        return self

    def __missing__(self, name: str) -> Any:
        if name in ON_DEMAND and self._on_demand is not None:
            return self.completed()[name]
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The variable of this name, or ``default``."""
        try:
            return self[name]
        except KeyError:
            return default

    def given(self) -> dict[str, Any]:
        """Those that are made, in a dict of its own: what a function or template without the others is given."""
        return dict(dict.items(self))

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self.completed())

    def __len__(self) -> int:
        return dict.__len__(self.completed())

    def __or__(self, others: Any) -> Any:
        return dict.__or__(self.completed(), others)

    def __ror__(self, others: Any) -> Any:
        return dict.__ror__(self.completed(), others)

    def __repr__(self) -> str:
        return dict.__repr__(self.completed())

    def copy(self) -> dict[str, Any]:
        """All of them, in a dict of its own."""
        return dict.copy(self.completed())

    def keys(self) -> Any:
        """The names of all."""
        return dict.keys(self.completed())

    def values(self) -> Any:
        """The values of all."""
        return dict.values(self.completed())

    def items(self) -> Any:
        """The names and values of all."""
        return dict.items(self.completed())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (name in ON_DEMAND and self._on_demand is not None)


#: Of the task that this process runs; one at a time.
_running: list[Context] = []


@contextmanager
def running(context: Context) -> Iterator[None]:
    """Within, ``get_current_context`` returns this one, in every thread of the process."""
    _running.append(context)
    try:
        yield
    finally:
        _running.pop()


def get_current_context() -> Context:
    """The variables of the task that is running, as ``**context`` has them. Raises RuntimeError outside a task."""
    if not _running:
        raise RuntimeError("get_current_context: no task is running here; call it in the function of a task")
    return _running[-1].completed()
