"""What would release a waiting run or task instance, and where it stands in its queue. Pure.

A release follows from the dependency that is not met, by the planner, and from who drives the run.
"""

from collections.abc import Iterable, Set

from tailrace.model.keys import UNMAPPED, index_suffix
from tailrace.model.states import CLOSED, FINISHED, DagRunState, JobKind, TaskInstanceState
from tailrace.planning import releases
from tailrace.planning.explain_facts import JobFacts, RunFacts, WantedBy
from tailrace.planning.messages import Message
from tailrace.planning.plan import Decision, Dependency, DependencyStatus, Plan, Verdict
from tailrace.planning.reasons import Awaits, OfPool
from tailrace.planning.releases import seconds_text

#: Reasons about room which others hold: whoever waits for it stands in a queue.
_ROOM = frozenset({Dependency.DAG_SLOTS, Dependency.TASK_SLOTS, Dependency.POOL_SLOTS})


def release_of(facts: RunFacts, decision: Decision) -> Message:
    """What would let a waiting task instance go on: the release of the first thing it waits for."""
    past = (status for status in decision.failed if status.dependency is Dependency.PREVIOUS_RUN)
    first = next(past, decision.failed[0])
    task_id, map_index, run_id = decision.key.task_id, decision.key.map_index, facts.run.run_id
    place = task_id, map_index
    ti = next(each for each in facts.task_instances if (each.view.task_id, each.view.map_index) == place)
    match first.dependency:
        case Dependency.TRIGGER_RULE | Dependency.BRANCH:
            return _above(facts, task_id, decision)
        case Dependency.MAPPED:
            return _sources(facts, task_id, decision)
        case Dependency.PREVIOUS_RUN:
            return _past(facts, task_id)
        case Dependency.RESCHEDULE if isinstance(first.reason, Awaits):
            return _awaited(first.reason, decision.doomed)
        case Dependency.RETRY_PERIOD | Dependency.RESCHEDULE:
            at = ti.view.retry_at or facts.snapshot.now
            left = (at - facts.snapshot.now).total_seconds()
            index = None if map_index == UNMAPPED else map_index
            return releases.TimeComes(facts.dag_id, run_id, task_id, at, left, index)
        case Dependency.POOL_SLOTS:
            return releases.PoolSlots(facts.run.options.pool or facts.snapshot.dag.by_id[task_id].pool)
        case Dependency.DAG_SLOTS | Dependency.TASK_SLOTS:
            return releases.Limit()
        case Dependency.BACKFILL_RUNS:
            return _resumed(facts.wanted_by)
        case _:
            return first.reason


def _above(facts: RunFacts, task_id: str, decision: Decision) -> Message:
    """It waits for what is above it: which of those are unfinished."""
    dag = facts.snapshot.dag
    above = {*dag.by_id[task_id].upstream, *dag.deciders[task_id]}
    named = _unfinished(facts, above)
    return releases.NothingAbove(named) if decision.doomed else releases.TasksEnd(named)


def _sources(facts: RunFacts, task_id: str, decision: Decision) -> Message:
    """It waits to be expanded: for what is counted, or for its own instances that stop."""
    task = facts.snapshot.dag.by_id[task_id]
    stopping = tuple(place for place in _unfinished(facts, {task_id}) if place[1] == TaskInstanceState.STOPPING)
    named = stopping or _unfinished(facts, {ref.task_id for ref in task.length_sources})
    if not named:
        return their_next_step(facts)
    return releases.NothingAbove(named) if decision.doomed else releases.TasksEnd(named)


def _awaited(reason: Awaits, doomed: bool) -> Message:
    """It waits for other runs: for the first of those."""
    first = reason.awaited[0]
    if first.run_id is None:
        return releases.AwaitedRun(first.dag_id, first.logical_date.isoformat())
    what = "" if first.task_id is None else f"{first.task_id} of "
    kind = releases.NothingAwaited if doomed else releases.AwaitedEnds
    return kind(first.dag_id, first.run_id, first.state, what)


def _unfinished(facts: RunFacts, task_ids: Set[str]) -> tuple[tuple[str, str], ...]:
    """The unfinished instances of these tasks, each with its state."""
    views = (each.view for each in facts.task_instances)
    return tuple(
        (view.task_id + index_suffix(view.map_index), str(view.state))
        for view in views
        if view.task_id in task_ids and view.state not in FINISHED
    )


def _past(facts: RunFacts, task_id: str) -> Message:
    previous = facts.snapshot.previous_runs(facts.run).get(task_id)
    if previous is None:
        return releases.PastForgotten()
    run_id, state = previous.run_id, str(previous.state)
    if previous.state is DagRunState.CANCELLED:
        return releases.CancelledRunAgain(facts.dag_id, run_id)
    if previous.state not in CLOSED:
        return releases.TaskOfOpenRun(facts.dag_id, run_id, state, task_id)
    if TaskInstanceState.FAILED not in previous.states.get(task_id, ()):  # run again, it would come no further
        return releases.RunSucceeds(facts.dag_id, run_id, state)
    return releases.TaskAgain(facts.dag_id, run_id, task_id)


def their_next_step(facts: RunFacts) -> Message:
    """It goes on with the next step of a job; where no live job drives it, what starts one."""
    able = [driver for driver in facts.drivers if not not_loaded(facts, driver)]
    if able:
        name = able[0].name
        if able[0].kind == JobKind.SCHEDULER:
            return releases.SchedulersNextStep(name, facts.dag_id)
        return releases.NextStep(name)
    if facts.drivers:
        return releases.FileLoads(facts.drivers[0].name, not_loaded(facts, facts.drivers[0]))
    wanting = _open(facts.wanted_by)
    foreground = [each for each in wanting if not each.paused and not each.detached]
    if facts.run.live or not foreground:
        return releases.SchedulerStarts() if facts.run.live or wanting else releases.JobStarts()
    command = foreground[0].command
    return releases.CommandRepeated(command) if command else releases.JobStarts()


def not_loaded(facts: RunFacts, driver: JobFacts) -> str:
    """Why this job does not have the run's DAG, if it says so: the DAG's file does not load, or the DAG is wrong."""
    trouble = driver.trouble
    return trouble.dags.get(facts.dag_id, "") or trouble.files.get(facts.snapshot.dag.file, "")


def release_of_run(facts: RunFacts, plan: Plan) -> Message | None:
    """What would let a run that is not closed go on."""
    if facts.run.state is DagRunState.SUCCESS:
        return None
    if facts.run.state in CLOSED:
        return _of_deadlock(facts) or releases.RunCleared(facts.dag_id, facts.run.run_id)
    wanting = _open(facts.wanted_by)
    if not facts.run.live and wanting and all(each.paused for each in wanting):
        return _resumed(wanting)
    if facts.run.live and not wanting and facts.snapshot.schedule_paused and facts.run.state is DagRunState.QUEUED:
        return releases.DagUnpaused(facts.dag_id)
    if not facts.run.live and not wanting:
        return releases.WantedAgain(facts.dag_id, facts.run.logical_date.isoformat())
    if not facts.drivers or _begins(facts, plan) or any(each.id == facts.run.id for each in plan.run_verdicts):
        return their_next_step(facts)
    return releases.RestEnds() if facts.run.state is DagRunState.RUNNING else releases.RunCloses()


def _of_deadlock(facts: RunFacts) -> Message | None:
    """What would release the first that is blocked by more than tasks above it: clearing the run would not help it."""
    for blocker in facts.blocked:
        if blocker.key.run_id == facts.run.run_id and any(
            why.dependency not in (Dependency.TRIGGER_RULE, Dependency.BRANCH) for why in blocker.reasons
        ):
            return release_of(facts, Decision(blocker.key, blocker.state, Verdict.WAIT, blocker.reasons, doomed=True))
    return None


def waits_of_queued(facts: RunFacts, plan: Plan) -> str:
    """Where a queued run stands in its window."""
    if _begins(facts, plan):
        return "there is room for it: the next step begins it"
    dag, active = facts.snapshot.dag, facts.snapshot.dag_active_runs
    parts = [f"{active} of {dag.max_active_runs} runs of {dag.dag_id} are running (max_active_runs)"]
    for each in _open(facts.wanted_by):
        limit = "" if each.max_active_runs is None else f", {each.active} of {each.max_active_runs} of its own running"
        state = "paused, " if each.paused else ""
        parts.append(f"backfill {each.backfill_id}: {state}{each.ahead} queued before it{limit}")
    if facts.run.live and facts.snapshot.schedule_paused:
        parts.append("the DAG's schedule is paused")
    if not facts.run.options.ignore_depends_on_past:
        previous = facts.snapshot.previous_runs(facts.run).values()
        for run_id in sorted({each.run_id for each in previous if each.state is DagRunState.QUEUED}):
            parts.append(f"its previous run {run_id} is queued itself (depends_on_past)")
    return "; ".join(parts)


def owner_text(facts: RunFacts) -> str:
    """Who drives the run, and how long that is believed."""
    owner = facts.owner
    if owner is None:
        return "no job owns it"
    if owner.alive:
        return f"{owner.name} drives it, its lease lasts {seconds_text(owner.lease_seconds)} more"
    return f"{owner.name} drove it and is not alive"


def place_in_queue(decision: Decision, order: Iterable[Decision]) -> str:
    """Its place among those of this DAG that the planner turned away for the same limit; empty for other waits."""
    limit = _limit(decision.failed)
    if limit is None or len(decision.failed) > 1 or decision.doomed:
        return ""
    tasks = {decision.key.task_id} if limit.dependency is Dependency.TASK_SLOTS else None
    waiting = [
        each.key
        for each in order
        if not each.doomed and _same(_limit(each.failed), limit) and (tasks is None or each.key.task_id in tasks)
    ]
    return f" It is number {waiting.index(decision.key) + 1} of {len(waiting)} that wait for this."


def _limit(failed: tuple[DependencyStatus, ...]) -> DependencyStatus | None:
    return next((status for status in failed if status.dependency in _ROOM), None)


def _same(one: DependencyStatus | None, other: DependencyStatus) -> bool:
    """Whether both are about one limit."""
    if one is None or one.dependency is not other.dependency:
        return False
    if isinstance(one.reason, OfPool) and isinstance(other.reason, OfPool):
        return one.reason.pool == other.reason.pool
    return True


def _begins(facts: RunFacts, plan: Plan) -> bool:
    return any(activation.id == facts.run.id for activation in plan.activations)


def _open(wanted_by: Iterable[WantedBy]) -> list[WantedBy]:
    return [each for each in wanted_by if each.state in ("queued", "running")]


def _resumed(wanted_by: Iterable[WantedBy]) -> Message:
    return releases.BackfillResumed(next(each.backfill_id for each in wanted_by if each.paused))
