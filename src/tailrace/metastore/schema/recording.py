"""Records in history what stood before history was chained, each row with every column: what changes later is found.

What had happened to it before stays unsealed: nobody can say whether those rows are as they were written.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Table, bindparam, select, text, update

from tailrace.metastore.db.tables import (
    backfill,
    backfill_run,
    dag,
    dag_run,
    dag_version,
    job,
    loaded_dag,
    pool,
    task_instance,
    xcom,
)
from tailrace.metastore.db.transaction import BATCH, Transaction
from tailrace.metastore.writes.accounted import accounted, as_it_is, cell
from tailrace.metastore.writes.records import (
    Author,
    History,
    changed_row,
    insert_history,
    insert_metastore_history,
    schema_row,
)
from tailrace.model.chains import Chain, text_digest
from tailrace.model.transitions import Cause

_NEWEST_SCHEMA = text("SELECT after FROM history WHERE kind = 'schema' ORDER BY id DESC LIMIT 1")
_KEYS = {dag.name: "dag_id", loaded_dag.name: "dag_id"}
_XCOMS = select(xcom.c.task_instance_id, xcom.c.key, as_it_is(xcom.c.value), as_it_is(xcom.c.at)).where(
    xcom.c.task_instance_id.in_(bindparam("ids", expanding=True))
)
_WANTED = select(
    backfill_run.c.backfill_id,
    backfill_run.c.dag_run_id,
    backfill_run.c.ordinal,
    backfill_run.c.action,
    backfill_run.c.reason,
    backfill_run.c.clear,
).where(backfill_run.c.backfill_id.in_(bindparam("ids", expanding=True)))


def record_standing(tx: Transaction, former: str, now: str) -> None:
    """Begin every chain with what its row says, in a metastore that was just migrated."""
    author = Author.of_command(tx, f"schema-{now}")
    newest = tx.row(_NEWEST_SCHEMA)
    rows: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    rows.append((schema_row(author, former if newest is None else newest[0], now), None))
    author = replace(author, person=None)  # who migrates did none of what stands
    for found in tx.rows(select(*map(as_it_is, pool.columns)).order_by(pool.c.name)):
        sets = {"slots": found.slots, "description": found.description}
        rows.append((changed_row(author, pool.name, Cause.RECORDED, pool=found.name), sets))
    insert_metastore_history(tx, *rows, begins=True)
    for table in (dag, dag_version, loaded_dag, job, backfill, dag_run, task_instance):
        for page in _pages(tx, table):
            _record(tx, author, table, page)


def record_schema(tx: Transaction, former: str, now: str) -> None:
    """Say in a history that is chained already which schema writes what follows."""
    author = Author.of_command(tx, f"schema-{now}")
    insert_metastore_history(tx, (schema_row(author, former, now), None))


def _record(tx: Transaction, author: Author, table: Table, page: Sequence[Any]) -> None:
    history, more = History(), _more(tx, table, page)
    ends: list[dict[str, Any]] = []
    for row in page:
        key = getattr(row, _KEYS.get(table.name, "id"))
        columns = {column.name: cell(column, getattr(row, column.name)) for column in accounted(table)}
        sets = {name: value for name, value in columns.items() if value is not None and name != "id"}
        about = changed_row(author, table.name, Cause.RECORDED, row.of_dag or "", **_named(table, row))
        end = history.add(about, Chain(), sets | more.get(key, {}))
        ends.append({"key": key, "head": end.head, "length": end.length})
    insert_history(tx, history)
    key_column = table.c[_KEYS.get(table.name, "id")]
    statement = update(table).where(key_column == bindparam("key"))
    tx.change_many(statement.values(chain_head=bindparam("head"), chain_length=bindparam("length")), ends)


def _named(table: Table, row: Any) -> dict[str, Any]:
    """The columns of history that name the row, besides its DAG."""
    match table.name:
        case "dag_version":
            return {"dag_version_id": row.id}
        case "job":
            return {"job_id": row.id}
        case "backfill":
            return {"backfill_id": row.id}
        case "dag_run":
            return {"run_id": row.run_id, "dag_run_id": row.id}
        case "task_instance":
            place = {"task_id": row.task_id, "map_index": row.map_index}
            return {"run_id": row.of_run, **place, "task_instance_id": row.id}
        case _:
            return {}


def _more(tx: Transaction, table: Table, page: Sequence[Any]) -> Mapping[Any, dict[str, Any]]:
    """What belongs to the rows of a page: the XComs of a task instance, the runs that a backfill wants."""
    found: dict[Any, dict[str, Any]] = {}
    if table.name == "task_instance":
        for id, key, value, at in tx.rows(_XCOMS, {"ids": [row.id for row in page]}):
            xcoms = found.setdefault(id, {"xcoms": {}})["xcoms"]
            xcoms[key] = [text_digest(value), cell(xcom.c.at, at)]
    elif table.name == "backfill":
        for id, run, *wanted in tx.rows(_WANTED, {"ids": [row.id for row in page]}):
            found.setdefault(id, {"wants": {}})["wants"][str(run)] = wanted
    return found


def _pages(tx: Transaction, table: Table) -> Iterator[Sequence[Any]]:
    key = table.c[_KEYS.get(table.name, "id")]
    names = {column.name for column in accounted(table)} | {key.name}
    columns = [as_it_is(column) for column in table.columns if column.name in names]
    wanted = select(*columns, table.c.dag_id.label("of_dag"))
    if table.name == "task_instance":
        wanted = select(*columns, dag_run.c.dag_id.label("of_dag"), dag_run.c.run_id.label("of_run"))
        wanted = wanted.join_from(task_instance, dag_run, dag_run.c.id == task_instance.c.dag_run_id)
    last: Any = "" if key.name == "dag_id" else 0
    page = wanted.where(key > bindparam("last")).order_by(key).limit(BATCH)
    while rows := tx.rows(page, {"last": last}):
        yield rows
        last = getattr(rows[-1], key.name)
