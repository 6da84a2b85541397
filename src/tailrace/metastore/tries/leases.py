"""The lease of a try: renewed by the worker that holds it, for as long as anything of the try runs."""

import math

from sqlalchemy import bindparam, case, or_, update

from tailrace.effects.tries import Claim, Renewal
from tailrace.metastore.db.tables import task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.model.states import TaskInstanceState
from tailrace.planning.run_stops import STOPPED

_RENEW = (
    update(task_instance)
    .where(
        task_instance.c.id == bindparam("task_instance"),
        task_instance.c.state.in_((TaskInstanceState.RUNNING, TaskInstanceState.STOPPING)),
        task_instance.c.try_number == bindparam("number"),
        task_instance.c.token == bindparam("held"),
        # One that has run out stays so: whoever finds it may end the task, sure that nobody goes on with it.
        task_instance.c.lease_epoch == bindparam("epoch"),
        or_(
            task_instance.c.lease_until > bindparam("now"),
            task_instance.c.lease_seconds + bindparam("grace_from") > bindparam("now"),
        ),
    )
    .values(
        lease_until=bindparam("until"),
        lease_epoch=bindparam("epoch"),
        lease_seconds=bindparam("seconds"),
        # Why it is stopping has been said by whoever wants that.
        reason=case(
            (task_instance.c.state == TaskInstanceState.RUNNING, bindparam("words")), else_=task_instance.c.reason
        ),
    )
    .returning(task_instance.c.state, task_instance.c.cause)
)


def renew(tx: Transaction, claim: Claim, lease_seconds: float, waiting: str) -> Renewal:
    """Whether the try is still this claim's, and may go on; if it is, its lease lasts ``lease_seconds`` from now.

    ``waiting`` becomes the reason why it still runs.

    A lease that has run out is not renewed, even if nobody has noticed yet.
    """
    now = tx.moment
    values = {
        "task_instance": claim.id,
        "number": claim.key.try_number,
        "held": claim.token,
        "until": now.lease + lease_seconds,
        "epoch": now.epoch,
        "seconds": lease_seconds,
        "now": now.lease,
        "grace_from": -math.inf if now.grace_from is None else now.grace_from,
        "words": waiting,
    }
    found = tx.rows(_RENEW, values)
    if not found:
        return Renewal.GONE
    if found[0].state != TaskInstanceState.STOPPING:
        return Renewal.HELD
    return Renewal.RUN_STOPPED if found[0].cause in STOPPED else Renewal.STOPPING
