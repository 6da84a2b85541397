"""Pools and the pause of a DAG: what people set to shape what runs. Counting who occupies is ``capacity``'s."""

from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, delete, func, insert, select, text, update

from tailrace.errors import CommandError, InternalError
from tailrace.metastore.commands.command_facts import POOL, read_command_facts
from tailrace.metastore.commands.commanding import carry_out
from tailrace.metastore.commands.creation import StaleFacts, lock_dag_row
from tailrace.metastore.db.tables import OCCUPYING_SQL, backfill, dag, dag_run, pool, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.guards import lock_dag
from tailrace.metastore.views.loaded import loaded_structure
from tailrace.metastore.views.persons import of_pools
from tailrace.metastore.writes.records import Author, changed_row, insert_metastore_history, pool_row, record
from tailrace.metastore.writes.stateless import locked_row, set_row
from tailrace.model.spec import DEFAULT_POOL
from tailrace.model.states import BACKFILL_CLOSED, CLOSED, IDLE, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.commands import CommandScope
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.messages import Action, Advised, Refused, Remedy
from tailrace.planning.resizing import ResizeFacts, ResizePlan

_POOLS = select(pool.c.name, pool.c.slots, pool.c.description).order_by(pool.c.name)
_POOL = select(pool.c.slots).where(pool.c.name == bindparam("pool"))
_LOCK_POOL = _POOL.with_for_update()
#: The verdicts that lean on a pool; which one, the blocked tasks' definitions say.
_DEADLOCKED = (
    select(dag_run.c.id, dag_run.c.version, dag_run.c.dag_id)
    .where(dag_run.c.state == DagRunState.DEADLOCKED, dag_run.c.blocked.contains(f'"{POOL}"'))
    .order_by(dag_run.c.id)
)
_OCCUPIED = (
    select(task_instance.c.pool, task_instance.c.state, func.sum(task_instance.c.pool_slots))
    .where(text(f"task_instance.{OCCUPYING_SQL}"))
    .group_by(task_instance.c.pool, task_instance.c.state)
)
_INSERT = insert(pool)
_UPDATE = update(pool).where(pool.c.name == bindparam("pool")).values(slots=bindparam("size"))
_DESCRIBE = update(pool).where(pool.c.name == bindparam("pool")).values(description=bindparam("words"))
_DELETE = delete(pool).where(pool.c.name == bindparam("pool"))
_WANTING = (
    select(func.count())
    .select_from(task_instance.join(dag_run, dag_run.c.id == task_instance.c.dag_run_id))
    .where(
        task_instance.c.pool == bindparam("pool"),
        task_instance.c.state.in_([*IDLE, TaskInstanceState.UP_FOR_RESCHEDULE]),
        dag_run.c.state.in_([state.value for state in DagRunState if state not in CLOSED]),
    )
)
_OCCUPYING = select(func.count()).where(
    text(f"task_instance.{OCCUPYING_SQL}"), task_instance.c.pool == bindparam("pool")
)
_OPEN_BACKFILLS = select(func.count()).where(
    backfill.c.pool == bindparam("pool"),
    backfill.c.state.in_([state.value for state in BackfillState if state not in BACKFILL_CLOSED]),
)


class PoolSummary(Struct, frozen=True):
    """A pool and what occupies it, in slots: those of running (and stopping) and of queued task instances.

    ``open`` are the slots nobody holds; negative after the pool was made smaller than what runs.
    """

    name: str
    slots: int
    running: int
    queued: int
    open: int
    description: str
    last_command: PersonsCommand | None = None


def list_pools(tx: Transaction) -> tuple[PoolSummary, ...]:
    """Every pool, by name."""
    queued: dict[str, int] = {}
    running: dict[str, int] = {}
    for name, state, slots in tx.rows(_OCCUPIED):
        counts = queued if state == TaskInstanceState.QUEUED else running
        counts[name] = counts.get(name, 0) + int(slots)
    summaries, commands = [], of_pools(tx)
    for name, slots, description in tx.rows(_POOLS):
        runs, waits = running.get(name, 0), queued.get(name, 0)
        open_, command = slots - runs - waits, commands.get(name)
        summaries.append(PoolSummary(name, slots, runs, waits, open_, description, command))
    return tuple(summaries)


def read_resize_facts(tx: Transaction, name: str) -> ResizeFacts:
    """The pool as it stands, and every run that is deadlocked for a pool, of one moment."""
    found = tx.row(_POOL, {"pool": name})
    held = tx.rows(_DEADLOCKED)
    dags = tuple(read_command_facts(tx, CommandScope(dag_id)) for dag_id in sorted({row.dag_id for row in held}))
    return ResizeFacts(None if found is None else found.slots, dags, {row.id: row.version for row in held})


def write_resize(tx: Transaction, plan: ResizePlan, write_id: str) -> dict[str, Any]:
    """Create the pool or change it, and open again what was deadlocked for it. What runs goes on. Raises StaleFacts."""
    if plan.refusals:
        raise InternalError(f"a refused resizing reached the metastore: {plan.refusals[0]}")
    author = Author.of_command(tx, write_id)
    for reopens in plan.reopens:
        lock_dag(tx, reopens.dag_id)
    found = tx.row(_LOCK_POOL, {"pool": plan.name})
    before = None if found is None else found.slots
    if before != plan.before:
        raise StaleFacts(f"pool {plan.name}: expected {plan.before} slots, found {before}")
    if {row.id: row.version for row in tx.rows(_DEADLOCKED)} != dict(plan.deadlocked):
        raise StaleFacts("other runs were found deadlocked for a pool, or opened again, meanwhile")
    created = found is None
    if created:
        tx.change(_INSERT, {"name": plan.name, "slots": plan.slots, "description": plan.description or ""})
    else:
        tx.change(_UPDATE, {"pool": plan.name, "size": plan.slots})
        if plan.description is not None:
            tx.change(_DESCRIBE, {"pool": plan.name, "words": plan.description})
    said: dict[str, Any] = {"slots": plan.slots}
    said |= {} if plan.description is None and not created else {"description": plan.description or ""}
    if before != plan.slots:
        cause = Cause.CREATED if created else Cause.RESIZED
        insert_metastore_history(tx, (pool_row(author, plan.name, before, plan.slots, cause), said))
    elif plan.description is not None:
        insert_metastore_history(tx, (changed_row(author, pool.name, Cause.RECORDED, pool=plan.name), said))
    for reopens in plan.reopens:
        carry_out(tx, reopens, author)
    result = {"created": created}
    record(tx, write_id, result)
    return result


def delete_pool(tx: Transaction, name: str, write_id: str) -> dict[str, Any]:
    """Delete a pool that nothing uses. Raises CommandError for any other, saying what uses it."""
    if name == DEFAULT_POOL:
        raise CommandError(f"pool {name!r} is where tasks go that name no pool; it can be resized, not deleted")
    found = tx.row(_LOCK_POOL, {"pool": name})
    if found is None:
        raise Refused(Advised((f"there is no pool {name!r}; see ", Remedy(Action.LIST_POOLS))))
    using = tx.value(_OCCUPYING, {"pool": name}) + tx.value(_WANTING, {"pool": name})
    if using:
        raise CommandError(f"pool {name!r} is used by {using} unfinished task instances; wait for them, or resize it")
    if tx.value(_OPEN_BACKFILLS, {"pool": name}):
        raise CommandError(f"pool {name!r} is used by an unfinished backfill; wait for it, or resize the pool")
    tx.change(_DELETE, {"pool": name})
    author = Author.of_command(tx, write_id)
    insert_metastore_history(tx, (pool_row(author, name, found.slots, None, Cause.DELETED), None))
    result = {"deleted": True}
    record(tx, write_id, result)
    return result


def set_paused(tx: Transaction, dag_id: str, paused: bool, write_id: str) -> dict[str, Any]:
    """Pause or resume a DAG's schedule. ``known`` is False when it was never loaded, nor has it run."""
    author = Author.of_command(tx, write_id)
    found = locked_row(tx, dag, dag_id)
    structure = None if found is not None else loaded_structure(tx, dag_id)
    if structure is not None:  # it has yet to run
        lock_dag_row(tx, author, dag_id, structure)
        found = locked_row(tx, dag, dag_id)
    if found is not None:
        columns = {"paused": paused, "paused_reason": None, "version": found.version + 1}
        set_row(tx, author, dag, found, columns)
    result = {"known": found is not None}
    record(tx, write_id, result)
    return result
