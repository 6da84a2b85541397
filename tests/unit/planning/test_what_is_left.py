"""How many task instances a backfill has yet to bring to an outcome, date by date: what its preview counts."""

import pytest

from tailrace.model.intervals import DataInterval
from tailrace.model.states import DagRunState
from tailrace.planning.backfills import BackfillFacts, BackfillRequest, Reprocess
from tailrace.planning.creation import plan_backfill
from tailrace.planning.snapshot import RunSnapshot
from tests.unit.planning.builders import DAY, NOW, dag, task_instances

DAG = dag("a>b>c")
DATE = DataInterval(NOW - DAY, NOW)


def to_run(state: DagRunState | None, reprocess: Reprocess = Reprocess.MISSING, **tis: str) -> int:
    """Of one date, whose run and task instances are in these states (None: there is no run)."""
    found = task_instances(dag(" ".join(tis)), **tis) if tis else ()
    existing = {}
    if state is not None:
        run = RunSnapshot(1, "run", DATE.start, DATE, state, 1, task_instances=found)
        existing[DATE.start] = run
    facts = BackfillFacts(NOW, existing=existing, pools={"default_pool": 128})
    request = BackfillRequest("dag", DATE.start, DATE.start, reprocess=reprocess)
    [date] = plan_backfill(DAG, request, (DATE,), facts).dates
    return date.to_run


@pytest.mark.parametrize(
    ("state", "reprocess", "tis", "expected"),
    [
        (None, "missing", {}, 3),
        (DagRunState.QUEUED, "missing", {}, 3),
        (DagRunState.RUNNING, "missing", {"a": "success", "b": "queued", "c": "none"}, 2),
        (DagRunState.RUNNING, "missing", {"a": "up_for_retry", "b": "none", "c": "none"}, 3),
        (DagRunState.SUCCESS, "missing", {"a": "success", "b": "success", "c": "success"}, 0),
        (DagRunState.DEADLOCKED, "missing", {"a": "failed", "b": "none", "c": "none"}, 2),
        (DagRunState.FAILED, "failed", {"a": "success", "b": "failed", "c": "upstream_failed"}, 2),
        (DagRunState.SUCCESS, "all", {"a": "success", "b": "success", "c": "success"}, 3),
    ],
)
def test_what_has_no_outcome_or_will_get_another_counts(
    state: DagRunState | None, reprocess: str, tis: dict[str, str], expected: int
) -> None:
    assert to_run(state, Reprocess(reprocess), **tis) == expected
