"""``tailrace tasks test``: one task, here and now, with no state read or written anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tailrace.authoring.loading import LoadedDags
from tailrace.effects.tries import Claim, TryOutcome
from tailrace.execution.context import PullXCom, TaskInstance, build_context
from tailrace.execution.messages import order_for, outcome_in
from tailrace.execution.process import environment_of, execute


def _nothing(*query: Any) -> list[Any]:
    return []


def run_task_once(
    loaded: LoadedDags,
    claim: Claim,
    home: Path,
    environ: Callable[[dict[str, str]], object],
    pull: PullXCom = _nothing,
) -> TryOutcome:
    """Run the claim's task in this process; its output goes where ours goes. ``pull`` answers its XCom pulls.

    ``environ`` receives the variables the task is to find (``os.environ.update``). Raises KeyError for an unknown task.
    """
    order = order_for(claim, None)
    dag = loaded.dags[claim.task_instance.dag_id]
    task = dag.task_dict[claim.task_instance.task_id]
    ti = TaskInstance(claim.key, order, pull)
    environ(environment_of(claim.key, order, str(home)))
    return outcome_in(execute(task, build_context(dag, order, ti), ti))
