"""XComs: small JSON values that task instances leave for others of their run. Never a pickle."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Select, bindparam, delete, func, insert, select

from tailrace.effects.tries import Json, Unreadable, XComQuery, XComReply
from tailrace.metastore.db.tables import dag_run, task_instance, xcom
from tailrace.metastore.db.transaction import Transaction
from tailrace.model.chains import moment_cell, text_digest
from tailrace.model.tagged_values import Tagged, stored_text, stored_value

#: So many task ids go into one statement: a store takes only so many parameters.
_MOST_AT_ONCE = 5000

#: The values of one question, in characters. Of a single task instance they are bounded where it pushes them.
LONGEST_REPLY = 32 * 1024 * 1024

_INSERT = insert(xcom)
_LEFT = select(xcom.c.key, xcom.c.value, xcom.c.at).where(xcom.c.task_instance_id == bindparam("task_instance"))
_DROP = delete(xcom).where(xcom.c.task_instance_id == bindparam("task_instance"), xcom.c.key == bindparam("of_key"))

_OF_RUN: Select[Any] = (
    select(task_instance.c.id, task_instance.c.task_id, task_instance.c.map_index, xcom.c.value)
    .select_from(
        dag_run.join(task_instance, task_instance.c.dag_run_id == dag_run.c.id).join(
            xcom, xcom.c.task_instance_id == task_instance.c.id
        )
    )
    .where(
        dag_run.c.dag_id == bindparam("dag_id"),
        dag_run.c.run_id == bindparam("run_id"),
        xcom.c.key == bindparam("key"),
    )
    .order_by(task_instance.c.id)  # as they were created
)
_SIZE_OF_RUN = _OF_RUN.with_only_columns(func.coalesce(func.sum(func.length(xcom.c.value)), 0)).order_by(None)
_IS_ASKED = task_instance.c.task_id.in_(bindparam("tasks", expanding=True))
_OF_TASKS = _OF_RUN.where(_IS_ASKED)
_SIZE_OF_TASKS = _SIZE_OF_RUN.where(_IS_ASKED)
_HAS_INDEX = task_instance.c.map_index == bindparam("map_index")
#: By whether tasks are named, and whether one map index of theirs is.
_STATEMENTS = {
    (False, False): (_OF_RUN, _SIZE_OF_RUN),
    (True, False): (_OF_TASKS, _SIZE_OF_TASKS),
    (False, True): (_OF_RUN.where(_HAS_INDEX), _SIZE_OF_RUN.where(_HAS_INDEX)),
    (True, True): (_OF_TASKS.where(_HAS_INDEX), _SIZE_OF_TASKS.where(_HAS_INDEX)),
}


#: The newest run, up to a logical date, in which a task, or any, has left something under the key.
_NEWEST_WITH: Select[Any] = (
    select(dag_run.c.run_id)
    .select_from(
        dag_run.join(task_instance, task_instance.c.dag_run_id == dag_run.c.id).join(
            xcom, xcom.c.task_instance_id == task_instance.c.id
        )
    )
    .where(
        dag_run.c.dag_id == bindparam("dag_id"),
        dag_run.c.logical_date <= bindparam("until"),
        xcom.c.key == bindparam("key"),
    )
    .order_by(dag_run.c.logical_date.desc())
    .limit(1)
)
_IS_ASKED_FOR = task_instance.c.task_id == bindparam("task_id")
#: The same two questions.
_NEWEST = {
    (False, False): _NEWEST_WITH,
    (True, False): _NEWEST_WITH.where(_IS_ASKED_FOR),
    (False, True): _NEWEST_WITH.where(_HAS_INDEX),
    (True, True): _NEWEST_WITH.where(_IS_ASKED_FOR, _HAS_INDEX),
}
_DATE_OF = select(dag_run.c.logical_date).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.run_id == bindparam("run_id")
)


def xcom_rows(tx: Transaction, task_instance_id: int, values: Mapping[str, Json | Tagged]) -> list[dict[str, Any]]:
    """These values of one task instance as they are stored. The keys of a dict stay in their order."""
    return [
        {"task_instance_id": task_instance_id, "key": key, "value": stored_text(value), "at": tx.moment.wall}
        for key, value in sorted(values.items())
    ]


def insert_xcoms(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store them. The task instance has none of these keys: the first claim of a try drops what another left."""
    tx.change_many(_INSERT, rows)


def xcoms_left(tx: Transaction, task_instance_id: int) -> dict[str, Any]:
    """What earlier claims of a try have left, by key, as history says it."""
    return {
        row.key: [text_digest(row.value), moment_cell(row.at)]
        for row in tx.rows(_LEFT, {"task_instance": task_instance_id})
    }


def drop_xcoms(tx: Transaction, task_instance_id: int, keys: Sequence[str]) -> None:
    """Drop those of these keys: their try gives them anew."""
    tx.change_many(_DROP, [{"task_instance": task_instance_id, "of_key": key} for key in keys])


def read_xcoms(tx: Transaction, query: XComQuery) -> XComReply:
    """The values asked for; Unreadable when they are too many, or when one is no JSON (somebody else wrote it)."""
    return _of_run(tx, query, None)[0] if query.until is None else _of_prior_dates(tx, query)


def _of_run(tx: Transaction, query: XComQuery, before: int | None) -> tuple[XComReply, int]:
    """Those of one run, and how long they are together with what was read ``before``, for the same reply."""
    found: list[Any] = []
    size = before or 0
    index = {} if query.map_index is None else {"map_index": query.map_index}
    is_one = len(query.task_ids) == 1 and bool(index) and before is None  # whose size is bounded where it pushes
    for names in _pieces(tuple(dict.fromkeys(query.task_ids))):
        values = {"dag_id": query.dag_id, "run_id": query.run_id, "key": query.key, **names, **index}
        of_values, of_size = _STATEMENTS[bool(names), bool(index)]
        size += 0 if is_one else tx.value(of_size, values)
        if size > LONGEST_REPLY:
            return _too_long(query), size
        found += tx.rows(of_values, values)
    result: list[tuple[str, int, Json | Tagged]] = []
    for _, task_id, map_index, value in sorted(found, key=itemgetter(0)):
        try:
            result.append((task_id, map_index, stored_value(value)))
        except (ValueError, RecursionError) as wrong:
            return Unreadable(f"the XCom {query.key!r} of {task_id} is stored as what cannot be read: {wrong}"), size
    return tuple(result), size


def _too_long(query: XComQuery) -> Unreadable:
    return Unreadable(
        f"the XComs {query.key!r} asked for are more than {LONGEST_REPLY:,} characters together: "
        "pull those of fewer tasks, or map_indexes, at a time"
    )


def _of_prior_dates(tx: Transaction, query: XComQuery) -> XComReply:
    """Of each task, or of any, what it left in the run of the latest date, however late that run was made."""
    named = {"dag_id": query.dag_id, "run_id": query.run_id}
    until = tx.value(_DATE_OF, named) or query.until
    of_run: dict[str, list[str]] = {}
    for task_id in dict.fromkeys(query.task_ids or ("",)):
        values = {"dag_id": query.dag_id, "key": query.key, "until": until}
        values |= {"task_id": task_id} if query.task_ids else {}
        values |= {} if query.map_index is None else {"map_index": query.map_index}
        run_id = tx.value(_NEWEST[bool(query.task_ids), query.map_index is not None], values)
        if run_id is not None:
            of_run.setdefault(run_id, []).append(task_id)
    found: list[tuple[str, int, Json | Tagged]] = []
    size = 0
    for run_id, task_ids in of_run.items():
        asked = tuple(task_ids) if query.task_ids else ()
        reply, size = _of_run(tx, replace(query, run_id=run_id, task_ids=asked, until=None), size)
        if isinstance(reply, Unreadable):
            return reply
        found += reply
    return tuple(found)


def _pieces(task_ids: tuple[str, ...]) -> list[dict[str, Any]]:
    """The task ids as parameters of one statement after the other; one without any stands for every task."""
    if not task_ids:
        return [{}]
    return [{"tasks": list(task_ids[at : at + _MOST_AT_ONCE])} for at in range(0, len(task_ids), _MOST_AT_ONCE)]
