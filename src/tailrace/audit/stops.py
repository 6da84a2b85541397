"""Checks of runs that are stopped before their tasks have ended: for a reason, and nothing else of them goes on."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tailrace.audit.records import HistoryRecord, Stop, Violation
from tailrace.audit.replay import STOPS, Replay, Run, name_of
from tailrace.audit.structure import Structure
from tailrace.model.chains import moment_cell
from tailrace.model.keys import index_suffix
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause


def check_stop(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """A run is stopped once in each of its activations, by what its DAG says and for what its evidence says."""
    run, structure = replay.run(row), replay.structure(row)
    if run.stopped_by is not None:
        yield _found(row, f"stopped for {row.cause}, and had been stopped for {run.stopped_by}")
    stop = None if row.evidence is None else row.evidence.stop
    if stop is None:
        yield _found(row, f"stopped for {row.cause}, and nothing says why")
    elif structure is None:
        replay.untold["runs stopped by a structure that is not known"] += 1
    elif row.cause == Cause.FAIL_FAST:
        yield from _failed_fast(run, row, structure, stop)
    else:
        yield from _timed_out(run, row, structure, stop)


def _timed_out(run: Run, row: HistoryRecord, structure: Structure, stop: Stop) -> Iterator[Violation]:
    limit = structure.dag.dagrun_timeout
    if limit is None or stop.limit != limit.total_seconds():
        yield _found(row, f"stopped after {stop.limit} s, the DAG has the dagrun_timeout {limit}")
    if stop.began is None or stop.seen is None:
        yield _found(row, "stopped for its time, which is not told")
        return
    if run.began and not _same(stop.began, run.began):
        yield _found(row, f"it says that it began {stop.began}, it was activated {run.began}")
    if limit is not None and stop.seen - stop.began < min(limit, timedelta(seconds=stop.limit or 0)):
        yield _found(row, f"stopped after {stop.seen - stop.began}, before {limit} had passed")


def _same(moment: datetime, cell: str) -> bool:
    return moment.tzinfo is not None and moment_cell(moment) == cell


def _failed_fast(run: Run, row: HistoryRecord, structure: Structure, stop: Stop) -> Iterator[Violation]:
    if not structure.dag.fail_fast:
        yield _found(row, "stopped at a failure, and its DAG does not fail fast")
    places = [place for place, each in run.instances.items() if each.row_id == (stop.failed or (0, 0))[0]]
    failed = [each for each in places if each in run.failed and run.instances[each].state is TaskInstanceState.FAILED]
    if not failed or run.instances[failed[0]].try_number != (stop.failed or (0, 0))[1]:
        named = ", ".join(task_id + index_suffix(index) for task_id, index in places) or "what is not there"
        yield _found(row, f"stopped at a failure of {named}, which had not failed since the run began")


def check_ended(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """What is ended because its run is stopped belongs to a run that is; nothing of one is started any more."""
    by = replay.run(row).stopped_by
    if row.cause in STOPS and row.cause != by:
        yield _found(row, f"{row.before} → {row.after} for {row.cause}, while its run was stopped for {by}")
    elif by is not None and row.cause in (Cause.DEPENDENCIES_MET, Cause.RESUMED, Cause.EXPANDED):
        yield _found(row, f"{row.before} → {row.after} for {row.cause} in a run that was stopped for {by}")


def check_stopped_verdict(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    """A run that was stopped fails once all of it has ended; one that should have been is not judged by its leaves."""
    run, named = replay.run(row), None if row.evidence is None else row.evidence.stopped_by
    if named != run.stopped_by:
        yield _found(row, f"judged as one stopped for {named}, it was stopped for {run.stopped_by}")
    if run.stopped_by is None:
        if structure.dag.fail_fast and run.failed and row.after != DagRunState.DEADLOCKED:
            names = ", ".join(sorted(task_id + index_suffix(index) for task_id, index in run.failed))
            yield _found(row, f"judged {row.after} although {names} failed and its DAG fails fast")
        return
    if row.after != DagRunState.FAILED:
        yield _found(row, f"judged {row.after}, and it was stopped for {run.stopped_by}")
    for (task_id, index), each in sorted(run.instances.items()):
        if each.state not in FINISHED and structure.part.holds(task_id):
            yield _found(row, f"judged {row.after} while {task_id}{index_suffix(index)} is {each.state}")


def _found(row: HistoryRecord, text: str) -> Violation:
    return Violation("stopped run", name_of(row), text, row.id)
