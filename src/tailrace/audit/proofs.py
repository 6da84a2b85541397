"""Checks that what a row of history leans on is all there: the parts of a verdict's evidence, the structure it names.

Whether what is said there was so is looked at in ``verdicts``.
"""

from collections.abc import Iterator

from tailrace.audit.records import Evidence, HistoryRecord, Violation
from tailrace.audit.replay import Replay, name_of
from tailrace.model.keys import index_suffix
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

#: Which part of a verdict's evidence speaks of a dependency that is not met, by the dependency's name.
_SPEAKS_OF = {"Previous Dagrun State": "past", "Pool Slots Available": "pools", "Ready To Reschedule": "waits"}


def check_structure(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """The structure that the row was decided by is there, and it is one of the row's own DAG.

    But a try that was being stopped when its worker was lost is given up by whoever plans next, for whatever DAG.
    """
    if row.structure is None or replay.structures_are_damaged:
        return
    structure, stray = replay.structure(row), row.before == TaskInstanceState.STOPPING
    if structure is None:
        yield _found("structure", row, f"decided by version {row.structure}, which is not there")
    elif structure.dag.dag_id != row.dag_id and not stray:
        yield _found("structure", row, f"decided by version {row.structure}, which is one of {structure.dag.dag_id}")


def check_cleaned(row: HistoryRecord) -> Iterator[Violation]:
    """Rows that were removed are counted."""
    if row.evidence is None:
        yield _found("evidence", row, "rows were removed, and nothing says how many")


def check_proof(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """What a run's step must be stored with is there."""
    evidence = row.evidence
    if row.cause == Cause.REPROCESS and (evidence is None or evidence.clear is None):
        yield _found("evidence", row, "it goes again, and nothing says what of it is done again")
    if row.cause != Cause.JUDGED or evidence is None or evidence.blocked is None:
        return
    if row.after == DagRunState.DEADLOCKED:
        yield from _blockers(replay, row, evidence)
    elif evidence.blocked:
        yield _found("evidence", row, f"{row.after}, and it names what is blocked")


def _blockers(replay: Replay, row: HistoryRecord, evidence: Evidence) -> Iterator[Violation]:
    key = (row.dag_id, row.run_id or "")
    for blocked in evidence.blocked or ():
        task_id, name = blocked.place[0], blocked.place[0] + index_suffix(blocked.place[1])
        instance = replay.run(row).instances.get(blocked.place)
        if blocked.run != key:
            yield _found("deadlock proof", row, f"it names {name} of another run, {' / '.join(blocked.run)}")
        elif instance is None or instance.state != blocked.state:
            was = "not there" if instance is None else instance.state
            yield _found("deadlock proof", row, f"it names {name} as {blocked.state}, it was {was}")
        if not blocked.dependencies:
            yield _found("deadlock proof", row, f"nothing is said to block {name}")
        for dependency in blocked.dependencies:
            part = _SPEAKS_OF.get(dependency)
            which_one = part != "past" or task_id in (evidence.blocked_by or {}) or not replay.tells_past
            if part is not None and not (getattr(evidence, part) and which_one):
                yield _found("evidence", row, f"{name} is blocked by {dependency}, of which it says nothing else")


def _found(check: str, row: HistoryRecord, text: str) -> Violation:
    return Violation(check, name_of(row), text, row.id)
