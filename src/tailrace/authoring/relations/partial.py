"""What is the same for all instances of a mapped task; ``expand`` or ``expand_kwargs`` makes the task of it."""

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

from tailrace.authoring.mistakes.dag_errors import where_written
from tailrace.authoring.relations.groups import Group


class Expandable:
    """What makes no task until it is expanded: one that never is, is noted where it was written."""

    _made: ClassVar[list["Expandable"]] = []

    def __init__(self, name: str) -> None:
        group = Group.current()
        self.name, self.written_at, self.dag = name, where_written(), None if group is None else group.dag
        self.is_expanded = False
        Expandable._made.append(self)

    @classmethod
    def collect(cls) -> list["Expandable"]:
        """All that were made since this was called last."""
        made, Expandable._made = Expandable._made, []
        return made

    @property
    def note(self) -> str:
        """What to say of one that was never expanded."""
        return f"{self.name}.partial(…) makes no task: nothing calls .expand(…) or .expand_kwargs(…) on it"


class Partial(Expandable):
    """What is the same for all instances of a mapped task; ``expand`` or ``expand_kwargs`` makes the task."""

    def __init__(self, made_by: type[Any], same: Mapping[str, Any], inner: str | None = None) -> None:
        super().__init__(made_by.__name__)
        self._made_by, self._same, self._inner = made_by, dict(same), inner

    def expand(self, **over: Any) -> Any:
        """A task with an instance for each combination of the items of these lists, dicts and outputs."""
        self.is_expanded = True
        return _mapped(self._made_by, self._same, over, None, self._inner)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """A task with an instance for each of these dicts, which hold its arguments."""
        self.is_expanded = True
        return _mapped(self._made_by, self._same, None, kwargs, self._inner)


def _mapped(*arguments: Any) -> Any:
    return importlib.import_module("tailrace.authoring.operators.mapping").MappedOperator(*arguments)
