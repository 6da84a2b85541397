"""What a DAG file changed of the process that loaded it: reported, put back, and given to its own tasks.

DAG files share an interpreter. Each file begins with the process as the job began it, and its tasks run with what their
own file made of it, as if no other file had been loaded. What can be changed is listed in ``interpreter_state`` and
``system_state``; what is not listed (an attribute that a file replaces in an installed library, say) reaches the files
that come after, and what the kernel does not take back is reported.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from tailrace.authoring.loading.aspect import Aspect
from tailrace.authoring.loading.interpreter_state import OF_THE_INTERPRETER
from tailrace.authoring.loading.system_state import OF_THE_SYSTEM

_ASPECTS = (*OF_THE_INTERPRETER, *OF_THE_SYSTEM)


class ProcessState:
    """The process at one moment."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = tuple(values)

    @classmethod
    def read(cls) -> "ProcessState":
        """The process as it is now."""
        return cls(aspect.read() for aspect in _ASPECTS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessState) and all(map(_is_same, _ASPECTS, self._values, other._values))

    def changes_since(self, before: "ProcessState") -> "Changes":
        """What has been changed in between that the tasks of whoever changed it are to find so."""
        pairs = zip(_ASPECTS, before._values, self._values, strict=True)
        return Changes(
            (aspect, was, now) for aspect, was, now in pairs if aspect.own and not _is_same(aspect, was, now)
        )

    def put_back(self) -> tuple[str, ...]:
        """Make the process what it was at this moment; returns what cannot be had back."""
        lost = []
        for aspect, was in zip(_ASPECTS, self._values, strict=True):
            if _is_same(aspect, was, aspect.read()):
                continue
            try:
                aspect.put(was)
            except Exception:
                lost.append(aspect.what)
        return tuple(lost)


class Changes:
    """What one DAG file changed of the process."""

    def __init__(self, changed: Iterable[tuple[Aspect, Any, Any]]) -> None:
        self._changed = tuple(changed)

    def __bool__(self) -> bool:
        return bool(self._changed)

    def apply(self) -> None:
        """Have the process so, for a task of that file."""
        for aspect, _, now in self._changed:
            with suppress(Exception):
                aspect.put(now)

    def undo(self) -> None:
        """For a process that goes on with a task of another file."""
        for aspect, was, _ in self._changed:
            with suppress(Exception):
                aspect.put(was)


def _is_same(aspect: Aspect, one: Any, other: Any) -> bool:
    return bool(one == other) if aspect.plain else _same(one, other)


def _same(one: Any, other: Any) -> bool:
    """Whether two readings are the same, asking no object of the author's whether it equals another."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    return isinstance(one, (int, float, str, bytes, frozenset)) and bool(one == other)
