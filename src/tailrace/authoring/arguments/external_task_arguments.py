"""The arguments of ExternalTaskSensor: what of another DAG it waits for, and in which states."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Any, TypedDict

from tailrace.authoring.arguments import reading as read
from tailrace.authoring.arguments.declarations import Argument
from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.model.plain_text import shown
from tailrace.model.states import TaskInstanceState

#: What ends the waiting where nothing else is said.
_WELL = (str(TaskInstanceState.SUCCESS),)


def _id(value: Any) -> Any:
    if isinstance(value, XComArg) or (isinstance(value, str) and value):
        return value
    raise ValueError(f"must be an id, not {shown(value)}")


def _ids(value: Any) -> Any:
    if isinstance(value, XComArg):
        return value
    found = read.items(value)
    if not all(isinstance(each, (str, XComArg)) and each for each in found):
        raise ValueError(f"must be task ids, not {shown(value)}")
    return found


def _states(value: Any) -> tuple[str, ...]:
    found = read.items(value)
    if not all(isinstance(each, str) for each in found):
        raise ValueError(f"must be names of states, not {shown(value)}")
    return tuple(dict.fromkeys(str.__str__(each) for each in found))


def _delta(value: Any) -> timedelta:
    if not isinstance(value, timedelta):
        raise ValueError(f"must be a timedelta, not {shown(value)}")
    return value


EXTERNAL_DAG_ID = Argument("the DAG that it waits for", _id, MISSING, holds_outputs=True)


class ExternalTaskArguments(TypedDict, total=False):
    """What of another DAG is waited for."""

    external_task_id: Annotated[
        str | XComArg[str] | None,
        Argument("the task; without one, or a group, it waits for the run", read.or_none(_id), holds_outputs=True),
    ]
    external_task_ids: Annotated[
        Sequence[str] | XComArg[Any] | None, Argument("several tasks", _ids, holds_outputs=True)
    ]
    external_task_group_id: Annotated[
        str | XComArg[str] | None, Argument("the task group", read.or_none(_id), holds_outputs=True)
    ]
    allowed_states: Annotated[
        Sequence[str] | None,
        Argument("the states that end the waiting", lambda value: _states(value) or _WELL, _WELL),
    ]
    failed_states: Annotated[Sequence[str] | None, Argument("those that fail the try", _states)]
    skipped_states: Annotated[Sequence[str] | None, Argument("those that skip the task", _states)]
    execution_delta: Annotated[
        timedelta | None, Argument("how much earlier the logical date there is", read.or_none(_delta))
    ]
    execution_date_fn: Annotated[
        Callable[..., Any] | None,
        Argument("the function from the logical date here to that there, or to several", read.or_none(read.function)),
    ]
    check_existence: Annotated[
        bool, Argument("whether a DAG, task or group that there is not fails the task at once", read.flag, False)
    ]
