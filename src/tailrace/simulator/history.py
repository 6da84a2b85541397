"""Runs one history to its end and judges it: crash, safety, liveness, or all well."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from tailrace.audit.checks import audit
from tailrace.audit.records import AuditRecords, PartRecord
from tailrace.jobs.backfill import backfill_loop
from tailrace.model.keys import UNMAPPED, RunType, index_suffix
from tailrace.model.states import OCCUPYING, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import Reprocess
from tailrace.simulator.acts import HARMLESS, ActKind
from tailrace.simulator.choices import Chooser, Replayed, SeenBefore
from tailrace.simulator.coverage import Step
from tailrace.simulator.oracle import Expected, expected
from tailrace.simulator.performing import Performer
from tailrace.simulator.scenario import Scenario
from tailrace.simulator.starting import Crash
from tailrace.simulator.waits_oracle import unexpected_waits
from tailrace.simulator.world import World
from tailrace.simulator.world_state import JobLoop

#: Many jobs share them: a world with schedulers and a person has come to some twenty.
HEALED_STEPS = 20000


class Judgement(StrEnum):
    """What was found of a history; exit codes distinguish them."""

    WELL = "well"
    CRASH = "crash"  # a loop or the metastore raised
    SAFETY = "safety"  # something happened that must never happen
    LIVENESS = "liveness"  # after everything was healed, something never ended


EXIT_CODES = {Judgement.WELL: 0, Judgement.CRASH: 127, Judgement.LIVENESS: 128, Judgement.SAFETY: 129}


class History(Struct, frozen=True):
    """One history, recorded and judged. ``digest`` is equal for equal histories."""

    judgement: Judgement
    findings: tuple[str, ...]
    story: tuple[str, ...]
    trace: tuple[int, ...]
    steps: int
    digest: str
    steps_made: frozenset[Step]  # transitions that occurred
    joined: bool = False  # it ended where another history of the same search had been before
    refused: frozenset[str] = frozenset()  # what was refused, and why: one name for each kind
    choices: tuple[str, ...] = ()  # of a replay: those that were recorded and not usual, as text

    @property
    def problem(self) -> tuple[Judgement, str]:
        """What it failed by: the judgement, and which check found it."""
        return self.judgement, self.findings[0].split(":")[0] if self.findings else ""


def run_history(
    scenario: Scenario,
    chooser: Chooser,
    *,
    job_loop: JobLoop = backfill_loop,
    performer: type[Performer] = Performer,
    lock_wait: float = 30.0,
    impatient: bool = False,
) -> History:
    """Let a world run: first with faults, then healed until everything is done; then audit what is recorded.

    ``impatient``: audit after every step, and end with the step that did it.
    """
    with World(scenario, chooser, job_loop=job_loop, performer=performer, lock_wait=lock_wait) as world:
        judgement, findings, steps, joined = Judgement.WELL, [], 0, False
        try:
            world.begin()
            while not _is_over(world) and not world.ledger.violations and steps < scenario.faulty_steps + HEALED_STEPS:
                if steps == scenario.faulty_steps:
                    world.heal()
                world.step()
                steps += 1
                if impatient and audit(world.metastore.audit_records()):
                    break
        except SeenBefore:
            joined = True
        except Crash as crash:
            judgement, findings = Judgement.CRASH, [str(crash)]
        world.performer.close()
        records = world.metastore.audit_records()
        world.ledger.check(records.history, scenario.mark_success)
        confs = world.confs.check() if scenario.gives_conf else ()
        violations = [*scenario.miscompiled, *map(str, audit(records)), *world.ledger.violations, *confs]
        if judgement is Judgement.WELL and not joined and not violations:
            if world.over:
                violations = [*_lost_without_disruption(records, world.disruptions), *_left_over(scenario, records)]
                if scenario.sensors:
                    violations += () if scenario.acts else unexpected_waits(scenario, records)
                elif _results_alone_decide(scenario, records):
                    violations += _unexpected(scenario, records)
            else:
                judgement, findings = Judgement.LIVENESS, [f"it has not ended after {steps} steps"]
        if violations:
            judgement, findings = Judgement.SAFETY, violations
        rows = [(row.kind, row.run_id, row.task_id, row.before, row.after, row.cause) for row in records.history]
        steps_made = frozenset(
            (row.kind, row.before or "", row.after, row.actor, row.cause)
            for row in records.history
            if row.kind in ("task_instance", "dag_run", "backfill")
        )
        return History(
            judgement,
            tuple(findings),
            tuple(world.story),
            tuple(world.chooser.trace),
            steps,
            hashlib.sha256(repr((rows, world.story)).encode()).hexdigest()[:16],
            steps_made,
            joined,
            frozenset(world.refused),
            tuple(chooser.deviations) if isinstance(chooser, Replayed) else (),
        )


def _is_over(world: World) -> bool:
    return world.over and not world.type_again_for_held_slots()


def _lost_without_disruption(records: AuditRecords, disruptions: int) -> Iterator[str]:
    """Every disruption costs a task instance at most one try, and nothing else costs it any."""
    lost = Counter(
        (row.run_id, row.task_id, row.map_index)
        for row in records.history
        if row.kind == "task_instance"
        and row.cause in (Cause.LOST, Cause.LOST_TOGETHER)
        and row.before == TaskInstanceState.RUNNING
    )
    for (run_id, task_id, _), count in sorted(lost.items()):
        if count > disruptions:
            yield f"lost: {run_id} / {task_id} lost {count} tries to {disruptions} disruptions"


def _left_over(scenario: Scenario, records: AuditRecords) -> Iterator[str]:
    """After every process has ended nothing may hold a slot, and no run that was asked for by itself may wait; but for
    those of a DAG that its failures may have paused.
    """
    may_wait = scenario.dag.max_consecutive_failed_dag_runs > 0
    for ti in records.task_instances:
        if ti.state in OCCUPYING:
            yield f"left over: {ti.run_id} / {ti.task_id} is {ti.state}, and nobody drives it"
    for run in records.runs:
        if run.state == DagRunState.RUNNING:
            yield f"left over: {run.run_id} is running, and nobody drives it"
        elif not may_wait and run.state == DagRunState.QUEUED and run.run_id.startswith(RunType.MANUAL):
            yield f"left over: {run.run_id} was triggered, and nobody began it"


def _results_alone_decide(scenario: Scenario, records: AuditRecords) -> bool:
    """Whether the tasks' results have one final state: not if a person decided one, nor if what a loss decided was
    cleared by itself or done again, nor if a run may have been deadlocked by a cancelled one that ran after all, nor if
    they change, nor if a hole before its date was filled between two tries of a task, nor if a backfill does runs again
    of which some are deadlocked; nor if the clock says when what is left of a run is ended.
    """
    if scenario.fickle or scenario.dag.fail_fast or scenario.dag.dagrun_timeout is not None:
        return False
    if any(act.in_part for act in scenario.acts) or (scenario.parts != {None} and not _apart(scenario)):
        return False
    kinds = {act.kind for act in scenario.acts}
    if not kinds <= HARMLESS or (ActKind.CANCEL in kinds and scenario.dag.depends_on_past):
        return False
    rows = [row for row in records.history if row.kind == "task_instance"]
    failed_by_loss = any(row.cause == Cause.LOST and row.after == TaskInstanceState.FAILED for row in rows)
    moved = any(len(set(dates)) > 1 for dates in _looked_at(records).values())
    redone = any(command.reprocess is not Reprocess.MISSING for command in scenario.commands)
    if failed_by_loss and (scenario.acts or redone):
        return False
    # What is done again behind a deadlock may stand beside what is not: which of them began first is decided by nobody.
    deadlocked = any(run.state == DagRunState.DEADLOCKED for run in records.runs)
    if redone and deadlocked and scenario.dag.depends_on_past:
        return False
    return not moved


def _apart(scenario: Scenario) -> bool:
    """Whether its parts share no task and no person changes them: else who is first decides what is waited for."""
    parts = [set(part) for part in scenario.parts if part is not None]
    shared = None in scenario.parts or sum(map(len, parts)) > len(set().union(*parts))
    sources = ((task.task_id, {ref.task_id for ref in task.length_sources}) for task in scenario.dag.mapped)
    outside = any(task_id in part and not part.issuperset(over) for task_id, over in sources for part in parts)
    timed = outside or (len(parts) > 1 and scenario.stop_on_failure)
    return not shared and not timed and all(act.kind is ActKind.PAUSE for act in scenario.acts)


def _unexpected(scenario: Scenario, records: AuditRecords) -> Iterator[str]:
    """Where the history did not end in the oracle's final states."""
    right = _expected(scenario, records)
    runs = {_date(run.run_id): run for run in records.runs}
    states: dict[datetime, dict[tuple[str, int], str]] = {}
    for ti in records.task_instances:
        if ti.state != TaskInstanceState.REMOVED:  # a world's DAG keeps its tasks: it has no place any more
            states.setdefault(_date(ti.run_id), {})[ti.task_id, ti.map_index] = ti.state
    may_stop = scenario.stop_on_failure and any(state is not DagRunState.SUCCESS for state in right.runs.values())
    for date in scenario.logical_dates():
        run = runs.get(date)
        if run is not None and run.state == DagRunState.QUEUED and may_stop:
            continue  # which runs a failure comes too late for is not specified
        if scenario.parts != {None} and DagRunState.DEADLOCKED in (right.runs[date], run and run.state):
            pass  # what one part leaves deadlocked the next one finds without an outcome
        elif run is None or run.state != right.runs[date]:
            found = "missing" if run is None else run.state
            yield f"oracle: run of {date.date()}: expected {right.runs[date]}, found {found}"
        wanted, there = right.task_instances[date], states.get(date, {})
        for place in sorted(wanted.keys() | there.keys()):
            expects, found = wanted.get(place, "nothing"), there.get(place, "missing")
            if found != expects:
                name = place[0] + index_suffix(place[1])
                yield f"oracle: {name} of {date.date()}: expected {expects}, found {found}"
    if ActKind.CANCEL not in {act.kind for act in scenario.acts}:
        yield from _unexpected_backfills(right, records)


def _unexpected_backfills(right: Expected, records: AuditRecords) -> Iterator[str]:
    """A backfill ends as the worst of its runs; of one that stops at its first failure only that it did not succeed is
    known.
    """
    if DagRunState.DEADLOCKED in right.runs.values() and any(backfill.part for backfill in records.backfills):
        return  # what one part leaves deadlocked the next one finds without an outcome
    for backfill in records.backfills:
        states = {_ends(right, _date(run_id), backfill.part) for run_id in backfill.wanted}
        ends = BackfillState.DEADLOCKED if DagRunState.DEADLOCKED in states else BackfillState.FAILED
        if states <= {DagRunState.SUCCESS}:
            ends = BackfillState.SUCCESS
        may_be = {BackfillState.FAILED, BackfillState.DEADLOCKED} if backfill.stop_on_failure else {ends}
        if backfill.state not in (may_be if ends is not BackfillState.SUCCESS else {ends}):
            yield f"oracle: backfill {backfill.id}: expected {ends}, found {backfill.state}"


def _ends(right: Expected, date: datetime, part: PartRecord | None) -> DagRunState:
    """How a run ends for a backfill: of a part the leaves of the part say it."""
    if part is None:
        return right.runs[date]
    of_leaves = {state for (task_id, _), state in right.task_instances[date].items() if task_id in part.leaves}
    bad = {TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED}
    return DagRunState.FAILED if bad & of_leaves else DagRunState.SUCCESS


def _expected(scenario: Scenario, records: AuditRecords) -> Expected:
    lost = frozenset(
        (_date(row.run_id or ""), row.task_id or "", UNMAPPED if row.map_index is None else row.map_index)
        for row in records.history
        if row.kind == "task_instance" and row.cause == Cause.LOST and row.after == TaskInstanceState.FAILED
    )
    looked_at = {place: dates[-1] for place, dates in _looked_at(records).items()}
    return expected(scenario, {} if scenario.one_range else looked_at, lost)


def _looked_at(records: AuditRecords) -> dict[tuple[datetime, str], list[datetime | None]]:
    """Which previous runs each task looked at, one after another, since it was last cleared.

    Which they are depends on who typed what when.
    """
    found: dict[tuple[datetime, str], list[datetime | None]] = {}
    for row in records.history:
        if row.run_id is None or row.kind not in ("task_instance", "dag_run"):
            continue
        date, evidence = _date(row.run_id), row.evidence
        if row.task_id is not None and row.cause in (Cause.CLEARED, Cause.REPROCESS):
            found.pop((date, row.task_id), None)
        if row.task_id is not None and evidence is not None and evidence.looked_at is not None:
            looked_at = _date(evidence.looked_at) if evidence.looked_at else None
            found.setdefault((date, row.task_id), []).append(looked_at)
        for task_id, run_id in ((None if evidence is None else evidence.blocked_by) or {}).items():
            found.setdefault((date, task_id), []).append(_date(run_id))
    return found


def _date(run_id: str) -> datetime:
    return datetime.fromisoformat(run_id.split("__")[-1])
