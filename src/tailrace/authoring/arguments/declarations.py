"""How an argument is declared: once, in a TypedDict, with its type, what reads it, its default and what it means.

Type checkers and editors read the TypedDict; operators, ``default_args``, the checks and the reference the rest.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from tailrace.authoring.arguments.unsupported import Unsupported
from tailrace.authoring.mistakes.dag_errors import MISSING


def as_written(value: Any) -> Any:
    """Reads whatever is given: somebody else looks at it."""
    return value


class Argument(Struct, frozen=True):
    """An argument that there is.

    ``read`` gives the value as it is meant, or raises ValueError with what it must be. ``default`` is as an author
    would write it; MISSING where it must be given. ``holds_outputs``: tasks whose outputs are in it come before.
    """

    meaning: str
    read: Callable[[Any], Any] = as_written
    default: Any = None
    in_airflow: bool = True
    holds_outputs: bool = False

    @property
    def otherwise(self) -> Any:
        """What it is where something wrong was given, which is reported."""
        return "" if self.default is MISSING else self.read(self.default)


def arguments_of(*declaring: type) -> dict[str, Argument]:
    """The arguments there are of those that these TypedDicts declare."""
    return {name: each for name, each in _declared(declaring) if isinstance(each, Argument)}


def unsupported_of(*declaring: type) -> dict[str, Unsupported]:
    """Those that change nothing, or must not be asked for."""
    return {name: each for name, each in _declared(declaring) if isinstance(each, Unsupported)}


def _declared(declaring: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    for each in declaring:
        for name, annotation in each.__annotations__.items():
            for notes in annotation.__metadata__:
                yield name, notes
