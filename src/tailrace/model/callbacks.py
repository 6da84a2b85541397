"""What callbacks are called for: the events that a task and a DAG may have functions for, by their arguments' names."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class CallbackName(StrEnum):
    """An event, by the argument that holds the functions which are called at it."""

    ON_FAILURE = "on_failure_callback"
    ON_LATE = "on_late_callback"  # of a DAG: the callback of its deadline
    ON_RETRY = "on_retry_callback"
    ON_SKIPPED = "on_skipped_callback"
    ON_SUCCESS = "on_success_callback"
    ON_BACKFILL_END = "on_backfill_end"


#: Those that a task can have and that jobs call.
OF_TASKS = (CallbackName.ON_FAILURE, CallbackName.ON_RETRY, CallbackName.ON_SKIPPED, CallbackName.ON_SUCCESS)

#: Those of a DAG, called for its runs and its backfills.
OF_DAGS = (CallbackName.ON_BACKFILL_END, CallbackName.ON_FAILURE, CallbackName.ON_LATE, CallbackName.ON_SUCCESS)

#: By the keys of ``[notify]`` in tailrace.toml: what such an event is about, and the callback that it stands beside.
EVERYWHERE: Mapping[str, tuple[str, CallbackName]] = MappingProxyType(
    {
        "on_failure": ("dag_run", CallbackName.ON_FAILURE),
        "on_success": ("dag_run", CallbackName.ON_SUCCESS),
        "on_late": ("dag_run", CallbackName.ON_LATE),
        "on_backfill_end": ("backfill", CallbackName.ON_BACKFILL_END),
        "on_task_failure": ("task_instance", CallbackName.ON_FAILURE),
        "on_task_retry": ("task_instance", CallbackName.ON_RETRY),
    }
)

#: Called in the try's own process, before the task.
ON_EXECUTE = "on_execute_callback"

#: So often the process that calls back may be lost in the middle of it before the event is given up.
MOST_CLAIMS = 5


#: What a run is at the event that it has missed its deadline: it goes on.
LATE = "late"


class EventState(StrEnum):
    """How an event stands whose callbacks are to be called."""

    WAITING = "waiting"  # for a job that calls them, or under way while its lease holds
    CALLED = "called"
    FAILED = "failed"  # one of them raised, hung, or could not be called
