"""How closed runs have ended for backfills that are a part of their DAG: copied to what those want, as it is decided.

A backfill of a part is judged by what it wants, as any other: so a run that failed for another task has not failed for
it. Read in the transaction that closes the runs, after all else that it does.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, select, update

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.model.parts import BackfillPart, state_of_part
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.run_stops import STOPPED

_WANTING = (
    select(backfill_run.c.dag_run_id, backfill_run.c.backfill_id, backfill.c.part, dag_run.c.state)
    .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
    .join(dag_run, dag_run.c.id == backfill_run.c.dag_run_id)
    .where(backfill_run.c.dag_run_id.in_(bindparam("runs", expanding=True)), backfill.c.part.is_not(None))
    .order_by(backfill_run.c.dag_run_id, backfill_run.c.backfill_id)
)
_TASK_INSTANCES = select(
    task_instance.c.dag_run_id,
    task_instance.c.task_id,
    task_instance.c.state,
    task_instance.c.stopping_to,
    task_instance.c.cause,
).where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
_SAY = (
    update(backfill_run)
    .where(backfill_run.c.dag_run_id == bindparam("run"), backfill_run.c.backfill_id == bindparam("by"))
    .values(run_state=bindparam("ended"))
)


def wanted_in_part(tx: Transaction, runs: Sequence[int]) -> set[int]:
    """Those of these runs that backfills of a part want, or wanted until they had ended."""
    return {row.dag_run_id for batch in in_batches(runs) for row in tx.rows(_WANTING, {"runs": batch})}


def say_part_states(tx: Transaction, runs: Sequence[int]) -> None:
    """Give the backfills of a part that want these runs, which have just been closed, the state of their part."""
    for batch in in_batches(runs):
        wanting = tx.rows(_WANTING, {"runs": batch})
        if not wanting:
            continue
        states: dict[int, dict[str, list[TaskInstanceState]]] = {}
        stopped: set[tuple[int, str]] = set()
        for run, task_id, state, stopping_to, cause in tx.rows(_TASK_INSTANCES, {"runs": batch}):
            states.setdefault(run, {}).setdefault(task_id, []).append(TaskInstanceState(stopping_to or state))
            if Cause(cause) in STOPPED:
                stopped.add((run, task_id))
        values = []
        for run, by, text, state in wanting:
            ended = _ended(text, DagRunState(state), states.get(run, {}), {task for of, task in stopped if of == run})
            values.append({"run": run, "by": by, "ended": ended})
        tx.change_many(_SAY, values)


def _ended(
    text: str, state: DagRunState, states: Mapping[str, Collection[TaskInstanceState]], stopped: Collection[str]
) -> DagRunState:
    stored = from_json(text)
    part = BackfillPart(tuple(stored["tasks"]), tuple(stored["leaves"]))
    return state_of_part(part, state, states, stopped=any(task_id in stopped for task_id in part.tasks))
