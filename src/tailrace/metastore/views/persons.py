"""Whose command did what to which row, and when, from the rows of history that a person's command wrote."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec.structs import replace
from sqlalchemy import ColumnElement, case, func, select

from tailrace.metastore.db.tables import UNFINISHED_BACKFILL, history
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.writes.records import BACKFILL, DAG_RUN, DELETED_POOL, POOL, TASK_INSTANCE
from tailrace.model.chains import CHANGED
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.explain_facts import CREATED, TRIGGERED, PersonsCommand

K = TypeVar("K")

_STOPPING_TO = re.compile('"stopping_to":"([a-z_]+)"')

_ROWS = select(
    history.c.kind,
    history.c.dag_id,
    history.c.run_id,
    history.c.task_id,
    history.c.map_index,
    history.c.backfill_id,
    history.c.job_id,
    history.c.pool,
    history.c.before,
    history.c.after,
    history.c.cause,
    history.c.at,
    history.c.person,
    # Of a large backfill it names every run: only its beginning is fetched, and nothing is parsed.
    case((history.c.person.is_not(None), func.substr(history.c.sets, 1, 2000)), else_="").label("sets"),
).order_by(history.c.id)
_OF_NO_RUN = _ROWS.where(history.c.run_id.is_(None), history.c.person.is_not(None))

_DONE: Mapping[str, str] = {
    Cause.CLEARED: "cleared",
    Cause.CANCELLED: "cancelled",
    Cause.PAUSED: "put back by a pause",
    Cause.REPROCESS: "reopened",
    Cause.RESIZED: "reopened",
}


Run = tuple[str, str]  # dag id, run id
Instance = tuple[str, str, str, int]  # the same, task id, map index


def of_runs(tx: Transaction, runs: Iterable[Run]) -> Mapping[Run, PersonsCommand]:
    """The newest command of a person about each run that there was one about."""
    only = (history.c.kind == DAG_RUN, history.c.task_id.is_(None))
    return _newest(_of_runs(tx, runs, *only), lambda row: (row.dag_id, row.run_id))


def of_task_instances(
    tx: Transaction, runs: Iterable[Run], task_ids: Iterable[str] | None = None
) -> Mapping[Instance, PersonsCommand]:
    """The newest about each task instance of these runs, of these tasks only where some are named."""
    only: tuple[ColumnElement[bool], ...] = (history.c.kind == TASK_INSTANCE,)
    if task_ids is not None:
        only += (history.c.task_id.in_(set(task_ids)),)
    return _newest(_of_runs(tx, runs, *only), lambda row: (row.dag_id, row.run_id, row.task_id, row.map_index))


def of_backfills(tx: Transaction, dag_ids: Iterable[str]) -> Mapping[int, tuple[PersonsCommand, ...]]:
    """All about each backfill of these DAGs, in order: created, continued, paused, resumed, cancelled."""
    found: dict[int, tuple[PersonsCommand, ...]] = {}
    for batch in in_batches(sorted(set(dag_ids))):
        asked = _OF_NO_RUN.where(history.c.dag_id.in_(batch), history.c.kind.in_((BACKFILL, CHANGED)))
        for row in tx.rows(asked):
            if row.backfill_id is not None and (command := _about_backfill(row)):
                found[row.backfill_id] = (*found.get(row.backfill_id, ()), command)
    return found


def creation_and_last(
    row: Any, commands: Sequence[PersonsCommand]
) -> tuple[PersonsCommand | None, PersonsCommand | None]:
    """Of these commands about a backfill (its row) that which created it, and the newest: while it is paused or
    cancelled, the newest that made it so.
    """
    if not commands:
        return None, None
    state = "paused" if row.paused and row.state in UNFINISHED_BACKFILL else row.state
    last = next((each for each in reversed(commands) if each.what == state), commands[-1])
    created = next((replace(each, stands=False) for each in commands if each.is_creation), None)
    return created, replace(last, stands=last.what == state)


def of_dags(tx: Transaction, dag_ids: Iterable[str]) -> Mapping[str, PersonsCommand]:
    """The newest pause or end of a pause of each of these DAGs, where there was one."""
    found: dict[str, PersonsCommand] = {}
    for batch in in_batches(sorted(set(dag_ids))):
        asked = _OF_NO_RUN.where(history.c.dag_id.in_(batch), history.c.kind == CHANGED, history.c.after == "dag")
        for row in tx.rows(asked.where(history.c.cause != Cause.CREATED)):
            if _says(row, "paused"):
                found[row.dag_id] = _changed(row, _pause(row))
    return found


def of_pools(tx: Transaction) -> Mapping[str, PersonsCommand]:
    """The newest about each pool."""
    found: dict[str, PersonsCommand] = {}
    for row in tx.rows(_OF_NO_RUN.where(history.c.dag_id == "", history.c.kind.in_((POOL, CHANGED)))):
        if row.pool is None or (row.kind == CHANGED and row.after != POOL):
            continue
        if row.kind != POOL:
            what = "described"
        elif row.after == DELETED_POOL:
            what = row.after
        else:
            what = CREATED if row.cause == Cause.CREATED else f"set to {row.after}"
        found[row.pool] = _changed(row, what)
    return found


def who_set(tx: Transaction, table: str) -> Mapping[tuple[str, datetime], str]:
    """Who has set a Variable or a Connection, by its name and the moment."""
    asked = _OF_NO_RUN.where(history.c.dag_id == "", history.c.kind == CHANGED, history.c.after == table)
    return {(row.pool, row.at): row.person for row in tx.rows(asked) if row.pool is not None}


def of_jobs(tx: Transaction, jobs: Mapping[int, str | None]) -> Mapping[int, str]:
    """Who started each of these jobs (its row, and the DAG that it drives or None)."""
    found: dict[int, str] = {}
    for batch in in_batches(sorted({dag_id or "" for dag_id in jobs.values()})):
        asked = _OF_NO_RUN.where(history.c.dag_id.in_(batch), history.c.kind == CHANGED, history.c.after == "job")
        found.update((row.job_id, row.person) for row in tx.rows(asked) if row.job_id in jobs)
    return found


def _of_runs(tx: Transaction, runs: Iterable[Run], *only: ColumnElement[bool]) -> Iterator[Any]:
    of_dags: dict[str, list[str]] = {}
    for dag_id, run_id in runs:
        of_dags.setdefault(dag_id, []).append(run_id)
    for dag_id, run_ids in of_dags.items():
        for batch in in_batches(sorted(set(run_ids))):
            yield from tx.rows(_ROWS.where(history.c.dag_id == dag_id, history.c.run_id.in_(batch), *only))


def _newest(rows: Iterable[Any], key: Callable[[Any], K]) -> dict[K, PersonsCommand]:
    found: dict[K, PersonsCommand] = {}
    for row in rows:
        if row.person is not None:
            found[key(row)] = PersonsCommand(row.person, row.at, _what(row))
        elif row.before != TaskInstanceState.STOPPING and (command := found.get(key(row))):
            found[key(row)] = replace(command, stands=False)  # a try that was stopped has ended as the command asked
    return found


def _what(row: Any) -> str:
    """What the command behind a step of a run or a task instance did."""
    if row.cause == Cause.CREATED:
        return TRIGGERED if row.kind == DAG_RUN and row.backfill_id is None else CREATED
    if row.cause != Cause.MARKED:
        return _DONE.get(row.cause, row.cause)
    if row.after == TaskInstanceState.STOPPING:
        outcome = _STOPPING_TO.search(row.sets)
        return f"marked {outcome[1]}" if outcome else "marked"
    return "reopened" if row.after == DagRunState.QUEUED else f"marked {row.after}"


def _about_backfill(row: Any) -> PersonsCommand | None:
    if row.kind == BACKFILL:
        return _changed(row, CREATED if row.cause == Cause.CREATED else _DONE.get(row.cause, row.cause))
    if _says(row, "paused"):
        return _changed(row, _pause(row))
    return _changed(row, "continued") if _says(row, "command") else None


def _says(row: Any, column: str) -> bool:
    """Whether it set this column: inside a text of JSON, a quotation mark is escaped."""
    return f'"{column}":' in (row.sets or "")


def _pause(row: Any) -> str:
    return "paused" if '"paused":true' in row.sets else "resumed"


def _changed(row: Any, what: str) -> PersonsCommand:
    return PersonsCommand(row.person, row.at, what)
