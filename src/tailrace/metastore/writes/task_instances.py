"""Every write of a task instance's state: the columns each state sets, the transition table's leave, the history row.

Nothing outside this file assigns a task instance's state; a test reads the sources for it. Each statement names the
row, the state and the try number it was decided from, and the token where a worker holds it: with the state alone, a
stale worker could finish somebody else's try. Whoever calls holds the rows under lock, or expects the guard to fail:
then it also names how far the row's chain of history has come, so that the new row goes behind the right one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from msgspec import Struct
from sqlalchemy import BindParameter, bindparam, delete, insert, select, update

from tailrace.errors import InternalError
from tailrace.metastore.db.tables import task_instance, xcom
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.writes.accounted import unsaid
from tailrace.metastore.writes.records import TASK_INSTANCE, Author, History, task_instance_row
from tailrace.model.chains import REFUSED, Chain
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.states import FINISHED, TaskInstanceState
from tailrace.model.transitions import Actor, Cause, task_instance_may
from tailrace.planning.commands import NewTaskInstance

_State = TaskInstanceState

#: Nobody holds the try, and none is under way.
_RELEASED: Mapping[str, Any] = {"holder": None, "lease_until": None, "stopping_to": None, "retry_at": None}
_ENDED: Mapping[str, Any] = {**_RELEASED, "ended_at": bindparam("to_ended_at"), "followed": bindparam("to_followed")}

#: What becomes of the columns with each state that is taken, besides ``state``, ``cause``, ``reason`` and the budget.
_COLUMNS: Mapping[TaskInstanceState, Mapping[str, Any]] = {
    _State.NONE: {**_RELEASED, "queued_at": None, "started_at": None, "ended_at": None, "followed": None},
    _State.QUEUED: {
        **_RELEASED,
        "try_number": bindparam("to_try_number"),
        "pool": bindparam("to_pool"),
        "pool_slots": bindparam("to_pool_slots"),
        "priority": bindparam("to_priority"),
        "queued_at": bindparam("at"),
        "started_at": bindparam("to_started_at"),
        "ended_at": None,
        "followed": None,
    },
    _State.RUNNING: {
        "token": bindparam("to_token"),
        "started_at": bindparam("to_started_at"),
        "ended_at": None,
        "holder": bindparam("to_holder"),
        "code_hash": bindparam("to_code_hash"),
        "lease_until": bindparam("to_lease_until"),
        "lease_epoch": bindparam("to_lease_epoch"),
        "lease_seconds": bindparam("to_lease_seconds"),
        "stopping_to": None,
    },
    _State.STOPPING: {"stopping_to": bindparam("to_stopping_to")},
    _State.UP_FOR_RETRY: {**_ENDED, "retry_at": bindparam("to_retry_at")},
    _State.UP_FOR_RESCHEDULE: {
        **_RELEASED,
        "retry_at": bindparam("to_retry_at"),
        "rescheduled": bindparam("to_rescheduled"),
    },
    **dict.fromkeys(FINISHED, _ENDED),
}

_BUDGET: Mapping[str, Any] = {"max_tries": bindparam("to_max_tries"), "lost_tries": bindparam("to_lost_tries")}
_COMMON: Mapping[str, Any] = {"cause": bindparam("why"), "reason": bindparam("words"), **_BUDGET}
_ALL_COLUMNS: Mapping[TaskInstanceState, Mapping[str, Any]] = {
    state: {"state": state, **({} if state is _State.RUNNING else _COMMON), **columns}
    for state, columns in _COLUMNS.items()
}
_CLAIMED = {"cause": Cause.CLAIMED, "reason": ""}
_CHAIN: Mapping[str, Any] = {"chain_head": bindparam("to_head"), "chain_length": bindparam("to_length")}

_GUARDED = update(task_instance).where(
    task_instance.c.id == bindparam("row"),
    task_instance.c.state == bindparam("from_state"),
    task_instance.c.try_number == bindparam("from_try"),
)
_TAKE_STATE: Mapping[TaskInstanceState, Any] = {
    state: _GUARDED.values({**columns, **_CHAIN})
    for state, columns in _ALL_COLUMNS.items()
    if state is not _State.RUNNING
}
_IS_NEWEST = task_instance.c.chain_length == bindparam("from_length")
_TAKE_STATE_OF_TOKEN: Mapping[TaskInstanceState, Any] = {
    state: statement.where(task_instance.c.token == bindparam("held"), _IS_NEWEST)
    for state, statement in _TAKE_STATE.items()
}
_TAKE_STATE_OF_TOKEN_NAMED: Mapping[TaskInstanceState, Any] = {
    state: statement.values(rendered_map_index=bindparam("to_name"))
    for state, statement in _TAKE_STATE_OF_TOKEN.items()
}
_EXPAND: Mapping[TaskInstanceState, Any] = {
    state: _TAKE_STATE[state].values(map_index=bindparam("to_map_index"), rendered_map_index=None)
    for state in (_State.NONE, _State.SKIPPED, _State.UPSTREAM_FAILED, _State.FAILED, _State.REMOVED)
}
CLAIM = (
    _GUARDED.where(_IS_NEWEST)
    .values({**_ALL_COLUMNS[_State.RUNNING], **_CLAIMED, **_CHAIN})
    .returning(task_instance.c.token, task_instance.c.max_tries, task_instance.c.lost_tries)
)
_REFUSE = (
    update(task_instance)
    .where(task_instance.c.id == bindparam("row"))
    .values(refused_head=bindparam("to_head"), refused_length=bindparam("to_length"))
)
_INSERT_TASK_INSTANCE = insert(task_instance)
_ROWS_OF_RUNS = (
    select(task_instance.c.id, task_instance.c.dag_run_id, task_instance.c.task_id, task_instance.c.map_index)
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(task_instance.c.id)
)
_DELETE_XCOMS = delete(xcom).where(xcom.c.task_instance_id == bindparam("task_instance"))


_UNSAID = unsaid(task_instance)
_SAID = {
    state: [(name, value) for name, value in columns.items() if name not in _UNSAID]
    for state, columns in _ALL_COLUMNS.items()
}
#: What a history row says that a step sets: by state, the columns that are always the same, and those of parameters.
_ALWAYS: Mapping[TaskInstanceState, Mapping[str, Any]] = {
    state: {name: value for name, value in columns if not isinstance(value, BindParameter)}
    for state, columns in _SAID.items()
}
_GIVEN: Mapping[TaskInstanceState, Sequence[tuple[str, str]]] = {
    state: tuple((name, value.key) for name, value in columns if isinstance(value, BindParameter))
    for state, columns in _SAID.items()
}


class StateChange(Struct, frozen=True):
    """One task instance's new state, and what it was decided from. The budget is as it is to be afterwards.

    ``ended_at`` is given only where it is not the moment of the write; ``token`` is that of the try it is about;
    ``chain`` is how far the history of the row has come.
    """

    id: int
    key: TaskInstanceKey
    before: TaskInstanceState
    after: TaskInstanceState
    cause: Cause
    reason: str
    try_number: int
    max_tries: int
    lost_tries: int
    before_try: int | None = None  # None: the same
    token: int | None = None
    ended_at: datetime | None = None
    retry_at: datetime | None = None
    started_at: datetime | None = None  # of a try that goes on: when it began
    rescheduled: str | None = None  # JSON; see ``rescheduled_text``
    followed: str | None = None  # JSON
    rendered_map_index: str | None = None  # None: it stays as it is, but of what is expanded it is taken away
    stopping_to: TaskInstanceState | None = None
    pool: str = ""
    pool_slots: int = 0
    priority: int = 0
    evidence: Mapping[str, Any] | None = None
    chain: Chain = Chain()
    event: str = ""  # the callback that is to be called for it; its evidence says so


def change_states(tx: Transaction, author: Author, changes: Sequence[StateChange], history: History) -> None:
    """Write these changes of rows under lock, in their order, and add a history row for each.

    What becomes *none* has nothing left of its tries, their XComs included. Raises InternalError for a change that the
    transition table does not have, and where a row is not as it was decided from.
    """
    _change_states(tx, author, changes, history, _TAKE_STATE)


def expand(tx: Transaction, author: Author, changes: Sequence[StateChange], history: History) -> None:
    """The same, and each row is of the map index that its key names from now on."""
    _change_states(tx, author, changes, history, _EXPAND)


def _change_states(
    tx: Transaction,
    author: Author,
    changes: Sequence[StateChange],
    history: History,
    statements: Mapping[TaskInstanceState, Any],
) -> None:
    for after, group in groupby(changes, key=lambda change: change.after):
        alike = list(group)
        for change in alike:
            _require_legal(change, author.actor)
        values = [_chained(author, change, history, _values(author, change)) for change in alike]
        if tx.change_many(statements[after], values) != len(alike):
            raise InternalError(f"{len(alike)} locked task instances were to become {after}, fewer did")
        if after is _State.NONE:
            tx.change_many(_DELETE_XCOMS, [{"task_instance": change.id} for change in alike])


def end_claimed_try(
    tx: Transaction, author: Author, change: StateChange, history: History, xcoms: Mapping[str, Any] | None = None
) -> bool:
    """Write the end of a try that a worker holds by its ``token``; False if that is no longer so.

    ``xcoms``: what it leaves, for history, by key.
    """
    row = History()
    more: dict[str, Any] = {"xcoms": xcoms} if xcoms else {}
    held: dict[str, Any] = {"held": change.token, "from_length": change.chain.length}
    statements = _TAKE_STATE_OF_TOKEN
    if change.rendered_map_index is not None:
        statements, held["to_name"] = _TAKE_STATE_OF_TOKEN_NAMED, change.rendered_map_index
        more["rendered_map_index"] = change.rendered_map_index
    values = _chained(author, change, row, _values(author, change), more)
    if tx.change(statements[change.after], {**values, **held}) != 1:
        return False
    _require_legal(change, author.actor)
    history.take(row)
    return True


def take_claim(
    tx: Transaction, author: Author, change: StateChange, holder: Mapping[str, Any], history: History
) -> tuple[Any, Chain] | None:
    """queued → running, with the ``token`` of the change; the row as it is now. None if it is not queued as it was.

    ``holder``: who holds the try from now on, and the lease. A try that began before goes on, with its XComs.
    """
    row = History()
    more: dict[str, Any] = {"xcoms": {}} if change.token != 1 and change.started_at is None else {}
    guard = {"row": change.id, "from_state": change.before, "from_try": change.try_number}
    began = change.started_at or author.at
    values = {**guard, **holder, "to_started_at": began, "to_token": change.token}
    values = _chained(author, change, row, values, {**_CLAIMED, **more})
    won = tx.rows(CLAIM, {**values, "from_length": change.chain.length})
    if not won:
        return None
    _require_legal(change, author.actor)
    history.take(row)
    return won[0], Chain(values["to_head"], values["to_length"])


def refuse_result(tx: Transaction, author: Author, change: StateChange, history: History) -> None:
    """Record a change that came too late, in the chain of those: ``after`` is what it would have become."""
    end = history.add(_history_row(author, change, REFUSED), change.chain)
    tx.change(_REFUSE, {"row": change.id, "to_head": end.head, "to_length": end.length})


def delete_xcoms(tx: Transaction, id: int) -> None:
    """Drop what earlier claims of this task instance have left."""
    tx.change(_DELETE_XCOMS, {"task_instance": id})


def insert_task_instances(tx: Transaction, author: Author, new: Sequence[NewTaskInstance], history: History) -> None:
    """Create them, in their order, so that rows follow it; what gets a state at once was marked by a person."""
    if not new:
        return
    begun = len(history.rows)
    tx.change_many(_INSERT_TASK_INSTANCE, [_created(author, each, history) for each in new])
    rows: dict[tuple[int, str, int], int] = {}
    for runs in in_batches(sorted({each.run for each in new})):
        rows.update(((run, task, index), id) for id, run, task, index in tx.rows(_ROWS_OF_RUNS, {"runs": runs}))
    ids = {each.key: rows[each.run, each.key.task_id, each.key.map_index] for each in new}
    for row in history.rows[begun:]:
        row["task_instance_id"] = ids[TaskInstanceKey(row["dag_id"], row["run_id"], row["task_id"], row["map_index"])]


def _created(author: Author, new: NewTaskInstance, history: History) -> dict[str, Any]:
    """The row of a new task instance; that it was created, and perhaps marked, is added to history."""
    row = _new_row(author, new)
    marked = {name: row[name] for name in ("state", "cause", "reason", "ended_at")}
    unmarked = {**row, "state": _State.NONE, "cause": new.cause, "reason": "", "ended_at": None}
    sets = {name: value for name, value in unmarked.items() if value is not None}
    created = task_instance_row(author, new.key, None, None, _State.NONE, new.cause, "", evidence=new.evidence)
    end = history.add(created, Chain(), sets)
    if new.state is not _State.NONE:
        change = StateChange(0, new.key, _State.NONE, new.state, Cause.MARKED, new.reason, 0, new.max_tries, 0)
        _require_legal(change, author.actor)
        end = history.add(_history_row(author, change), end, marked)
    return {**row, "chain_head": end.head, "chain_length": end.length}


def _require_legal(change: StateChange, actor: Actor) -> None:
    if not task_instance_may(change.before, change.after, actor, change.cause):
        step = f"{change.before} → {change.after} for {change.cause}"
        raise InternalError(f"{change.key}: a {actor} may not step {step}")


def _chained(
    author: Author,
    change: StateChange,
    history: History,
    values: dict[str, Any],
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The values of a statement with the chain's new end, after its row was added to history; ``more`` it sets too."""
    sets = {**_ALWAYS[change.after], **{name: values[key] for name, key in _GIVEN[change.after]}}
    if more:
        sets |= more
    if change.after is _State.NONE:
        sets["xcoms"] = {}
    if change.cause is Cause.EXPANDED:
        sets["map_index"], sets["rendered_map_index"] = change.key.map_index, None
    end = history.add(_history_row(author, change), change.chain, sets)
    if change.event:
        history.call(change.event)
    values["to_head"], values["to_length"] = end
    return values


def _values(author: Author, change: StateChange) -> dict[str, Any]:
    """The values of ``_TAKE_STATE[change.after]``."""
    values: dict[str, Any] = {
        "row": change.id,
        "from_state": change.before,
        "from_try": change.try_number if change.before_try is None else change.before_try,
        "why": change.cause,
        "words": change.reason,
        "to_max_tries": change.max_tries,
        "to_lost_tries": change.lost_tries,
    }
    if change.cause is Cause.EXPANDED:
        values["to_map_index"] = change.key.map_index
    if change.after is _State.QUEUED:
        values["to_try_number"], values["at"] = change.try_number, author.at
        values["to_started_at"] = change.started_at
        values["to_pool"], values["to_pool_slots"] = change.pool, change.pool_slots
        values["to_priority"] = change.priority
    elif change.after is _State.STOPPING:
        values["to_stopping_to"] = change.stopping_to
    elif change.after is _State.UP_FOR_RESCHEDULE:
        values["to_retry_at"], values["to_rescheduled"] = change.retry_at or author.at, change.rescheduled
    elif change.after is not _State.NONE:
        values["to_ended_at"] = change.ended_at or author.at
        values["to_followed"] = change.followed
        if change.after is _State.UP_FOR_RETRY:
            values["to_retry_at"] = change.retry_at
    return values


def _history_row(author: Author, change: StateChange, kind: str = TASK_INSTANCE) -> dict[str, Any]:
    return task_instance_row(
        author,
        change.key,
        change.id,
        change.before,
        change.after,
        change.cause,
        change.reason,
        try_number=change.try_number,
        token=change.token,
        kind=kind,
        evidence={**(change.evidence or {}), "event": change.event} if change.event else change.evidence,
    )


def _new_row(author: Author, new: NewTaskInstance) -> dict[str, Any]:
    is_marked = new.state is not _State.NONE
    return {
        "dag_run_id": new.run,
        "dag_id": new.key.dag_id,
        "task_id": new.key.task_id,
        "map_index": new.key.map_index,
        "state": new.state,
        "try_number": 0,
        "max_tries": new.max_tries,
        "lost_tries": 0,
        "token": 0,
        "pool": new.pool,
        "pool_slots": new.pool_slots,
        "priority": new.priority,
        "ended_at": author.at if is_marked else None,
        "cause": Cause.MARKED if is_marked else new.cause,
        "reason": new.reason,
    }
