"""What would release a waiting run or task instance: one line, and the command to type where there is one. Pure.

A release follows from the planner's answer (the name of the dependency that is not met) and from who drives the run.
"""

from collections.abc import Iterable

from msgspec import Struct

from tailrace.model.states import CLOSED, FINISHED, DagRunState, TaskInstanceState
from tailrace.planning.explained import JobFacts, RunFacts, WantedBy
from tailrace.planning.plan import Decision, DependencyStatus, Plan

#: Answers that speak of room which others hold: whoever waits for it stands in a queue.
_PAST = "Previous Dagrun State"
_ROOM = frozenset({"Task Instance Slots Available", "Task Concurrency", "Pool Slots Available"})


class Release(Struct, frozen=True):
    """What would let it go on; ``command`` is what a person can type, None where there is nothing to type."""

    text: str
    command: str | None = None


def release_of(facts: RunFacts, decision: Decision) -> Release:
    """What would let a waiting task instance go on: the release of the first thing it waits for."""
    first = next((status for status in decision.failed if status.dependency == _PAST), decision.failed[0])
    task_id, run_id = decision.key.task_id, facts.run.run_id
    ti = next(each for each in facts.task_instances if each.view.task_id == task_id)
    match first.dependency:
        case "Trigger Rule" | "Not Previously Skipped":
            return _above(facts, task_id, decision)
        case "Previous Dagrun State":
            return _past(facts, task_id)
        case "Not In Retry Period" | "Ready To Reschedule":
            at = ti.view.retry_at or facts.snapshot.now
            left = seconds_text((at - facts.snapshot.now).total_seconds())
            text = f"the time: {at.isoformat(timespec='seconds')}, in {left}; or clear it to run it at once"
            return Release(text, f"tailrace tasks clear {facts.dag_id} {task_id} {run_id}")
        case "Pool Slots Available":
            name = facts.run.options.pool or facts.snapshot.dag.by_id[task_id].pool
            return Release(
                f"slots of pool {name} that are given back, or more of them", f"tailrace pools set {name} SLOTS"
            )
        case "Task Instance Slots Available" | "Task Concurrency":
            return Release("an active one that ends, or a higher limit in the DAG file")
        case "Backfill Not Paused":
            return Release("the backfill goes on when it is resumed", _resume(facts.wanted_by))
        case _:
            return Release(first.reason)


def _above(facts: RunFacts, task_id: str, decision: Decision) -> Release:
    """It waits for what is above it: which of those are unfinished."""
    dag = facts.snapshot.dag
    above = {*dag.by_id[task_id].upstream, *dag.deciders[task_id]}
    waiting = [each for each in facts.task_instances if each.view.task_id in above and each.view.state not in FINISHED]
    names = ", ".join(f"{each.view.task_id} ({each.view.state})" for each in waiting) or "what is above it"
    if decision.doomed:
        return Release(f"nothing by itself: {names} can never run as things stand; see what blocks that")
    return Release(f"the end of {names}")


def _past(facts: RunFacts, task_id: str) -> Release:
    previous = facts.snapshot.previous_runs(facts.run.id).get(task_id)
    if previous is None:
        return Release("its next step: no previous run counts for it any more")
    if previous.state is DagRunState.CANCELLED:
        text = f"{previous.run_id}, which was cancelled after it had begun, must run again, or be marked"
        return Release(text, f"tailrace runs clear {facts.dag_id} {previous.run_id}")
    if previous.state not in CLOSED:
        return Release(
            f"{task_id} of {previous.run_id}, which is {previous.state}",
            f"tailrace runs explain {facts.dag_id} {previous.run_id}",
        )
    if TaskInstanceState.FAILED not in previous.states.get(task_id, ()):  # run again, it would come no further
        text = f"the success of {previous.run_id}, which is {previous.state}; see what keeps it from that"
        return Release(text, f"tailrace runs explain {facts.dag_id} {previous.run_id}")
    text = f"{task_id} of {previous.run_id} must run again and succeed"
    return Release(text, f"tailrace tasks clear {facts.dag_id} {task_id} {previous.run_id}")


def their_next_step(facts: RunFacts) -> Release:
    """It goes on with the next step of a job; where no live job drives it, what starts one."""
    able = [driver for driver in facts.drivers if not not_loaded(facts, driver)]
    if able:
        loaded = f", if its DAG files hold {facts.dag_id}" if able[0].kind == "scheduler" else ""
        return Release(f"the next step of {able[0].name}{loaded}")
    if facts.drivers:
        driver = facts.drivers[0]
        return Release(f"a DAG file that loads: {driver.name} cannot load it: {not_loaded(facts, driver)}")
    return Release("a job that drives it: none is alive", _driving_command(facts))


def not_loaded(facts: RunFacts, driver: JobFacts) -> str:
    """Why this job does not have the run's DAG, if it says so: the DAG's file does not load, or the DAG is wrong."""
    trouble = driver.trouble
    return trouble.dags.get(facts.dag_id, "") or trouble.files.get(facts.snapshot.dag.file, "")


def _driving_command(facts: RunFacts) -> str | None:
    foreground = [each for each in _open(facts.wanted_by) if not each.paused and not each.detached]
    if facts.live or not foreground:
        return "tailrace scheduler" if facts.live or _open(facts.wanted_by) else None
    return foreground[0].command or None


def release_of_run(facts: RunFacts, plan: Plan) -> Release | None:
    """What would let a run that is not closed go on."""
    if facts.run.state is DagRunState.SUCCESS:
        return None
    if facts.run.state in CLOSED:
        return Release(
            "a person who mends the cause and clears what failed",
            f"tailrace runs clear {facts.dag_id} {facts.run.run_id}",
        )
    wanting = _open(facts.wanted_by)
    if not facts.live and wanting and all(each.paused for each in wanting):
        return Release("the backfill goes on when it is resumed", _resume(wanting))
    if facts.live and not wanting and facts.snapshot.schedule_paused and facts.run.state is DagRunState.QUEUED:
        return Release("the DAG's schedule is paused", f"tailrace dags unpause {facts.dag_id}")
    if not facts.live and not wanting:
        return Release(
            "no unfinished backfill wants it",
            f"tailrace backfill {facts.dag_id} -s {facts.run.logical_date.isoformat()}",
        )
    if not facts.drivers or _begins(facts, plan) or any(each.id == facts.run.id for each in plan.run_verdicts):
        return their_next_step(facts)
    if facts.run.state is DagRunState.RUNNING:
        return Release("the end of its unfinished task instances")
    return Release("an active run that closes")


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
    if facts.live and facts.snapshot.schedule_paused:
        parts.append("the DAG's schedule is paused")
    if not facts.run.options.ignore_depends_on_past:
        previous = facts.snapshot.previous_runs(facts.run.id).values()
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
    tasks = {decision.key.task_id} if limit.dependency == "Task Concurrency" else None
    waiting = [
        each.key
        for each in order
        if not each.doomed and _same(_limit(each.failed), limit) and (tasks is None or each.key.task_id in tasks)
    ]
    return f" It is number {waiting.index(decision.key) + 1} of {len(waiting)} that wait for this."


def _limit(failed: tuple[DependencyStatus, ...]) -> DependencyStatus | None:
    return next((status for status in failed if status.dependency in _ROOM), None)


def _same(one: DependencyStatus | None, other: DependencyStatus) -> bool:
    """Whether both speak of one limit: a pool's name stands before the counts, which move as room is given out."""
    if one is None or one.dependency != other.dependency:
        return False
    return one.dependency != "Pool Slots Available" or one.reason.split(":")[0] == other.reason.split(":")[0]


def _begins(facts: RunFacts, plan: Plan) -> bool:
    return any(activation.id == facts.run.id for activation in plan.activations)


def _open(wanted_by: Iterable[WantedBy]) -> list[WantedBy]:
    return [each for each in wanted_by if each.state in ("queued", "running")]


def _resume(wanted_by: Iterable[WantedBy]) -> str | None:
    return next((f"tailrace backfill resume {each.backfill_id}" for each in wanted_by if each.paused), None)


def seconds_text(seconds: float) -> str:
    """A span as people read it: ``4 s``, ``3:05``, ``2:03:05``, ``5 d 2 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
