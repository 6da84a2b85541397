"""XComArg: the value a task will return, handed to another task before either has run."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, Never, TypeVar

from tailrace.authoring.relations import Node, Relations, Task

R = TypeVar("R", covariant=True)

RETURN_VALUE = "return_value"

Pull = Callable[[str, str], Any]
"""Returns the XCom of a task id under a key, or None where there is none."""


class XComArg(Relations, Generic[R]):
    """Stands for what ``operator`` returns, or a part of it: ``output["key"]``, ``output[0]``."""

    def __init__(self, operator: Task, path: tuple[str | int, ...] = ()) -> None:
        self.operator = operator
        self.path = path

    @property
    def related_nodes(self) -> list[Node]:
        """Relating an output relates its task."""
        return [self.operator]

    def __getitem__(self, part: str | int) -> "XComArg[Any]":
        return XComArg(self.operator, (*self.path, part))

    def __iter__(self) -> Never:
        raise TypeError(f"the output of {self.operator.task_id} is not known yet: take its parts by key or index")

    def __repr__(self) -> str:
        return f"<output of {self.operator.task_id}{''.join(f'[{part!r}]' for part in self.path)}>"

    def resolve(self, pull: Pull) -> Any:
        """The value, once the task has run. Raises LookupError if it returned no such part."""
        value = pull(self.operator.task_id, RETURN_VALUE)
        for part in self.path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                raise LookupError(f"{self!r}: the task returned {value!r}, which has no {part!r}") from None
        return value


def outputs_in(value: Any) -> Iterator[XComArg[Any]]:
    """Every output used in a value, however deep in lists and dicts."""
    if isinstance(value, XComArg):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from outputs_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from outputs_in(each)


def resolve(value: Any, pull: Pull) -> Any:
    """``value`` with every output in it replaced by what its task returned."""
    if isinstance(value, XComArg):
        return value.resolve(pull)
    if isinstance(value, dict):
        return {name: resolve(each, pull) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(resolve(each, pull) for each in value)
    return value
