"""Which active runs a job without work takes over from jobs that live: how jobs share what one of them has opened.

Ownership is for thrift only, so a run may change hands at any moment: whoever plans it next finds it as it is, and a
try that both have offered is claimed once.
"""

from collections.abc import Iterable, Sequence

from tailrace.model.states import TaskInstanceState
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot


def has_work_to_spare(task_instances: Iterable[TaskInstanceSnapshot]) -> bool:
    """Whether tries of these wait for a worker already."""
    return any(ti.state is TaskInstanceState.QUEUED for ti in task_instances)


def runs_to_share(own: int, others: Sequence[RunSnapshot]) -> tuple[int, ...]:
    """The runs a job that owns ``own`` takes from others: from whoever has most, until no one has two more than it.

    ``others`` are active runs of live owners, for the same lane, in plan order; the last ones go first, being those
    that their owner comes to last. Two jobs that both decide so from one state do not hand a run back and forth: each
    step makes them more alike.
    """
    by_owner: dict[int, list[int]] = {}
    for run in others:
        by_owner.setdefault(run.owner_job_id or 0, []).append(run.id)
    taken: list[int] = []
    while by_owner:
        richest = max(by_owner, key=lambda owner: (len(by_owner[owner]), -owner))
        if len(by_owner[richest]) < own + 2:
            break
        taken.append(by_owner[richest].pop())
        own += 1
    return tuple(taken)
