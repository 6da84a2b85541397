"""Pauses a DAG whose newest scheduled runs have all failed, and marks late runs, if that is still so.

Which are to be, and why, is the planner's.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from tailrace.effects.results import Stale, StaleKind
from tailrace.metastore.db.tables import dag, dag_run
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.locking import Workspace
from tailrace.metastore.plans.rows import RUN_STATES
from tailrace.metastore.writes.runs import RunAsIs, mark_late
from tailrace.metastore.writes.stateless import locked_row, set_row
from tailrace.model.chains import Chain
from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED
from tailrace.planning.plan import DagPause
from tailrace.planning.snapshot import EndedRun

_ENDED = (
    select(dag_run.c.id, dag_run.c.run_id, dag_run.c.logical_date, dag_run.c.version, dag_run.c.state)
    .where(
        dag_run.c.dag_id == bindparam("dag_id"),
        dag_run.c.run_type == RunType.SCHEDULED,
        dag_run.c.state.in_(sorted(CLOSED)),
    )
    .order_by(dag_run.c.logical_date.desc())
    .limit(bindparam("most"))
)
_PAUSE = select(dag.c.paused, dag.c.paused_after).where(dag.c.dag_id == bindparam("dag_id"))


def pause_facts(tx: Transaction, spec: DagSpec) -> dict[str, Any]:
    """What a snapshot says of the runs that may have the DAG paused; nothing of a DAG that is never paused so."""
    most = spec.max_consecutive_failed_dag_runs
    row = tx.row(_PAUSE, {"dag_id": spec.dag_id}) if most else None
    if row is None:
        return {}
    return {"ended": _ended(tx, spec.dag_id, most), "dag_paused": bool(row.paused), "paused_after": after_of(row)}


def _ended(tx: Transaction, dag_id: str, most: int) -> tuple[EndedRun, ...]:
    rows = tx.rows(_ENDED, {"dag_id": dag_id, "most": most})
    return tuple(EndedRun(row.id, row.run_id, row.logical_date, row.version, RUN_STATES[row.state]) for row in rows)


def after_of(row: Any) -> tuple[datetime, int] | None:
    """The run that a DAG was paused for last, as it is kept: its date and its version."""
    date, _, version = (row.paused_after or "").rpartition(" ")
    try:
        return datetime.fromisoformat(date), int(version)
    except ValueError:  # it was never paused so, or somebody has changed the cell
        return None


def pause_dag(work: Workspace) -> None:
    """Pause the plan's DAG; its version grows, as when a person pauses it."""
    part, dag_id = work.plan.pause, work.plan.dag.dag_id
    if part is None:
        return
    found = locked_row(work.tx, dag, dag_id)
    conflict = "there is no such DAG" if found is None else _find_conflict(work, part, found)
    if conflict is not None:
        work.stale.append(Stale(StaleKind.PAUSE, dag_id, "pause", conflict))
        return
    columns = {"paused": True, "paused_after": f"{part.after[0].isoformat()} {part.after[1]}"}
    columns |= {"paused_reason": part.reason, "version": found.version + 1}
    set_row(work.tx, work.author, dag, found, columns)
    work.paused = True


def _find_conflict(work: Workspace, part: DagPause, found: Any) -> str | None:
    if found.paused:
        return "it is paused"
    if after_of(found) != part.before:
        return "it was paused meanwhile"
    ended = {each.id: each.state for each in _ended(work.tx, found.dag_id, len(part.runs))}
    return None if ended == dict(part.runs) else "its newest scheduled runs are others by now"


def mark_late_runs(work: Workspace) -> None:
    """Mark the late runs that are still open, and that nobody has marked."""
    for part in work.plan.late:
        run = work.runs.get(part.id)
        if run is None or RUN_STATES[run.state] in CLOSED or run.late_since is not None:
            continue  # another job was first, or it has ended
        chain = Chain(run.chain_head, run.chain_length)
        as_is = RunAsIs(run.id, run.dag_id, run.run_id, run.version, chain)
        mark_late(work.tx, work.author, as_is, part, work.history)
        work.late.append(run.id)
