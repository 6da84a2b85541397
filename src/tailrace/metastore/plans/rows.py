"""Turns rows into the values of the planning vocabulary. No statement is executed here."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import convert, to_builtins
from sqlalchemy import Select, select

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.columns import from_json, to_json
from tailrace.metastore.db.tables import dag_run, job, task_instance
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import ProcessIdentity, RunType
from tailrace.model.parts import BackfillPart, RunPart
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.snapshot import Holder, RunOptions, RunSnapshot, StoppedBy, TaskInstanceSnapshot

STATES: Mapping[str, TaskInstanceState] = {state.value: state for state in TaskInstanceState}
CAUSES: Mapping[str, Cause] = {cause.value: cause for cause in Cause}
RUN_STATES: Mapping[str, DagRunState] = {state.value: state for state in DagRunState}

TASK_INSTANCE_COLUMNS = (
    task_instance.c.dag_run_id,
    task_instance.c.id,
    task_instance.c.task_id,
    task_instance.c.state,
    task_instance.c.map_index,
    task_instance.c.try_number,
    task_instance.c.max_tries,
    task_instance.c.lost_tries,
    task_instance.c.token,
    task_instance.c.retry_at,
    task_instance.c.queued_at,
    task_instance.c.followed,
    task_instance.c.holder,
    task_instance.c.stopping_to,
    task_instance.c.lease_until,
    task_instance.c.lease_epoch,
    task_instance.c.lease_seconds,
    task_instance.c.cause,
)

RUN_COLUMNS = (
    dag_run.c.id,
    dag_run.c.run_id,
    dag_run.c.logical_date,
    dag_run.c.interval_start,
    dag_run.c.interval_end,
    dag_run.c.state,
    dag_run.c.version,
    dag_run.c.run_type,
    dag_run.c.owner_job_id,
    dag_run.c.disable_retry,
    dag_run.c.mark_success,
    dag_run.c.ignore_depends_on_past,
    dag_run.c.pool,
    dag_run.c.started_at,
    dag_run.c.stopped_by,
    dag_run.c.failed_before,
    dag_run.c.created_at,
    dag_run.c.late_since,
    dag_run.c.reopened,
    dag_run.c.part,
)

OWNER_COLUMNS = (job.c.state, job.c.lease_until, job.c.lease_epoch, job.c.lease_seconds)


def runs_with_owner() -> Select[Any]:
    """Runs (RUN_COLUMNS) with their owner's lease (OWNER_COLUMNS) behind; the caller adds the condition."""
    owner = (column.label(f"owner_{column.name}") for column in OWNER_COLUMNS)
    return select(*RUN_COLUMNS, *owner).select_from(dag_run.outerjoin(job, job.c.id == dag_run.c.owner_job_id))


def job_alive(
    state: str | None, until: float | None, epoch: str | None, seconds: float | None, now: TransactionTime
) -> bool:
    """Whether a job's row says that it is alive."""
    return state == "running" and not now.expired(until, epoch, seconds)


def owner_alive(row: Any, now: TransactionTime) -> bool:
    """Whether the run of a row of ``runs_with_owner`` has a live owner."""
    lease = (row.owner_lease_until, row.owner_lease_epoch, row.owner_lease_seconds)
    return row.owner_job_id is not None and job_alive(row.owner_state, *lease, now)


def task_instance_snapshot(row: Any, now: TransactionTime) -> TaskInstanceSnapshot:
    """The view of one row of TASK_INSTANCE_COLUMNS."""
    (_, id, task_id, text, index, number, most, lost, token, retry_at, queued_at, followed, holder, *rest) = row
    stopping_to, until, *lease, cause = rest
    return TaskInstanceSnapshot(
        id,
        task_id,
        STATES[text],
        index,
        number,
        most,
        lost,
        token,
        retry_at,
        queued_at,
        None if followed is None else tuple(from_json(followed)),
        None if holder is None else holder_from(holder),
        until is not None and now.expired(until, *lease),
        None if stopping_to is None else STATES[stopping_to],
        CAUSES[cause],
    )


def by_place(rows: Iterable[Any]) -> list[Any]:
    """Task instances' rows as people read them: by task as they were created, then by map index."""
    found = list(rows)
    first: dict[str, int] = {}
    for row in found:
        first[row.task_id] = min(first.get(row.task_id, row.id), row.id)
    return sorted(found, key=lambda row: (first[row.task_id], row.map_index))


def run_snapshot(row: Any, now: TransactionTime, task_instances: tuple[TaskInstanceSnapshot, ...] = ()) -> RunSnapshot:
    """The view of one row of ``runs_with_owner``."""
    return RunSnapshot(
        id=row.id,
        run_id=row.run_id,
        logical_date=row.logical_date,
        data_interval=DataInterval(row.interval_start, row.interval_end),
        state=RUN_STATES[row.state],
        version=row.version,
        run_type=RunType(row.run_type),
        owner_job_id=row.owner_job_id,
        owner_alive=owner_alive(row, now),
        options=RunOptions(row.disable_retry, row.mark_success, row.ignore_depends_on_past, row.pool),
        task_instances=task_instances,
        started_at=row.started_at,
        stopped_by=None if row.stopped_by is None else stopped_by_from(row.stopped_by),
        created_at=row.created_at,
        late_since=row.late_since,
        reopened=bool(row.reopened),
        failed_before=() if row.failed_before is None else tuple(map(tuple, from_json(row.failed_before))),
        part=None if row.part is None else run_part_from(row.part),
    )


def part_text(part: RunPart | BackfillPart) -> str:
    """A part as the JSON text kept in the row of its run or its backfill."""
    return to_json(to_builtins(part))


def run_part_from(text: str) -> RunPart:
    """What ``part_text`` wrote of a run."""
    return convert(from_json(text), RunPart)


def backfill_part_from(text: str) -> BackfillPart:
    """What ``part_text`` wrote of a backfill."""
    return convert(from_json(text), BackfillPart)


def stopped_by_text(by: StoppedBy) -> str:
    """Why a run is stopped, as the JSON text kept in its row."""
    return to_json({"cause": by.cause, "reason": by.reason})


def stopped_by_from(text: str) -> StoppedBy:
    """What ``stopped_by_text`` wrote."""
    stored = from_json(text)
    return StoppedBy(CAUSES[stored["cause"]], stored["reason"])


def holder_text(worker: ProcessIdentity, task: ProcessIdentity | None) -> str:
    """A holder as the JSON text kept in its row."""
    return to_json([_identity(worker), None if task is None else _identity(task)])


def holder_from(text: str) -> Holder:
    """The holder that ``holder_text`` wrote."""
    worker, task = from_json(text)
    return Holder(ProcessIdentity(*worker), None if task is None else ProcessIdentity(*task))


def conf_from(text: str | None) -> Mapping[str, Any] | None:
    """A run's conf; None where somebody has stored what is none. Its run's tries then fail, and no worker for it."""
    try:
        conf = {} if text is None else from_json(text)
    except (ValueError, RecursionError):
        return None
    return conf if isinstance(conf, dict) else None


def _identity(process: ProcessIdentity) -> list[str | int]:
    return [process.host, process.boot_id, process.pid, process.start_time, process.namespace]
