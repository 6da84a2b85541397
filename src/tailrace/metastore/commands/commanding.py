"""Writes one command of a person in one transaction, as a whole or not at all. What it does was decided by planning.

The order is the lock order: the DAG's guard row, the backfills, the runs by id, their task instances by id. Then every
fact that the plan leans on is read again under these locks; one that has changed makes the whole command stale.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from sqlalchemy import bindparam, select, update

from tailrace.errors import InternalError
from tailrace.metastore.commands.command_facts import deadlocked_versions
from tailrace.metastore.commands.creation import StaleFacts
from tailrace.metastore.commands.standing import unfinished_wanting
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.guards import lock_dag
from tailrace.metastore.plans.rows import part_text
from tailrace.metastore.writes.backfills import (
    LOCKED_COLUMNS,
    LockedBackfill,
    Wanted,
    close_backfill,
    locked_backfill,
    set_columns,
    touch_backfill,
)
from tailrace.metastore.writes.part_states import say_part_states, wanted_in_part
from tailrace.metastore.writes.records import Author, History, insert_history, record
from tailrace.metastore.writes.runs import RunAsIs, RunStep, close_run, open_run_again, touch_run
from tailrace.metastore.writes.runs import set_columns as set_run_columns
from tailrace.metastore.writes.stateless import renew_dag
from tailrace.metastore.writes.task_instances import StateChange, change_states, insert_task_instances
from tailrace.model.chains import Chain
from tailrace.model.parts import WHOLE
from tailrace.model.states import CLOSED
from tailrace.planning.backfills import DateAction
from tailrace.planning.commands import CommandPlan, RunChange, TaskInstanceChange

_LOCK_BACKFILLS = (
    select(*LOCKED_COLUMNS)
    .where(backfill.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(backfill.c.id)
    .with_for_update(key_share=True)
)
_LOCK_RUNS = (
    select(
        dag_run.c.id,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        dag_run.c.state,
        dag_run.c.version,
        dag_run.c.pool,
        dag_run.c.ended_at,
        dag_run.c.dag_version_id,
        dag_run.c.part,
        dag_run.c.chain_head,
        dag_run.c.chain_length,
    )
    .where(dag_run.c.id.in_(bindparam("runs", expanding=True)))
    .order_by(dag_run.c.id)
    .with_for_update(key_share=True)
)
_LOCK_TASK_INSTANCES = (
    select(
        task_instance.c.dag_run_id,
        task_instance.c.id,
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.state,
        task_instance.c.try_number,
        task_instance.c.max_tries,
        task_instance.c.lost_tries,
        task_instance.c.ended_at,
        task_instance.c.rescheduled,
        task_instance.c.chain_head,
        task_instance.c.chain_length,
    )
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(task_instance.c.id)
    .with_for_update(key_share=True)
)
_WANT_AGAIN = (
    update(backfill_run)
    .where(
        backfill_run.c.dag_run_id == bindparam("run"),
        backfill_run.c.backfill_id == bindparam("wanted_by"),
    )
    .values(action=DateAction.REPROCESS, reason=bindparam("words"))
)
_LEFT_ALONE = select(
    backfill_run.c.backfill_id, backfill_run.c.dag_run_id, backfill_run.c.ordinal, backfill_run.c.clear
).where(backfill_run.c.dag_run_id.in_(bindparam("runs", expanding=True)), backfill_run.c.action == DateAction.LEAVE)


@dataclass(slots=True)
class _Commanding:
    """What one command works on: everything here is under lock."""

    tx: Transaction
    plan: CommandPlan
    author: Author
    runs: dict[int, Any] = field(default_factory=dict)
    task_instances: dict[int, Any] = field(default_factory=dict)
    of_run: dict[int, list[Any]] = field(default_factory=dict)
    wanted: dict[int, tuple[int, ...]] = field(default_factory=dict)
    backfills: dict[int, LockedBackfill] = field(default_factory=dict)
    history: History = field(default_factory=History)


def write_command(tx: Transaction, plan: CommandPlan, write_id: str) -> dict[str, Any]:
    """Write the whole command, or nothing; the result is recorded. Raises StaleFacts."""
    if plan.refusals:
        raise InternalError(f"a refused command reached the metastore: {plan.refusals[0]}")
    carry_out(tx, plan, Author.of_command(tx, write_id))
    result = {"task_instances": len(plan.task_instances) + len(plan.created), "runs": len(plan.runs)}
    record(tx, write_id, result)
    return result


def carry_out(tx: Transaction, plan: CommandPlan, author: Author) -> None:
    """Write the plan, with its history, as a part of this transaction. Raises StaleFacts."""
    work = _Commanding(tx, plan, replace(author, structure=plan.structure or None))
    _lock(work)
    conflict = _find_conflict(work)
    if conflict is not None:
        raise StaleFacts(conflict)
    if plan.runs or plan.created:
        renew_dag(tx, work.author, plan.dag_id)
    _step_task_instances(work)
    _create(work)
    _step_runs(work)
    _step_backfills(work)
    insert_history(tx, work.history)


def _lock(work: _Commanding) -> None:
    tx, plan = work.tx, work.plan
    lock_dag(tx, plan.dag_id)
    own = [] if plan.backfill is None else [plan.backfill.id]
    backfills = sorted({*own, *(id for ids in plan.wanted.values() for id in ids)})
    for batch in in_batches(backfills):
        for row in tx.rows(_LOCK_BACKFILLS, {"ids": batch}):
            if plan.backfill is not None and row.id == plan.backfill.id:
                _expect_backfill(plan, row)
            work.backfills[row.id] = locked_backfill(row)
    for ids in in_batches(sorted(change.id for change in plan.runs)):
        work.runs.update((row.id, row) for row in tx.rows(_LOCK_RUNS, {"runs": ids}))
    for ids in in_batches(sorted(work.runs)):
        for row in tx.rows(_LOCK_TASK_INSTANCES, {"runs": ids}):
            work.task_instances[row.id] = row
            work.of_run.setdefault(row.dag_run_id, []).append(row)


def _expect_backfill(plan: CommandPlan, row: Any) -> None:
    change = plan.backfill
    if change is not None and (row.state != change.before or row.version != change.version):
        expected = f"expected {change.before} version {change.version}"
        raise StaleFacts(f"backfill {row.id}: {expected}, found {row.state} version {row.version}")


def _find_conflict(work: _Commanding) -> str | None:
    """The first fact that is no longer as the command was decided from, or None."""
    plan = work.plan
    for change in plan.runs:
        conflict = _run_conflict(work, change)
        if conflict is not None:
            return f"{plan.dag_id} / {change.run_id}: {conflict}"
    for step in plan.task_instances:
        found = work.task_instances.get(step.id)
        expected = step.before, step.try_number, step.key.map_index
        if found is None or (found.state, found.try_number, found.map_index) != expected:
            there = "nothing" if found is None else f"{found.state} try {found.try_number}"
            if found is not None and found.map_index != step.key.map_index:
                there += f" of map index {found.map_index}"
            return f"{step.key}: expected {step.before} try {step.try_number}, found {there}"
    for new in plan.created:
        if any(ti.task_id == new.key.task_id for ti in work.of_run.get(new.run, ())):
            return f"{new.key}: expected nothing, found a task instance"
    work.wanted = unfinished_wanting(work.tx, plan.wanted)
    for run, wanted_by in plan.wanted.items():
        if work.wanted.get(run, ()) != wanted_by:
            return f"run {run}: expected to be wanted by {wanted_by}, found {work.wanted.get(run, ())}"
    if plan.deadlocked is not None and deadlocked_versions(work.tx, plan.dag_id) != dict(plan.deadlocked):
        return "other runs of the DAG were found deadlocked, or opened again, meanwhile"
    return None


def _run_conflict(work: _Commanding, change: RunChange) -> str | None:
    found = work.runs.get(change.id)
    if found is None:
        return "the run is gone"
    if found.state != change.before or found.version != change.version:
        expected = f"expected {change.before} version {change.version}"
        return f"{expected}, found {found.state} version {found.version}"
    if change.evidence is not None:
        states = {ti.id: ti.state for ti in work.of_run.get(change.id, ())}
        if states != dict(change.evidence):
            return "its task instances have changed"
    return None


def _step_task_instances(work: _Commanding) -> None:
    changes = [_change(step, work.task_instances[step.id]) for step in work.plan.task_instances]
    change_states(work.tx, work.author, sorted(changes, key=lambda change: change.after), work.history)


def _change(step: TaskInstanceChange, found: Any) -> StateChange:
    return StateChange(
        step.id,
        step.key,
        step.before,
        step.after,
        step.cause,
        step.reason,
        step.try_number,
        found.max_tries if step.max_tries is None else step.max_tries,
        0 if step.fresh else found.lost_tries,
        ended_at=found.ended_at,  # what a person marks has ended when its work did
        rescheduled=found.rescheduled,
        stopping_to=step.stopping_to,
        evidence=None if step.stopping_to is None else {"stopping_to": step.stopping_to},
        chain=Chain(found.chain_head, found.chain_length),
    )


def _create(work: _Commanding) -> None:
    """Create what a run lacks, with the outcome that the person gives it."""
    plan = work.plan
    new = [replace(each, pool=work.runs[each.run].pool or each.pool) for each in plan.created]
    insert_task_instances(work.tx, work.author, new, work.history)
    unnamed = [id for id in sorted({each.run for each in new}) if work.runs[id].dag_version_id is None]
    named = [(_as_is(work.runs[id]), {"dag_version_id": plan.structure}) for id in unnamed]
    set_run_columns(work.tx, work.author, named, work.history)


def _as_is(run: Any) -> RunAsIs:
    return RunAsIs(run.id, run.dag_id, run.run_id, run.version, Chain(run.chain_head, run.chain_length))


def _step_runs(work: _Commanding) -> None:
    """Each run's step, or only its new version; after its task instances: a closed run leaves nothing queued."""
    stepped, reopened = list[int](), list[int]()
    backfill_id = None if work.plan.backfill is None else work.plan.backfill.id
    for change in work.plan.runs:
        found = work.runs[change.id]
        if change.after is change.before:
            touch_run(work.tx, work.author, _as_is(found), work.history, _part_columns(work, change))
            continue
        step = RunStep(
            change.id,
            work.plan.dag_id,
            change.run_id,
            change.before,
            change.after,
            change.cause,
            change.reason,
            backfill_id,
            {"live": True} if change.to_schedulers else None,
            found.version,
            Chain(found.chain_head, found.chain_length),
        )
        if change.reopens:
            columns = _part_columns(work, change)
            open_run_again(work.tx, work.author, step, work.history, live=change.to_schedulers, columns=columns)
            reopened.append(change.id)
        else:
            close_run(work.tx, work.author, step, work.history, found.ended_at)
        stepped.append(change.id)
    say_part_states(work.tx, sorted(change.id for change in work.plan.runs if change.after in CLOSED))
    _touch_backfills(work, stepped, reopened)


def _part_columns(work: _Commanding, change: RunChange) -> dict[str, Any]:
    """What is done in the run from now on, where that is another than it was.

    A backfill of a part may have left it as it was: how it ends from now on is told for that too.
    """
    if change.sets_part:
        return {"part": None if change.part is None else part_text(change.part)}
    was_whole = change.reopens and work.runs[change.id].part is None
    return {"part": part_text(WHOLE)} if was_whole and wanted_in_part(work.tx, [change.id]) else {}


def _touch_backfills(work: _Commanding, runs: Iterable[int], reopened: Sequence[int]) -> None:
    """A verdict over a backfill that was drawn from the runs as they were must not land.

    What a backfill wanted left alone, and a person has opened again, it wants done.
    """
    own = None if work.plan.backfill is None else work.plan.backfill.id
    again: dict[int, dict[int, Wanted]] = {}
    for ids in in_batches(reopened):
        for row in work.tx.rows(_LEFT_ALONE, {"runs": ids}):
            if row.backfill_id in work.wanted.get(row.dag_run_id, ()):
                wanted = Wanted(row.ordinal, DateAction.REPROCESS, "a person opened it again", row.clear)
                again.setdefault(row.backfill_id, {})[row.dag_run_id] = wanted
    for id in sorted(again):
        values = [{"run": run, "wanted_by": id, "words": each.reason} for run, each in again[id].items()]
        work.tx.change_many(_WANT_AGAIN, values)
    wanting = {id for run in runs for id in work.wanted.get(run, ())} - {own}
    for id in sorted(wanting):
        touch_backfill(work.tx, work.author, work.backfills[id], work.history, again.pop(id, None))
    for id, wants in again.items():
        set_columns(work.tx, work.author, work.backfills[id], {}, work.history, wants)


def _step_backfills(work: _Commanding) -> None:
    change = work.plan.backfill
    if change is None:
        return
    found = work.backfills[change.id]
    if change.after is change.before:
        columns = {"paused": change.paused, "version": found.version + 1}
        set_columns(work.tx, work.author, found, columns, work.history)
        return
    close_backfill(work.tx, work.author, found, change.after, change.reason, work.history)
