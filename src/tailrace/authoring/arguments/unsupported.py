"""Arguments of Airflow's that Tailrace does not have: what to say when one is given.

What asks for something that would not happen is a mistake. What changes nothing that happens is noted, once for each
DAG. A value that asks for nothing (None, False) is what happens anyway. They are declared beside those that there are
(``task_arguments``, ``dag_arguments``); whoever builds one of them declares it as an Argument.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Never, TypeAlias

from msgspec import Struct


class Unsupported(Struct, frozen=True):
    """An argument that is not there. ``instead`` says what would be missed and what to do; empty: nothing would.

    ``nothing`` are the values that ask for nothing; ``asks`` decides about others, where it depends on what else is
    given.
    """

    instead: str = ""
    nothing: tuple[Any, ...] = (None,)
    asks: Callable[[Mapping[str, Any]], bool] = lambda given: True


class Judged(Struct, frozen=True):
    """What to say about an argument that is not there: that it is a mistake, or that it has no effect, or nothing."""

    mistake: str = ""
    has_no_effect: bool = False


def judge(table: Mapping[str, Unsupported], name: str, given: Mapping[str, Any]) -> Judged:
    """What to say about an argument of the table, given with these others."""
    unsupported, value = table[name], given[name]
    if any(value is each or (type(value) is type(each) and value == each) for each in unsupported.nothing):
        return Judged()
    if not unsupported.instead or not unsupported.asks(given):
        return Judged(has_no_effect=True)
    return Judged(f"{name} {unsupported.instead}")


#: The types of what asks for nothing.
Off: TypeAlias = Literal[False] | None
NoDict: TypeAlias = Mapping[str, Never] | None
NoList: TypeAlias = Sequence[Never] | None

DOCUMENTATION = Unsupported(nothing=(None, ""))
NotCalled: TypeAlias = Annotated[NoList, Unsupported("is not called yet; leave it out", (None, [], ()))]
NoTeardown: TypeAlias = Annotated[
    Off, Unsupported("is not there yet; use trigger_rule='all_done' for what cleans up", (None, False))
]

#: Kept, and without effect.
Text: TypeAlias = Annotated[str | None, Unsupported()]
Flag: TypeAlias = Annotated[bool | None, Unsupported()]
Items: TypeAlias = Annotated[Any, Unsupported(nothing=(None, []))]
Dict: TypeAlias = Annotated[Mapping[str, Any] | None, Unsupported(nothing=(None, {}))]
