"""What a task's code asks for, as conditions of a query: of the right kind, or refused in one line."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn

from tailrace.model.keys import GREATEST_MAP_INDEX, UNMAPPED
from tailrace.model.names import search_error
from tailrace.model.plain_text import shown
from tailrace.model.recorded import MOST_RETURNED, MOST_VALUES
from tailrace.model.states import TaskInstanceState
from tailrace.model.suggestions import did_you_write

#: States of Airflow's that nothing is in here: who looks for them finds none.
_NEVER = frozenset({"scheduled", "restarting", "shutdown"})


def dag_id_in(dag_id: Any) -> str:
    """The id of a DAG."""
    if wrong := search_error(dag_id):
        refuse(dag_id, f"dag_id must be {wrong}")
    return str.__str__(dag_id)


def group_id_in(group_id: Any) -> str | None:
    """The id of a task group; None for none."""
    if group_id is not None and (wrong := search_error(group_id)):
        refuse(group_id, f"task_group_id must be {wrong}")
    return None if group_id is None else str.__str__(group_id)


def _several(name: str, values: Any, one: type) -> list[Any] | None:
    if values is None:
        return None
    found = [values] if isinstance(values, one) else values
    if isinstance(found, Mapping) or not isinstance(found, Iterable):
        raise TypeError(f"{name} must be a list, not {shown(values)}")
    found = list(found)
    if len(found) > MOST_VALUES:
        raise ValueError(f"{name} are {len(found):,}, and at most {MOST_VALUES:,} can be asked for at once")
    return found


def texts_in(name: str, values: Any) -> tuple[str, ...] | None:
    """Texts, or one; None for no condition."""
    found = _several(name, values, str)
    for value in found or ():
        if wrong := search_error(value):
            refuse(value, f"{name} must be {wrong}")
    return None if found is None else tuple(map(str.__str__, found))


def dates_in(name: str, values: Any) -> tuple[datetime, ...] | None:
    """Logical dates, or one; None for no condition."""
    found = _several(name, values, datetime)
    dates = [date_in(name, value) for value in found or ()]
    if None in dates:
        raise TypeError(f"{name} must be datetimes, not None")
    return None if found is None else tuple(each for each in dates if each is not None)


def date_in(name: str, value: Any) -> datetime | None:
    """A logical date, in UTC; None for no condition."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {shown(value)}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"{name} must say its time zone, as logical_date does, and {value} does not")
    try:
        return _plain(value.astimezone(UTC))
    except OverflowError:
        raise ValueError(f"{name} must be a date that there is in UTC, not {value}") from None


def states_in(states: Any, kind: type[StrEnum]) -> tuple[str, ...] | None:
    """States as they are stored, of those that are given; None stands for one where nothing is decided."""
    found = _several("states", states, str)
    if found is None:
        return None
    meant = []
    for state in found:
        known = {str(each) for each in kind}
        if state is None and kind is TaskInstanceState:
            state = TaskInstanceState.NONE
        if not isinstance(state, str) or str.__str__(state) not in known | _NEVER:
            hint = did_you_write(state, known) if isinstance(state, str) else ""
            refuse(
                state, f"states: there is no state {shown(state)}{hint or '; there are ' + ', '.join(sorted(known))}"
            )
        meant.append(str.__str__(state))
    return tuple(meant)


def map_index_in(map_index: Any) -> int | None:
    """A map index; None for no condition."""
    if map_index is None:
        return None
    if not isinstance(map_index, int) or isinstance(map_index, bool):
        raise TypeError(f"map_index must be a whole number, not {shown(map_index)}")
    if not UNMAPPED <= map_index <= GREATEST_MAP_INDEX:
        raise ValueError("map_index is no index that a task instance can have")
    return map_index


def limit_in(limit: Any) -> int | None:
    """How many are wanted at most; None for all."""
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST_RETURNED:
        refuse("", f"limit must be a whole number from 1 to {MOST_RETURNED:,}, not {shown(limit)}")
    return limit


def refuse(value: object, message: str) -> NoReturn:
    """As Python has it: a value of the wrong kind, or one of the right kind that cannot be."""
    raise ValueError(message) if isinstance(value, str) else TypeError(message)


def _plain(moment: datetime) -> datetime:
    """Of no class of its own, which a message could not hold."""
    return datetime.combine(moment.date(), moment.timetz())
