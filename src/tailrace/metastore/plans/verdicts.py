"""Writes verdicts, each only if everything it stands on is still true. What the verdict should be is the planner's.

A run verdict carries the state of every task instance it was drawn from; they are read again under lock, after this
plan's own transitions, and must be equal. A backfill verdict needs every wanted run closed, as it was counted.
"""

from typing import Any

from msgspec import to_builtins
from sqlalchemy import Select, bindparam, literal_column, select

from tailrace.effects.results import Stale, StaleKind
from tailrace.metastore.db.columns import to_json
from tailrace.metastore.db.tables import backfill, backfill_run
from tailrace.metastore.plans.guards import pool_sizes
from tailrace.metastore.plans.locking import LockedRun, Workspace
from tailrace.metastore.plans.rows import RUN_STATES
from tailrace.metastore.plans.wanted import ANY_FAILED, COUNTS_BY_STATE
from tailrace.metastore.writes.backfills import LOCKED_COLUMNS, close_backfill, locked_backfill, start_backfill
from tailrace.metastore.writes.part_states import say_part_states
from tailrace.metastore.writes.runs import RunStep, judge_run
from tailrace.metastore.writes.stateless import renew_dag
from tailrace.model.chains import Chain
from tailrace.model.states import CLOSED, BackfillState, DagRunState
from tailrace.model.transitions import Actor, Cause, backfill_may
from tailrace.planning.plan import BackfillVerdict, Blocker, CircleRun, RunVerdict

_LOCK_BACKFILL = (
    select(*LOCKED_COLUMNS, backfill.c.stop_on_failure)
    .where(backfill.c.id == bindparam("backfill_id"))
    .with_for_update(key_share=True)
)
_ANY_WANTED: Select[Any] = (
    select(literal_column("1"))
    .where(
        backfill_run.c.backfill_id == bindparam("backfill_id"),
        backfill_run.c.run_state.in_(bindparam("states", expanding=True)),
    )
    .limit(1)
)

_OPEN = [state.value for state in DagRunState if state not in CLOSED]


def lock_backfill(work: Workspace) -> None:
    """Lock the row of the backfill that the plan starts or judges: it is a guard, so it comes before the runs."""
    verdict = work.plan.backfill_verdict
    id = verdict.id if verdict is not None else work.plan.backfill_start
    if id is not None:
        work.tx.rows(_LOCK_BACKFILL, {"backfill_id": id})


def judge_runs(work: Workspace) -> None:
    """Close the runs whose evidence still holds; the others are stale."""
    in_part: list[int] = []
    for place, verdict in enumerate(work.plan.run_verdicts):
        run = work.runs.get(verdict.id)
        conflict = _find_conflict(work, run, verdict)
        if run is None or conflict is not None:
            kind, found = conflict or (StaleKind.VERDICT_RUN, "the run is gone")
            name = f"{work.plan.dag.dag_id} / {verdict.run_id}"
            work.stale.append(Stale(kind, name, f"verdict {verdict.state}", found))
            continue
        _close(work, run, verdict)
        work.judged.append(place)
        if run.part is not None:
            in_part.append(run.id)
    say_part_states(work.tx, in_part)


def _find_conflict(work: Workspace, run: LockedRun | None, verdict: RunVerdict) -> tuple[StaleKind, str] | None:
    """The first fact that is no longer as the verdict assumes, or None."""
    if run is None:
        return StaleKind.VERDICT_RUN, "the run is gone"
    if run.state != DagRunState.RUNNING or run.version != verdict.version:
        return (
            StaleKind.VERDICT_RUN,
            f"expected running version {verdict.version}, found {run.state} version {run.version}",
        )
    found = {columns["id"]: columns["state"] for columns in work.of_run(run.id)}
    for id in sorted(found.keys() | verdict.evidence.keys()):
        expected = verdict.evidence.get(id)
        if found.get(id) != expected:
            name = work.task_instances[id]["task_id"] if id in found else f"task instance {id}"
            return StaleKind.VERDICT_TASK, f"{name}: expected {expected or 'nothing'}, found {found.get(id, 'nothing')}"
    for id, state in sorted(verdict.past_evidence.items()):
        past = work.runs.get(id)
        if past is None or past.state != state:
            return StaleKind.VERDICT_PAST, f"previous run: expected {state}, found {past.state if past else 'nothing'}"
        version = verdict.past_versions.get(id, past.version)
        if past.version != version:
            return StaleKind.VERDICT_PAST, f"previous run: expected version {version}, found version {past.version}"
    if verdict.dag_version is not None and verdict.dag_version != work.dag_version:
        found_version = f"its DAG: expected version {verdict.dag_version}, found version {work.dag_version}"
        return StaleKind.VERDICT_DAG, found_version
    if (found_so := _other_circle(work, verdict)) is not None:
        return StaleKind.VERDICT_CIRCLE, found_so
    if verdict.pool_evidence:
        sizes = pool_sizes(work.tx)
        for name, slots in sorted(verdict.pool_evidence.items()):
            if sizes.get(name) != slots:
                return StaleKind.VERDICT_POOL, f"pool {name}: expected {slots} slots, found {sizes.get(name)}"
    return None


def _other_circle(work: Workspace, verdict: RunVerdict) -> str | None:
    """What of a circle of waits is not as the verdict assumes: a run of it, a task instance there, or what one waits
    for, which another claim may have changed; None: all of it is.
    """
    for other in verdict.circle:
        run = work.runs.get(other.id)
        if run is None or (run.state, run.version) != (other.state, other.version):
            was = "nothing" if run is None else f"{run.state} version {run.version}"
            return f"{other.dag_id} / {other.run_id}: expected {other.state} version {other.version}, found {was}"
        there = {columns["id"]: columns["state"] for columns in work.of_run(run.id)} if other.evidence else {}
        if there != other.evidence:
            return f"{other.dag_id} / {other.run_id}: its task instances are not as they were"
    tokens = [verdict.tokens, *(each.tokens for each in verdict.circle)]
    for id, token in sorted((id, token) for of_run in tokens for id, token in of_run.items()):
        if work.task_instances[id]["token"] != token:
            return f"{work.task_instances[id]['task_id']} has looked again: expected token {token}"
    return None


def circle_json(circle: tuple[CircleRun, ...]) -> list[dict[str, Any]]:
    """The other runs of a circle of waits as they are stored."""
    return [
        {
            "run": each.id,
            "dag_id": each.dag_id,
            "run_id": each.run_id,
            "state": each.state,
            "task_instances": {str(id): state for id, state in each.evidence.items()},
            "tokens": {str(id): token for id, token in each.tokens.items()},
        }
        for each in circle
    ]


def _close(work: Workspace, run: LockedRun, verdict: RunVerdict) -> None:
    blocked = [blocker_json(blocker) for blocker in verdict.blocked]
    evidence: dict[str, Any] = {
        "task_instances": {str(id): state for id, state in verdict.evidence.items()},
        "previous": {str(id): state for id, state in verdict.past_evidence.items()},
        "pools": dict(verdict.pool_evidence),
        "blocked": blocked,
    }
    if verdict.tokens:
        evidence["waits"] = {str(id): token for id, token in verdict.tokens.items()}
        evidence["circle"] = circle_json(verdict.circle)
    if verdict.stopped_by is not None:
        evidence["stopped_by"] = verdict.stopped_by
    if verdict.event:
        evidence["event"] = verdict.event
    before = RUN_STATES[run.state]
    ends = (before, verdict.state, Cause.JUDGED, verdict.reason)
    chain = Chain(run.chain_head, run.chain_length)
    told: dict[str, Any] = {"evidence": evidence, "version": run.version, "chain": chain, "event": verdict.event}
    step = RunStep(run.id, run.dag_id, run.run_id, *ends, **told)
    judge_run(work.tx, work.author, step, work.history, to_json(blocked) if blocked else None)
    run.state, run.owner = verdict.state, None


def blocker_json(blocker: Blocker) -> dict[str, Any]:
    """A blocked task instance as it is stored and shown."""
    key = blocker.key
    return {
        "task_instance": {
            "dag_id": key.dag_id,
            "run_id": key.run_id,
            "task_id": key.task_id,
            "map_index": key.map_index,
        },
        "state": blocker.state,
        "reasons": [{"dependency": why.dependency, "reason": to_builtins(why.reason)} for why in blocker.reasons],
        **({} if blocker.previous is None else {"previous_run": blocker.previous}),
    }


def begin_backfill(work: Workspace) -> None:
    """Start the backfill, if the plan does so and nobody else has."""
    if work.plan.backfill_start is not None:
        row = work.tx.row(_LOCK_BACKFILL, {"backfill_id": work.plan.backfill_start})
        if row is not None:
            start_backfill(work.tx, work.author, locked_backfill(row), work.history)


def judge_backfill(work: Workspace) -> None:
    """Close the backfill if nothing it wants is still open; the locks are those of the backfill's own row."""
    verdict = work.plan.backfill_verdict
    if verdict is None:
        return
    row = work.tx.row(_LOCK_BACKFILL, {"backfill_id": verdict.id})
    conflict: str | None
    still_open = None
    if row is None:
        conflict = "the backfill is gone"
    elif row.version != verdict.version:
        conflict = f"expected version {verdict.version}, found {row.version}"
    elif not backfill_may(BackfillState(row.state), verdict.state, Actor.PLANNER, Cause.JUDGED):
        conflict = f"found it {row.state}"
    else:
        stops = bool(row.stop_on_failure) and verdict.leaves_open and verdict.state is not BackfillState.SUCCESS
        still_open = _open_conflict(work, verdict.id, stops)
        conflict = still_open or _closed_conflict(work, verdict)
    if conflict is not None:
        kind = StaleKind.BACKFILL_OPEN if still_open else StaleKind.BACKFILL
        work.stale.append(Stale(kind, f"backfill {verdict.id}", f"verdict {verdict.state}", conflict))
        return
    ends = (verdict.state, verdict.reason, work.history)
    close_backfill(work.tx, work.author, locked_backfill(row), *ends, event=verdict.event)
    work.backfill_judged = True
    if verdict.leaves_open:  # no later run waits for those any more
        renew_dag(work.tx, work.author, row.dag_id)


def _open_conflict(work: Workspace, backfill_id: int, stops: bool) -> str | None:
    """Why it may not be closed yet. One that stops on failure leaves queued runs undone, never a running one."""
    tx = work.tx
    if tx.row(_ANY_WANTED, {"backfill_id": backfill_id, "states": _OPEN}) is None:
        return None
    if not stops or tx.row(ANY_FAILED, {"backfill_id": backfill_id}) is None:
        return "a wanted run is still open"
    running = tx.row(_ANY_WANTED, {"backfill_id": backfill_id, "states": [DagRunState.RUNNING.value]})
    return None if running is None else "a wanted run is still running"


def _closed_conflict(work: Workspace, verdict: BackfillVerdict) -> str | None:
    """Where queued runs may stay undone, a closed one may have been opened and have ended otherwise meanwhile."""
    counts = work.tx.rows(COUNTS_BY_STATE, {"backfill_id": verdict.id})
    found = {DagRunState(state): count for state, count in counts if DagRunState(state) in CLOSED}
    if found == {state: count for state, count in verdict.closed.items() if count}:
        return None
    return f"its closed runs are {', '.join(f'{n} {state}' for state, n in sorted(found.items())) or 'none'} by now"
