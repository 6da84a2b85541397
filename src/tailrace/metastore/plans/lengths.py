"""Reads how many items those XComs have that mapped tasks are to be expanded over. What follows is the planner's.

Only for runs with a task to be expanded above which everything has ended, so at most once or twice for each such task.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace
from sqlalchemy import bindparam, case, select

from tailrace.metastore.db.tables import task_instance, xcom
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.model.keys import UNMAPPED
from tailrace.model.spec import DagSpec, XComRef
from tailrace.model.tagged_values import items_of, stored_value
from tailrace.planning.expanded import needed_lengths
from tailrace.planning.lengths import stored_length
from tailrace.planning.snapshot import RunSnapshot, StoredLength

_XCOMS = (
    select(
        task_instance.c.id,
        xcom.c.key,
        case((task_instance.c.map_index == UNMAPPED, xcom.c.value)).label("value"),  # of the others the number counts
    )
    .join_from(task_instance, xcom, xcom.c.task_instance_id == task_instance.c.id)
    .where(task_instance.c.id.in_(bindparam("rows", expanding=True)), xcom.c.key.in_(bindparam("keys", expanding=True)))
)


def with_lengths(tx: Transaction, dag: DagSpec, runs: Iterable[RunSnapshot]) -> tuple[RunSnapshot, ...]:
    """The runs with the lengths that the next step may need."""
    if not dag.mapped:
        return tuple(runs)
    return tuple(_with_lengths(tx, dag, run) for run in runs)


def _with_lengths(tx: Transaction, dag: DagSpec, run: RunSnapshot) -> RunSnapshot:
    needed = needed_lengths(dag, run.task_instances)
    if not needed:
        return run
    unmapped = {ti.id for ti in run.task_instances if ti.map_index == UNMAPPED}
    keys = sorted({ref.key for ref in needed})
    found: dict[tuple[int, str], Any] = {}
    for batch in in_batches(sorted({id for ids in needed.values() for id in ids})):
        found.update(((row.id, row.key), row.value) for row in tx.rows(_XCOMS, {"rows": batch, "keys": keys}))
    return replace(run, lengths={ref: _length(ref, rows, unmapped, found) for ref, rows in needed.items()})


def _length(
    ref: XComRef, rows: Iterable[int], unmapped: set[int], found: Mapping[tuple[int, str], str | None]
) -> StoredLength:
    """Of a mapped task: how many of its instances have left something; else what its one instance has left."""
    left = [row for row in rows if (row, ref.key) in found]
    if not unmapped.intersection(rows):
        return StoredLength(len(left))
    if not left:
        return StoredLength(None, "missing")
    try:
        return stored_length(items_of(stored_value(found[left[0], ref.key] or "")))
    except (ValueError, RecursionError):
        return StoredLength(None, "stored as what cannot be read")
