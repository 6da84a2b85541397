"""Checks that the rows as they stand are where their history led, and that nothing else is there."""

from collections.abc import Iterable, Iterator

from tailrace.audit.records import Recorded, RunRecord, TaskInstanceRecord, Violation
from tailrace.audit.replay import Instance, Replay, Run, RunKey
from tailrace.model.keys import index_suffix
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Cause


def check_final_rows(
    replay: Replay, records: Recorded, task_instances: Iterable[TaskInstanceRecord]
) -> Iterator[Violation]:
    """Rows that are not where their history led, and history that led to no row. Takes the replay apart."""
    for ti in task_instances:
        instance = replay.runs.get((ti.dag_id, ti.run_id), Run()).instances.pop((ti.task_id, ti.map_index), None)
        yield from _task_instance(ti, instance)
    for key, run in replay.runs.items():
        yield from _run(replay, key, run)
    for key in sorted(replay.run_records.keys() - replay.runs.keys()):
        yield _found(" / ".join(key), "a run without history")
    known = {backfill.id: backfill.state for backfill in records.backfills}
    for id in sorted(known.keys() | replay.backfills.keys()):
        led, row = replay.backfills.get(id), known.get(id)
        if led != row:
            yield _found(f"backfill {id}", f"history leads to {led}, the row says {row}")
    for name in sorted(records.pools.keys() | replay.pools.keys()):
        if name not in replay.pools or replay.pools[name] != records.pools.get(name):
            led_to = "nothing" if name not in replay.pools else f"{replay.pools[name]} slots"
            yield _found(f"pool {name}", f"history leads to {led_to}, the row says {records.pools.get(name)} slots")
    if not replay.cleaned:
        yield from replay.unless_cleaned
    if not replay.tells_past:
        yield _found("history", "no row of it says which schema it was written by")
    for what in records.damaged:
        yield Violation("structure", what, "it is not what was stored: its text and its hash differ")
    for cell in records.unreadable:
        where = f"{cell.column} cannot be read: " if cell.column else ""
        of_history = int(cell.row) if cell.table == "history" and cell.row.isdecimal() else None
        yield Violation("unreadable", f"{cell.table} row {cell.row}", f"{where}expected {cell.expected}", of_history)


def _task_instance(ti: TaskInstanceRecord, instance: Instance | None) -> Iterator[Violation]:
    about = f"{ti.dag_id} / {ti.run_id} / {ti.task_id}{index_suffix(ti.map_index)}"
    if instance is None or instance.state != ti.state:
        led = None if instance is None else instance.state
        yield _found(about, f"history leads to {led}, the row says {ti.state}")
        return
    if (instance.try_number, instance.token) != (ti.try_number, ti.token):
        led_to = f"try {instance.try_number} with token {instance.token}"
        yield _found(about, f"history leads to {led_to}, the row says try {ti.try_number} with token {ti.token}")
    if instance.held is not None and instance.held != (ti.pool, ti.pool_slots):
        name, slots = instance.held
        yield _found(
            about, f"it was queued into {slots} slots of pool {name}, the row says {ti.pool_slots} of {ti.pool}"
        )
    if instance.cause == Cause.OUTCOME and instance.followed != ti.followed:
        yield _found(about, f"it followed {_chosen(instance.followed)}, the row says {_chosen(ti.followed)}")


def _chosen(followed: tuple[str, ...] | None) -> str:
    return "everything" if followed is None else ", ".join(followed) or "nothing"


def _run(replay: Replay, key: RunKey, run: Run) -> Iterator[Violation]:
    record, about = replay.run_records.get(key), " / ".join(key)
    if record is None or record.state != run.state:
        found = "there is no such row" if record is None else f"the row says {record.state}"
        yield _found(about, f"history leads to {run.state}, {found}")
    elif record.blocked != (run.blocked or None) and record.id:
        yield _found(about, "the row names other blocked task instances than the verdict in history")
    if record is not None and run.told and run.state is not DagRunState.QUEUED:
        yield from _options(about, run, record)
    for task_id, map_index in run.instances:
        yield _found(f"{about} / {task_id}{index_suffix(map_index)}", "history leads to a task instance without a row")


def _options(about: str, run: Run, record: RunRecord) -> Iterator[Violation]:
    """What a run was activated with stays as it is until it is opened again."""
    for name, led, stands in (
        ("pool", run.pool, record.pool),
        ("ignore_depends_on_past", run.ignores_past, record.ignore_depends_on_past),
        ("structure", run.structure, record.structure),
    ):
        if led != stands:
            yield _found(about, f"it was activated with {name} {led}, the row says {stands}")


def _found(about: str, text: str) -> Violation:
    return Violation("final state", about, text)
