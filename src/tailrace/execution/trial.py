"""``tailrace tasks test``: one task, here and now, with no state read or written anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tailrace.authoring.loading import LoadedDags
from tailrace.effects.tries import Claim, TryOutcome
from tailrace.execution.context import TaskInstance, build_context
from tailrace.execution.port import order_for
from tailrace.execution.process import environment_of, execute
from tailrace.model.outcomes import OutcomeKind


def run_task_once(
    loaded: LoadedDags,
    claim: Claim,
    home: Path,
    environ: Callable[[dict[str, str]], object],
) -> TryOutcome:
    """Run the claim's task in this process; its output goes where ours goes. XCom pulls find nothing.

    ``environ`` receives the variables the task is to find (``os.environ.update``). Raises KeyError for an unknown task.
    """
    order = order_for(claim, None)

    def nothing(*query: Any) -> list[Any]:
        return []

    dag = loaded.dags[claim.task_instance.dag_id]
    task = dag.task_dict[claim.task_instance.task_id]
    ti = TaskInstance(claim.key, order, nothing)
    environ(environment_of(claim.key, order, home))
    message = execute(task, build_context(dag, order, ti), ti)
    followed = message["followed"]
    return TryOutcome(
        OutcomeKind(message["kind"]), message["error"], message["xcoms"], None if followed is None else tuple(followed)
    )
