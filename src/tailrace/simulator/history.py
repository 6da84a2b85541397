"""Runs one history to its end and judges it: crash, safety, liveness, or all well."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from tailrace.audit.checks import audit
from tailrace.jobs.backfill import backfill_loop
from tailrace.simulator.choices import Chooser
from tailrace.simulator.oracle import expected
from tailrace.simulator.performing import Performer
from tailrace.simulator.scenario import Scenario
from tailrace.simulator.world import Crash, JobLoop, World

FAULTY_STEPS = 400
HEALED_STEPS = 6000


class Judgement(StrEnum):
    """What was found of a history; exit codes tell them apart."""

    WELL = "well"
    CRASH = "crash"  # a loop or the metastore raised
    SAFETY = "safety"  # something happened that must never happen
    LIVENESS = "liveness"  # after everything was healed, something never ended


EXIT_CODES = {Judgement.WELL: 0, Judgement.CRASH: 127, Judgement.LIVENESS: 128, Judgement.SAFETY: 129}


@dataclass(frozen=True, slots=True)
class History:
    """One history, told and judged. ``digest`` is equal for equal histories."""

    judgement: Judgement
    findings: tuple[str, ...]
    story: tuple[str, ...]
    trace: tuple[int, ...]
    steps: int
    digest: str
    causes: frozenset[tuple[str, str, str, str]]  # transitions that occurred: before, after, actor, cause


def run_history(
    scenario: Scenario,
    chooser: Chooser,
    *,
    job_loop: JobLoop = backfill_loop,
    performer: type[Performer] = Performer,
    lock_wait: float = 30.0,
) -> History:
    """Let a world run: first with faults, then healed until the backfill is judged; then audit what is recorded."""
    with World(scenario, chooser, job_loop=job_loop, performer=performer, lock_wait=lock_wait) as world:
        judgement, findings, steps = Judgement.WELL, [], 0
        try:
            while not world.over and steps < FAULTY_STEPS + HEALED_STEPS:
                if steps == FAULTY_STEPS:
                    world.heal()
                world.step()
                steps += 1
        except Crash as crash:
            judgement, findings = Judgement.CRASH, [str(crash)]
        world.performer.close()
        records = world.metastore.audit_records()
        violations = [str(violation) for violation in audit(records)]
        if judgement is Judgement.WELL and not world.over:
            judgement, findings = Judgement.LIVENESS, [f"the job has not ended after {steps} steps"]
        elif judgement is Judgement.WELL and not violations:
            violations = _unexpected(world)
        if violations:
            judgement, findings = Judgement.SAFETY, violations
        rows = [(row.kind, row.run_id, row.task_id, row.before, row.after, row.cause) for row in records.history]
        digest = hashlib.sha256(repr((rows, world.story)).encode()).hexdigest()[:16]
        causes = frozenset(
            (row.before or "", row.after, row.actor, row.cause) for row in records.history if row.kind != "refused"
        )
        trace = tuple(world.chooser.trace)
        return History(judgement, tuple(findings), tuple(world.story), trace, steps, digest, causes)


def _unexpected(world: World) -> list[str]:
    """Where the history did not end in the oracle's final states."""
    right = expected(world.scenario)
    found = []
    for date in world.scenario.logical_dates():
        run = world.metastore.find_run(world.scenario.dag.dag_id, date)
        if run is None or run.state != right.runs[date]:
            state = "missing" if run is None else run.state
            found.append(f"oracle: run of {date.date()}: expected {right.runs[date]}, found {state}")
            continue
        states = {line.task_id: line.state for line in world.metastore.task_instances_of(run.id)}
        for task_id, state in right.task_instances[date].items():
            if states.get(task_id) != state:
                text = f"expected {state}, found {states.get(task_id, 'missing')}"
                found.append(f"oracle: {task_id} of {date.date()}: {text}")
    return found
