"""What is the same for all instances of a mapped task; ``expand`` or ``expand_kwargs`` makes the task of it."""

import importlib
from collections.abc import Mapping
from typing import Any


class Partial:
    """What is the same for all instances of a mapped task; ``expand`` or ``expand_kwargs`` makes the task."""

    def __init__(self, made_by: type[Any], same: Mapping[str, Any], inner: str | None = None) -> None:
        self._made_by, self._same, self._inner = made_by, dict(same), inner

    def expand(self, **over: Any) -> Any:
        """A task with an instance for each combination of the items of these lists, dicts and outputs."""
        return _mapped(self._made_by, self._same, over, None, self._inner)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """A task with an instance for each of these dicts, which hold its arguments."""
        return _mapped(self._made_by, self._same, None, kwargs, self._inner)


def _mapped(*arguments: Any) -> Any:
    return importlib.import_module("tailrace.authoring.mapping").MappedOperator(*arguments)
