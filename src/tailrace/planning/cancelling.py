"""Decides what cancelling, pausing and resuming a backfill do.

A run that another unfinished backfill wants, or that the schedule or a person asked for, is never taken from them.
What is cancelled keeps no outcome it did not have: queued tries are taken back, running ones asked to stop, and neither
spends a retry.
"""

from collections.abc import Iterable, Iterator

from tailrace.model.states import BACKFILL_CLOSED, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning import notices
from tailrace.planning.commands import (
    BackfillChange,
    CommandFacts,
    CommandKind,
    CommandPlan,
    KnownBackfill,
    RunChange,
    TaskInstanceChange,
)
from tailrace.planning.messages import Message
from tailrace.planning.refusals import BackfillCancelled, BackfillOver, NoSuchBackfill
from tailrace.planning.selecting import key_of
from tailrace.planning.snapshot import RunSnapshot


def plan_cancel(facts: CommandFacts) -> CommandPlan:
    """Everything that cancelling ``facts.backfill`` writes; ``facts.runs`` are the open runs that it wants."""
    backfill = facts.backfill
    refused = tuple(_refusals(backfill, "cancel"))
    if backfill is None or refused:
        return CommandPlan(CommandKind.CANCEL, facts.dag_id, refusals=refused)
    if backfill.state is BackfillState.CANCELLED:
        return CommandPlan(CommandKind.CANCEL, facts.dag_id, notices=(notices.CancelledAlready(backfill.id),))
    mine = [run for run in facts.runs if _only_of(backfill, run)]
    left = [run for run in facts.runs if not _only_of(backfill, run)]
    reason = f"backfill {backfill.id} was cancelled"
    return CommandPlan(
        CommandKind.CANCEL,
        facts.dag_id,
        task_instances=tuple(_taken_back(facts, mine, Cause.CANCELLED, reason, running=True)),
        runs=tuple(
            RunChange(
                run.id,
                run.run_id,
                run.version,
                run.state,
                DagRunState.CANCELLED,
                Cause.CANCELLED,
                reason,
                {ti.id: ti.state for ti in run.task_instances},
            )
            for run in mine
        ),
        backfill=BackfillChange(
            backfill.id, backfill.version, backfill.state, BackfillState.CANCELLED, backfill.paused, "cancelled"
        ),
        wanted={run.id: run.wanted_by for run in facts.runs},
        notices=tuple(_left(left, backfill)),
    )


def plan_pause(facts: CommandFacts, paused: bool) -> CommandPlan:
    """Everything that pausing or resuming ``facts.backfill`` writes. Pausing takes queued tries back: nothing of it
    starts any more; what runs finishes.
    """
    kind = CommandKind.PAUSE if paused else CommandKind.RESUME
    backfill = facts.backfill
    refused: tuple[Message, ...] = tuple(_refusals(backfill, str(kind)))
    if backfill is not None and backfill.state is BackfillState.CANCELLED:
        refused = (BackfillCancelled(backfill.id, str(backfill.state), str(kind)),)
    if backfill is None or refused:
        return CommandPlan(kind, facts.dag_id, refusals=refused)
    if backfill.paused == paused:
        already = notices.PausedAlready(backfill.id) if paused else notices.NotPaused(backfill.id)
        return CommandPlan(kind, facts.dag_id, notices=(already, _goes_on(backfill, paused)))
    mine = [run for run in facts.runs if _idle_without(facts, backfill, run)] if paused else []
    changes = tuple(_taken_back(facts, mine, Cause.PAUSED, f"backfill {backfill.id} was paused", running=False))
    touched = {change.run for change in changes}
    return CommandPlan(
        kind,
        facts.dag_id,
        task_instances=changes,
        runs=tuple(
            RunChange(run.id, run.run_id, run.version, run.state, run.state, Cause.PAUSED, "")
            for run in mine
            if run.id in touched or run.state is DagRunState.RUNNING  # what was decided before must not start
        ),
        backfill=BackfillChange(backfill.id, backfill.version, backfill.state, backfill.state, paused, str(kind)),
        wanted={run.id: run.wanted_by for run in mine},
        notices=(_goes_on(backfill, paused),),
    )


def _refusals(backfill: KnownBackfill | None, verb: str) -> Iterator[Message]:
    if backfill is None:
        yield NoSuchBackfill()
    elif backfill.state in BACKFILL_CLOSED and backfill.state is not BackfillState.CANCELLED:
        yield BackfillOver(backfill.id, str(backfill.state), verb)


def _goes_on(backfill: KnownBackfill, paused: bool) -> Message:
    if paused:
        return notices.RunningFinishes(backfill.id)
    if backfill.driven:
        return notices.JobGoesOn()
    return notices.SchedulerGoesOn() if backfill.detached else notices.GoOnWith(backfill.command)


def _only_of(backfill: KnownBackfill, run: RunSnapshot) -> bool:
    """Whether nobody but this backfill wants the run."""
    return not run.live and not set(run.wanted_by) - {backfill.id}


def _idle_without(facts: CommandFacts, backfill: KnownBackfill, run: RunSnapshot) -> bool:
    """Whether nobody may start anything of the run while this backfill is paused."""
    others = [facts.backfills[id] for id in run.wanted_by if id != backfill.id and id in facts.backfills]
    return not run.live and all(other.paused for other in others)


def _taken_back(
    facts: CommandFacts, runs: Iterable[RunSnapshot], cause: Cause, reason: str, *, running: bool
) -> Iterator[TaskInstanceChange]:
    """Queued tries, and where wanted those that have begun, taken back; their numbers are given back to the budget.

    A queued try that had given its slot back and was to go on waits on, and keeps its number, unless ``running``.
    """
    none, stopping, waiting = TaskInstanceState.NONE, TaskInstanceState.STOPPING, TaskInstanceState.UP_FOR_RESCHEDULE
    after = {TaskInstanceState.QUEUED: none}
    if running:
        after |= {TaskInstanceState.RUNNING: stopping, waiting: none}
    for run in runs:
        for ti in run.task_instances:
            if ti.state not in after:
                continue
            waits = ti.cause is Cause.RESUMED and ti.state is TaskInstanceState.QUEUED and not running
            becomes = waiting if waits else after[ti.state]
            yield TaskInstanceChange(
                id=ti.id,
                run=run.id,
                key=key_of(facts, run, ti),
                before=ti.state,
                try_number=ti.try_number,
                after=becomes,
                cause=cause,
                reason=reason,
                stopping_to=none if becomes is stopping else None,
                max_tries=ti.max_tries + (becomes is not waiting),
            )


def _left(left: list[RunSnapshot], backfill: KnownBackfill) -> Iterator[Message]:
    others = sorted({id for run in left for id in run.wanted_by if id != backfill.id})
    wanted = [run for run in left if set(run.wanted_by) - {backfill.id}]
    if wanted:
        yield notices.LeftWanted(len(wanted), tuple(others))
    live = [run for run in left if run not in wanted]
    if live:
        yield notices.LeftAsked(len(live))
