"""Which transitions are events that callbacks are called for. A person's are none: whoever gives a command knows."""

from collections.abc import Mapping

from tailrace.model.callbacks import CallbackName
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

_OF_TASK: Mapping[TaskInstanceState, CallbackName] = {
    TaskInstanceState.SUCCESS: CallbackName.ON_SUCCESS,
    TaskInstanceState.FAILED: CallbackName.ON_FAILURE,
    TaskInstanceState.UP_FOR_RETRY: CallbackName.ON_RETRY,
    TaskInstanceState.SKIPPED: CallbackName.ON_SKIPPED,
}

#: How a try of its own ends. What a rule or a branch skips calls nobody, as in Airflow.
_ENDS_A_TRY = frozenset((Cause.OUTCOME, Cause.RETRY, Cause.LOST, Cause.LOST_TOGETHER))


def event_of_task(task: TaskSpec, before: TaskInstanceState, after: TaskInstanceState, cause: Cause) -> str:
    """The callback that this step of a task instance is the event of; empty where the task has none for it."""
    if not task.calls or before is TaskInstanceState.STOPPING:  # that one ends as a person wanted
        return ""
    name = _OF_TASK.get(after)
    fails_unexpanded = cause is Cause.EXPANDED and after is TaskInstanceState.FAILED
    if name is None or not (cause in _ENDS_A_TRY or fails_unexpanded):
        return ""
    return name if name in task.calls else ""


def event_of_run(dag: DagSpec, state: DagRunState) -> str:
    """The callback that this verdict over a run is the event of."""
    name = CallbackName.ON_SUCCESS if state is DagRunState.SUCCESS else CallbackName.ON_FAILURE
    return name if name in dag.calls else ""


def event_of_late_run(dag: DagSpec) -> str:
    """The same of a run's missing its deadline."""
    return CallbackName.ON_LATE if CallbackName.ON_LATE in dag.calls else ""


def event_of_backfill(dag: DagSpec) -> str:
    """The same of a verdict over a backfill, whichever."""
    return CallbackName.ON_BACKFILL_END if CallbackName.ON_BACKFILL_END in dag.calls else ""
