"""Reads what a plan is about, under lock, into a workspace that the parts of ``apply`` share. Decides nothing.

Lock order, everywhere: guards, runs by id, task instances by id. On SQLite the transaction has the one write lock from
its BEGIN, and the lock clauses compile to nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from tailrace.effects.results import Stale
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import Author, History
from tailrace.planning.plan import Plan, RunVerdict, TaskTransition

_RUNS = (
    select(
        dag_run.c.id,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        dag_run.c.state,
        dag_run.c.version,
        dag_run.c.owner_job_id,
        dag_run.c.pool,
        dag_run.c.clear_on_activation,
        dag_run.c.ignore_depends_on_past,
        dag_run.c.chain_head,
        dag_run.c.chain_length,
        dag_run.c.late_since,
        dag_run.c.part,
    )
    .where(dag_run.c.id.in_(bindparam("runs", expanding=True)))
    .order_by(dag_run.c.id)
)
_LOCK_RUNS = _RUNS.with_for_update(key_share=True)

_TASK_INSTANCE_COLUMNS = (
    task_instance.c.id,
    task_instance.c.dag_run_id,
    task_instance.c.task_id,
    task_instance.c.map_index,
    task_instance.c.state,
    task_instance.c.try_number,
    task_instance.c.max_tries,
    task_instance.c.lost_tries,
    task_instance.c.token,
    task_instance.c.pool,
    task_instance.c.pool_slots,
    task_instance.c.priority,
    task_instance.c.stopping_to,
    task_instance.c.started_at,
    task_instance.c.lease_until,
    task_instance.c.lease_epoch,
    task_instance.c.lease_seconds,
    task_instance.c.cause,
    task_instance.c.chain_head,
    task_instance.c.chain_length,
)
_LOCK_BY_ID = (
    select(*_TASK_INSTANCE_COLUMNS)
    .where(task_instance.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(task_instance.c.id)
    .with_for_update(key_share=True)
)
_LOCK_BY_RUN = (
    select(*_TASK_INSTANCE_COLUMNS)
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(task_instance.c.id)
    .with_for_update(key_share=True)
)


@dataclass(slots=True)
class LockedRun:
    """A run under lock; ``state``, ``version`` and ``owner`` follow what this transaction does to it."""

    id: int
    dag_id: str
    run_id: str
    state: str
    version: int
    owner: int | None
    pool: str | None
    clear: str | None
    ignores_past: bool
    chain_head: str | None
    chain_length: int
    late_since: datetime | None = None
    part: str | None = None

    def __str__(self) -> str:
        return f"{self.dag_id} / {self.run_id}"


@dataclass(slots=True)
class Workspace:
    """What one ``apply`` works on, and what it has done so far."""

    tx: Transaction
    plan: Plan
    author: Author
    runs: dict[int, LockedRun] = field(default_factory=dict)
    task_instances: dict[int, dict[str, Any]] = field(default_factory=dict)  # columns by name, by row
    history: History = field(default_factory=History)
    won: list[int] = field(default_factory=list)  # places in plan.transitions
    lost: list[int] = field(default_factory=list)
    deferred: list[int] = field(default_factory=list)
    expanded: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    paused: bool = False  # the DAG, by this plan
    activated: list[int] = field(default_factory=list)
    yielded: list[int] = field(default_factory=list)
    adopted: list[int] = field(default_factory=list)
    taken_over: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)  # places in plan.run_verdicts
    stale: list[Stale] = field(default_factory=list)
    backfill_judged: bool = False
    dag_version: int | None = None  # under lock; read only where the plan leans on it

    def of_run(self, run: int) -> list[dict[str, Any]]:
        """The locked task instances of one run, by row."""
        return [columns for columns in self.task_instances.values() if columns["dag_run_id"] == run]

    def transition(self, place: int) -> TaskTransition:
        """The plan's transition at this place."""
        return self.plan.transitions[place]

    def verdict(self, place: int) -> RunVerdict:
        """The plan's run verdict at this place."""
        return self.plan.run_verdicts[place]


def read_runs(tx: Transaction, runs: Iterable[int], *, lock: bool) -> dict[int, LockedRun]:
    """These runs, by row; with ``lock`` nobody else changes them before this transaction ends."""
    ids = sorted(set(runs))
    if not ids:
        return {}
    return {row.id: LockedRun(*row) for row in tx.rows(_LOCK_RUNS if lock else _RUNS, {"runs": ids})}


def lock_task_instances(work: Workspace, whole_runs: Iterable[int], ids: Iterable[int]) -> None:
    """Lock every task instance of ``whole_runs``, and these single ones, into the workspace."""
    runs = sorted(set(whole_runs))
    if runs:
        _keep(work, work.tx.rows(_LOCK_BY_RUN, {"runs": runs}))
    rest = sorted(id for id in set(ids) if id not in work.task_instances)
    if rest:
        _keep(work, work.tx.rows(_LOCK_BY_ID, {"ids": rest}))


def _keep(work: Workspace, rows: Iterable[Any]) -> None:
    for row in rows:
        work.task_instances[row.id] = dict(row._mapping)
