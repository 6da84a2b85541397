"""DAGs, claims and contexts for the tests of what runs in a task's process."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tailrace.authoring.dags.dag import DAG, BaseOperator
from tailrace.effects.tries import Claim
from tailrace.execution.context.task_instance import PullXCom, TaskInstance, build_context
from tailrace.execution.messages.tries import order_for
from tailrace.execution.tries.outcome_messages import with_pushes
from tailrace.execution.tries.process import execute
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import TaskInstanceKey, TryKey

DAY = datetime(2016, 1, 31, tzinfo=UTC)


def claim_of(task_id: str, **changes: Any) -> Claim:
    """A claim of the task in the run of 2016-01-31."""
    key = TryKey(
        TaskInstanceKey("example", "backfill__2016-01-31T00:00:00+00:00", task_id), changes.pop("try_number", 2)
    )
    facts: dict[str, Any] = {
        "id": 7,
        "key": key,
        "token": 5,
        "max_tries": 3,
        "lost_tries": 0,
        "logical_date": DAY,
        "data_interval": DataInterval(DAY, DAY + timedelta(days=1)),
        "run_type": "backfill",
        "run_conf": {"region": "north"},
        "disable_retry": False,
        "mark_success": False,
        "started_at": DAY + timedelta(days=3),
    }
    return Claim(**{**facts, **changes})


def nothing(*query: Any) -> list[Any]:
    """The answer to an XCom pull where nobody has pushed."""
    return []


def context_of(task: BaseOperator, pull: PullXCom = nothing, **changes: Any) -> dict[str, Any]:
    """What the task's templates see."""
    order = order_for(claim_of(task.task_id, **changes), None)
    ti = TaskInstance(claim_of(task.task_id, **changes).key, order, pull)
    return build_context(task.dag, order, ti)


def run(task: BaseOperator, pull: PullXCom = nothing, **changes: Any) -> dict[str, Any]:
    """Run the task here; returns the message its process would send."""
    context = context_of(task, pull, **changes)
    return with_pushes(execute(task, context, context["ti"]), context["ti"])


def dag(**arguments: Any) -> DAG:
    """The DAG ``example``, daily, to use in a ``with``."""
    return DAG("example", schedule="@daily", start_date=datetime(2016, 1, 1, tzinfo=UTC), **arguments)
