"""Reads runs as they stand, for commands: who owns and wants them, and their task instances. Read only."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Select, bindparam, select

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import UNFINISHED_BACKFILL, backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.rows import STATES, by_place, run_snapshot, runs_with_owner
from tailrace.model.transitions import Cause
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot

#: The rows that ``stand`` takes; the caller adds the condition.
STANDING_RUNS: Select[Any] = runs_with_owner().add_columns(
    dag_run.c.live, dag_run.c.conf, dag_run.c.clear_on_activation
)

_OF_DATES = STANDING_RUNS.where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True))
).order_by(dag_run.c.logical_date)

_TASK_INSTANCES = select(
    task_instance.c.dag_run_id,
    task_instance.c.id,
    task_instance.c.task_id,
    task_instance.c.map_index,
    task_instance.c.state,
    task_instance.c.try_number,
    task_instance.c.max_tries,
    task_instance.c.cause,
    task_instance.c.stopping_to,
).where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))

_WANTING = (
    select(
        backfill_run.c.dag_run_id,
        backfill.c.id,
        backfill.c.state,
        backfill.c.conf.is_not(None).label("gives_conf"),
        backfill.c.part.is_not(None).label("in_part"),
    )
    .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
    .where(backfill_run.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(backfill_run.c.dag_run_id, backfill.c.id)
)


def stand(tx: Transaction, rows: Sequence[Any]) -> tuple[RunSnapshot, ...]:
    """These rows of STANDING_RUNS as runs, without their task instances, with the backfills that want them."""
    now = tx.moment
    wanting = _wanting(tx, [row.id for row in rows])
    return tuple(
        replace(
            run_snapshot(row, now),
            live=bool(row.live),
            conf=row.conf,
            to_clear=() if row.clear_on_activation is None else tuple(from_json(row.clear_on_activation)),
            **wanting.get(row.id, {}),
        )
        for row in rows
    )


def runs_of_dates(tx: Transaction, dag_id: str, dates: Iterable[datetime]) -> tuple[RunSnapshot, ...]:
    """The DAG's runs of these logical dates, whole."""
    batches = in_batches(list(dates))
    rows = [row for batch in batches for row in tx.rows(_OF_DATES, {"dag_id": dag_id, "dates": batch})]
    return with_task_instances(tx, stand(tx, rows))


def with_task_instances(tx: Transaction, runs: Sequence[RunSnapshot]) -> tuple[RunSnapshot, ...]:
    """These runs with their task instances."""
    found: dict[int, list[Any]] = {}
    for batch in in_batches([run.id for run in runs]):
        for row in tx.rows(_TASK_INSTANCES, {"runs": batch}):
            found.setdefault(row.dag_run_id, []).append(row)
    return tuple(
        replace(run, task_instances=tuple(map(_task_instance, by_place(found.get(run.id, ()))))) for run in runs
    )


def unfinished_wanting(tx: Transaction, runs: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """The unfinished backfills that want each of these runs; none: left out."""
    found = _wanting(tx, sorted(runs))
    return {run: wanting["wanted_by"] for run, wanting in found.items() if wanting["wanted_by"]}


def _task_instance(row: Any) -> TaskInstanceSnapshot:
    return TaskInstanceSnapshot(
        id=row.id,
        task_id=row.task_id,
        state=STATES[row.state],
        map_index=row.map_index,
        try_number=row.try_number,
        max_tries=row.max_tries,
        stopping_to=None if row.stopping_to is None else STATES[row.stopping_to],
        cause=Cause(row.cause),
    )


def _wanting(tx: Transaction, runs: Sequence[int]) -> Mapping[int, dict[str, Any]]:
    """By run: what ``RunSnapshot`` says of the backfills that want it, or wanted it until they were judged."""
    found: dict[int, dict[str, Any]] = {}
    for batch in in_batches(runs):
        for row in tx.rows(_WANTING, {"runs": batch}):
            wanting = found.setdefault(row.dag_run_id, {"wanted_by": (), "conf_given_by": (), "judged_by": None})
            wanting["wanted_in_part"] = wanting.get("wanted_in_part", False) or bool(row.in_part)
            if row.state not in UNFINISHED_BACKFILL:
                wanting["judged_by"] = row.id
                continue
            wanting["wanted_by"] += (row.id,)
            if row.gives_conf:
                wanting["conf_given_by"] += (row.id,)
    return found
