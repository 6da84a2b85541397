"""Why a run's task instances stand as they do, and what would release them: the planner's own decisions. Pure.

The facts are one consistent read; what an unfinished task instance waits for are the decisions of ``plan`` itself over
that read. Nothing here decides: a reason that is not the planner's own is a fact (an owner, a lease, a place in a
queue), never a rule.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tailrace.model.keys import TaskInstanceKey
from tailrace.model.parts import ignored
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.explain_facts import RunFacts, TaskInstanceFacts
from tailrace.planning.joining import states_by_task
from tailrace.planning.messages import Message, Typed, plainly
from tailrace.planning.plan import Decision, Dependency, DependencyStatus, Plan, TaskTransition, Verdict
from tailrace.planning.planner import RESUBMIT_AFTER, plan
from tailrace.planning.releases import LossDeclared, TaskAgain, TryEnds, TryEndsOrIsLost, WorkerComes, seconds_text
from tailrace.planning.releasing import (
    not_loaded,
    owner_text,
    place_in_queue,
    release_of,
    release_of_run,
    their_next_step,
    waits_of_queued,
)
from tailrace.planning.run_stops import STOPPED


class TaskInstanceExplanation(Struct, frozen=True):
    """Why one task instance stands as it does. ``statuses`` are the planner's, where it was asked."""

    key: TaskInstanceKey
    facts: TaskInstanceFacts
    waits: str
    release: Message | None = None
    statuses: tuple[DependencyStatus, ...] = ()
    doomed: bool = False
    left_out: tuple[str, ...] = ()  # tasks directly above it that it does not wait for


class Step(Struct, frozen=True):
    """What the planner would do now, by task instance row."""

    decisions: Mapping[TaskInstanceKey, Decision]
    transitions: Mapping[int, TaskTransition]
    plan: Plan


def next_step(facts: RunFacts) -> Step:
    """The planner's own next step over these facts."""
    decided = plan(facts.snapshot)
    return Step(
        decisions={decision.key: decision for decision in decided.decisions},
        transitions={step.id: step for step in decided.transitions},
        plan=decided,
    )


def explain_task_instance(
    facts: RunFacts, ti: TaskInstanceFacts, step: Step, typed: Typed = plainly
) -> TaskInstanceExplanation:
    """Why this task instance of the run stands as it does, and what would change that."""
    found = _explained(facts, ti, step, typed)
    left_out = not_waited_for(facts, ti.view.task_id)
    if not left_out:
        return found
    part = facts.run.part
    of_part = part is not None and part.tasks is not None and part.holds(ti.view.task_id)
    how = "not waited for, as left out of its part" if of_part else "not done together with what is above it"
    return replace(found, waits=f"{found.waits}; {how}: {', '.join(left_out)}", left_out=left_out)


def not_waited_for(facts: RunFacts, task_id: str) -> tuple[str, ...]:
    """The tasks directly above one that do not count for it in this run: a part was done without one or the other."""
    dag, part = facts.snapshot.dag, facts.run.part
    if part is None or task_id not in dag.by_id:
        return ()
    edges = frozenset(ignored(dag, part, states_by_task(facts.run)))
    return tuple(above for above in dag.by_id[task_id].upstream if (above, task_id) in edges)


def _explained(facts: RunFacts, ti: TaskInstanceFacts, step: Step, typed: Typed) -> TaskInstanceExplanation:
    view = ti.view
    key = TaskInstanceKey(facts.dag_id, facts.run.run_id, view.task_id, view.map_index)
    if view.state in FINISHED:
        return TaskInstanceExplanation(key, ti, _ended(ti))
    if view.state is TaskInstanceState.QUEUED:
        return _queued(facts, key, ti)
    if view.state in (TaskInstanceState.RUNNING, TaskInstanceState.STOPPING):
        return _claimed(facts, key, ti)
    return _idle(facts, key, ti, step, typed)


def _ended(ti: TaskInstanceFacts) -> str:
    why = f": {ti.reason}" if ti.reason and ti.reason != ti.view.state else ""
    cause = ti.view.cause or ""
    tried = f" in try {ti.view.try_number}" if ti.view.try_number and cause in (Cause.OUTCOME, Cause.LOST) else ""
    return f"{ti.view.state}{tried} ({cause.replace('_', ' ')}){why}"


def _queued(facts: RunFacts, key: TaskInstanceKey, ti: TaskInstanceFacts) -> TaskInstanceExplanation:
    """Room is taken; a worker has not come yet."""
    now, since = facts.snapshot.now, ti.view.queued_at
    waited = "" if since is None else f" for {seconds_text((now - since).total_seconds())}"
    waits = f"try {ti.view.try_number} is queued{waited} in pool {ti.pool}; no worker has claimed it yet"
    if not facts.drivers:
        return TaskInstanceExplanation(key, ti, f"{waits}, and no live job offers it", their_next_step(facts))
    short = next((driver for driver in facts.drivers if driver.trouble.tries), None)
    if short is not None:
        waits = f"{waits}: job {short.id} says: {short.trouble.tries}"
    comes = WorkerComes(facts.drivers[0].id, RESUBMIT_AFTER.total_seconds())
    return TaskInstanceExplanation(key, ti, waits, comes)


def _claimed(facts: RunFacts, key: TaskInstanceKey, ti: TaskInstanceFacts) -> TaskInstanceExplanation:
    """A worker holds it: who, since when, and how long that is believed."""
    holder, lease = ti.view.holder, ti.lease_seconds
    where = ""
    if holder is not None:
        process = "" if holder.task is None else f", process {holder.task.pid}"
        where = f" by worker {holder.worker.pid} on {holder.worker.host}{process}"
    started = ti.started_at
    ran = "" if started is None else f" for {seconds_text((facts.snapshot.now - started).total_seconds())}"
    word = (
        "is running" if ti.view.state is TaskInstanceState.RUNNING else f"is being stopped (to {ti.view.stopping_to})"
    )
    waits = f"try {ti.view.try_number} {word}{ran}{where}"
    if ti.view.cause in STOPPED:
        waits += f": {ti.reason}"
    if ti.reason and ti.view.state is TaskInstanceState.RUNNING:
        waits += f"; its function has returned, and its process is {ti.reason}"
    if lease is None:
        return TaskInstanceExplanation(key, ti, waits, TryEnds())
    if lease > 0:
        waits += f", lease for {seconds_text(lease)} more"
        return TaskInstanceExplanation(key, ti, waits, TryEndsOrIsLost(lease))
    waits += f"; its lease ran out {seconds_text(-lease)} ago"
    if not facts.drivers:
        return TaskInstanceExplanation(key, ti, f"{waits}, and no live job looks after it", their_next_step(facts))
    return TaskInstanceExplanation(key, ti, waits, LossDeclared())


def _idle(
    facts: RunFacts, key: TaskInstanceKey, ti: TaskInstanceFacts, step: Step, typed: Typed
) -> TaskInstanceExplanation:
    decision, moved = step.decisions.get(key), step.transitions.get(ti.view.id)
    part = facts.run.part
    if decision is None and moved is None and part is not None and not part.holds(key.task_id):
        done = ", ".join(part.tasks or ()) or "nothing"
        again = TaskAgain(key.dag_id, key.run_id, key.task_id)
        return TaskInstanceExplanation(key, ti, f"its run does a part of the DAG without it: {done}", again)
    if decision is None:
        if moved is None:
            return _blocked(facts, key, ti, step, typed)
        waits = f"the next step makes it {moved.after}: {moved.reason}"
        return TaskInstanceExplanation(key, ti, waits, their_next_step(facts))
    waits = " ".join(status.reason.render(typed) for status in decision.failed)
    if _waits_for_its_time(ti, facts.snapshot.now):
        others = [each for each in decision.failed if each.dependency is not Dependency.RESCHEDULE]
        waits = " ".join([f"try {ti.view.try_number} waits: {ti.reason}", *(str(each.reason) for each in others)])
    if moved is not None:
        why = f": {waits}" if waits else ": every dependency is met"
        waits = f"the next step makes it {moved.after}{why}"
        return TaskInstanceExplanation(key, ti, waits, their_next_step(facts), decision.statuses)
    waits += place_in_queue(decision, step.plan.decisions)
    release = release_of(facts, decision)
    return TaskInstanceExplanation(key, ti, waits, release, decision.statuses, decision.doomed)


def _stopped(facts: RunFacts, step: Step) -> str:
    """Why the run is stopped before its tasks have ended, by now or by the next step."""
    if facts.run.state is not DagRunState.RUNNING:
        return ""
    if facts.run.stopped_by is not None:
        return f"it is being stopped: {facts.run.stopped_by.reason}"
    stop = next((each for each in step.plan.stops if each.id == facts.run.id), None)
    return "" if stop is None else f"the next step stops it: {stop.reason}"


def _waits_for_its_time(ti: TaskInstanceFacts, now: datetime) -> bool:
    """Whether its try has given its worker back until a moment that is still to come, and says why."""
    at = ti.view.retry_at
    waits = ti.view.state is TaskInstanceState.UP_FOR_RESCHEDULE and not ti.view.is_awaiting
    return waits and at is not None and at > now and bool(ti.reason)


def _blocked(
    facts: RunFacts, key: TaskInstanceKey, ti: TaskInstanceFacts, step: Step, typed: Typed
) -> TaskInstanceExplanation:
    """The planner decides nothing about it: its run is not active. A deadlock's proof gives the reason."""
    for blocker in facts.blocked:
        if blocker.key == key:
            waits = " ".join(status.reason.render(typed) for status in blocker.reasons)
            decision = Decision(key, blocker.state, Verdict.WAIT, blocker.reasons, doomed=True)
            release = release_of(facts, decision)
            return TaskInstanceExplanation(key, ti, waits, release, blocker.reasons, doomed=True)
    waits = f"its run is {facts.run.state}"
    if stopped := _stopped(facts, step):
        waits = f"{waits}; {stopped}"
    return TaskInstanceExplanation(key, ti, waits, release_of_run(facts, step.plan))


class RunExplanation(Struct, frozen=True):
    """Why a run stands as it does, and each of its task instances."""

    facts: RunFacts
    waits: str
    release: Message | None
    task_instances: tuple[TaskInstanceExplanation, ...]


def explain_run(facts: RunFacts, typed: Typed = plainly) -> RunExplanation:
    """Why this run stands as it does, what would change that, and the same for each of its task instances."""
    step = next_step(facts)
    tis = tuple(explain_task_instance(facts, ti, step, typed) for ti in facts.task_instances)
    unfinished = [each for each in tis if each.facts.view.state not in FINISHED]
    match facts.run.state:
        case DagRunState.QUEUED:
            waits = "; ".join(filter(None, (_undriven(facts), waits_of_queued(facts, step.plan))))
            return RunExplanation(facts, waits, release_of_run(facts, step.plan), tis)
        case DagRunState.RUNNING:
            return RunExplanation(facts, _active(facts, step, unfinished), release_of_run(facts, step.plan), tis)
        case _:
            return RunExplanation(facts, facts.reason or str(facts.run.state), release_of_run(facts, step.plan), tis)


def _undriven(facts: RunFacts) -> str:
    """Why those who would drive the run do not, if all of them say so."""
    reasons = [f"{driver.name} does not have the DAG: {not_loaded(facts, driver)}" for driver in facts.drivers]
    return reasons[0] if reasons and all(not_loaded(facts, driver) for driver in facts.drivers) else ""


def _active(facts: RunFacts, step: Step, unfinished: list[TaskInstanceExplanation]) -> str:
    parts = [_undriven(facts) or owner_text(facts)]
    for verdict in step.plan.run_verdicts:
        if verdict.id == facts.run.id:
            return f"{parts[0]}; the next step closes it as {verdict.state}: {verdict.reason}"
    if stopped := _stopped(facts, step):
        parts.append(stopped)
    doomed = sum(each.doomed for each in unfinished)
    parts.append(f"{len(unfinished)} of {len(facts.task_instances)} task instances are unfinished")
    if doomed:
        parts.append(f"{doomed} of them can never run as things stand")
    return "; ".join(parts)
