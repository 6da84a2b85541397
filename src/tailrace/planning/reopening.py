"""Which closed runs a command opens again beyond those it names, and who will drive what is open after it.

A deadlock is final only until a person changes what it leans on: a run that was deadlocked by its previous run goes
again when the tasks it waits for were touched there, and so does the run after it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Cause
from tailrace.planning import notices
from tailrace.planning.commands import CommandFacts, DeadlockedRun, RunChange
from tailrace.planning.messages import Message
from tailrace.planning.snapshot import RunSnapshot


def freed_runs(
    facts: CommandFacts, dag: DagSpec, touched: Mapping[int, frozenset[str]], cause: Cause
) -> Iterator[tuple[RunSnapshot, RunChange]]:
    """The deadlocked runs that wait for a touched task of their previous run, however far down the line.

    ``touched`` are the tasks a command changes, by run; those runs themselves are left out.
    """
    followers: dict[int, list[DeadlockedRun]] = {}
    for found in facts.deadlocked:
        for previous in set(found.by_past.values()):
            followers.setdefault(previous, []).append(found)
    changed = dict(touched)
    waiting = sorted(changed)
    while waiting:
        previous = waiting.pop(0)
        for found in followers.get(previous, ()):
            if found.run.id in changed or not _waits_for(dag, found, previous, changed[previous]):
                continue
            changed[found.run.id] = frozenset(found.blocked)
            waiting.append(found.run.id)
            run = found.run
            reason = "what its previous run blocked may go on"
            before, after = DagRunState.DEADLOCKED, DagRunState.QUEUED
            to_schedulers = not run.wanted_by
            yield (
                run,
                RunChange(run.id, run.run_id, run.version, before, after, cause, reason, to_schedulers=to_schedulers),
            )


def _waits_for(dag: DagSpec, found: DeadlockedRun, previous: int, tasks: frozenset[str]) -> bool:
    for task_id in (task_id for task_id, looked_at in found.by_past.items() if looked_at == previous):
        task = dag.by_id.get(task_id)
        if task is None or task_id in tasks or (task.wait_for_downstream and tasks & set(task.downstream)):
            return True
    return False


def drivers(facts: CommandFacts, runs: Iterable[RunSnapshot]) -> Iterator[Message]:
    """Who drives these open runs from here on, or what makes somebody; runs with one driver are reported together."""
    groups: dict[tuple[type[notices.DrivenByJob], tuple[Any, ...]], list[RunSnapshot]] = {}
    judged: set[int] = set()
    for run in runs:
        if not run.wanted_by and run.judged_by is not None:
            judged.add(run.judged_by)
        groups.setdefault(_driver(facts, run), []).append(run)
    for (driven, more), group in groups.items():
        dates = sorted(run.logical_date for run in group)
        first, last = (date.isoformat(timespec="minutes") for date in (dates[0], dates[-1]))
        yield driven(facts.dag_id, group[0].run_id, len(group), first, last, *more)
    if judged:
        yield notices.VerdictStays(tuple(sorted(judged)))


def _driver(facts: CommandFacts, run: RunSnapshot) -> tuple[type[notices.DrivenByJob], tuple[Any, ...]]:
    """Who drives the run, as the message that says so, and what that has to know beside the runs."""
    wanting = [facts.backfills[id] for id in run.wanted_by if id in facts.backfills]
    unpaused = [backfill for backfill in wanting if not backfill.paused]
    for backfill in unpaused:
        if backfill.driven:
            return notices.DrivenByBackfill, (backfill.id,)
    for backfill in unpaused:
        if backfill.detached:
            return notices.DrivenDetached, (backfill.id,)
        return notices.DrivenIfContinued, (backfill.id, backfill.command)
    for backfill in wanting:
        return notices.DrivenIfResumed, (backfill.id,)
    if run.owner_alive and run.state is DagRunState.RUNNING:
        return notices.DrivenByJob, ()
    if run.run_type is RunType.MANUAL:
        return notices.DrivenByScheduler, (facts.dag_paused,)
    options = run.options
    part = () if run.part is None or run.part.tasks is None else run.part.tasks
    return notices.DrivenByAnybody, (facts.dag_paused, options.pool, options.disable_retry, options.mark_success, part)
