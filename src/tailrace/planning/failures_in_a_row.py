"""Whether a DAG is to be paused: its newest scheduled runs that have ended have all failed, so many in a row.

It is paused once for each newest failure: who lets it go on sees it go on until the next run fails.
"""

from collections.abc import Iterable

from tailrace.model.keys import RunType
from tailrace.model.states import DagRunState
from tailrace.planning.plan import DagPause, RunVerdict
from tailrace.planning.snapshot import EndedRun, Snapshot

_FAILED = frozenset({DagRunState.FAILED, DagRunState.DEADLOCKED})


def pause_for(snapshot: Snapshot, verdicts: Iterable[RunVerdict]) -> DagPause | None:
    """The pause that the runs ask for, those that this very plan judges (``verdicts``) among them."""
    most = snapshot.dag.max_consecutive_failed_dag_runs
    if most == 0 or snapshot.dag_paused:
        return None
    judged = {verdict.id: verdict.state for verdict in verdicts}
    ended = {each.id: each for each in snapshot.ended}
    for run in snapshot.runs:
        if run.id in judged and run.run_type is RunType.SCHEDULED:
            ended[run.id] = EndedRun(run.id, run.run_id, run.logical_date, run.version, judged[run.id])
    newest = sorted(ended.values(), key=lambda each: each.logical_date, reverse=True)[:most]
    if len(newest) < most or any(each.state not in _FAILED for each in newest):
        return None
    after = (newest[0].logical_date, newest[0].version)
    if snapshot.paused_after is not None and after <= snapshot.paused_after:
        return None
    what = "its newest scheduled run failed" if most == 1 else f"its {most} newest scheduled runs failed"
    reason = f"{what}, {newest[0].run_id} last (max_consecutive_failed_dag_runs)"
    return DagPause(after, snapshot.paused_after, reason, {each.id: each.state for each in newest})
