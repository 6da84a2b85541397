"""How what a DAG or group has in ``default_args`` reaches every operator that takes it, an author's own included."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

#: Not to be had from default_args: these say which task it is.
OF_ONE_TASK = frozenset(("self", "dag", "task_group", "task_id"))


def with_defaults(initialise: Callable[..., None]) -> Callable[..., None]:
    """An operator's ``__init__`` that takes from default_args what it has a parameter for and was not given.

    Each class in a chain takes what it names itself: what one class hands to the next counts as given.
    """

    @functools.wraps(initialise)
    def initialise_with_defaults(self: Any, *args: Any, **kwargs: Any) -> None:
        group = self._begin(kwargs)
        if group is not None and (defaults := group.default_args):
            taken = _missing(initialise, args, kwargs, defaults)
            kwargs.update((name, defaults[name]) for name in taken)
            self._took_defaults(group, taken)
        initialise(self, *args, **kwargs)
        is_outermost = type(self).__init__ is initialise_with_defaults
        if is_outermost and group is not None and "task_id" not in vars(self):
            name = type(self).__name__
            group.dag.mistake(
                f"{name}.__init__ does not call super().__init__(**arguments), which makes a task of it",
                at=self.written_at,
            )

    return initialise_with_defaults


def _missing(
    initialise: Callable[..., None], args: tuple[Any, ...], kwargs: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    positions, names = parameters_of(initialise)
    given = {*positions[: len(args) + 1], *kwargs}
    return [name for name in names if name in defaults and name not in given and name not in OF_ONE_TASK]


@functools.cache
def parameters_of(initialise: Callable[..., None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of those that can be given by position, ``self`` first; of those that can be given by name."""
    parameters = inspect.signature(initialise).parameters.values()
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return (
        tuple(each.name for each in parameters if each.kind in by_position),
        tuple(each.name for each in parameters if each.kind in by_name),
    )
