"""The step of a try that is lost: its worker is gone, or its lease ran out by the metastore's clock."""

from tailrace.model.keys import TaskInstanceKey
from tailrace.model.states import TaskInstanceState
from tailrace.planning.calling import event_of_task
from tailrace.planning.plan import TaskTransition
from tailrace.planning.retries import AfterTry, after_loss, after_stop
from tailrace.planning.snapshot import Snapshot, TaskInstanceSnapshot


def loss(
    snapshot: Snapshot, run: int, key: TaskInstanceKey, ti: TaskInstanceSnapshot, by: str = "stopped as asked"
) -> TaskTransition:
    """The step of a try whose holder is gone; ``by`` is why one that was stopping was stopped."""
    after, task = _after_loss(ti, by), snapshot.dag.by_id.get(key.task_id)
    return TaskTransition(
        id=ti.id,
        run=run,
        key=key,
        before=ti.state,
        before_try=ti.try_number,
        after=after.state,
        try_number=ti.try_number,
        cause=after.cause,
        reason=after.reason,
        token=ti.token,
        only_if_expired=ti.id not in snapshot.lost,
        retry_at=snapshot.now if after.retry_delay is not None else None,
        max_tries=after.max_tries,
        lost_tries=after.lost_tries,
        event="" if task is None else event_of_task(task, ti.state, after.state, after.cause),
    )


def _after_loss(ti: TaskInstanceSnapshot, by: str) -> AfterTry:
    """What a lost try leads to; one that was stopping ends as whoever stopped it wanted, and spends nothing."""
    how = "its lease ran out" if ti.lease_expired else "its worker is gone"
    budget = {"max_tries": ti.max_tries, "lost_tries": ti.lost_tries}
    if ti.state is not TaskInstanceState.STOPPING:
        return after_loss(f"try {ti.try_number} was lost: {how}", **budget)
    text = f"{by}: {how} while try {ti.try_number} was stopping"
    return after_stop(text, ti.stopping_to or TaskInstanceState.NONE, **budget)
