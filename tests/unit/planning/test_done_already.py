"""A backfill whose dates are all done by an earlier one of the same command need not be written."""

from typing import Any

import pytest

from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.planning.backfills import BackfillFacts, BackfillRequest, Reprocess
from tailrace.planning.creation import plan_backfill
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot
from tailrace.planning.verdicts import state_by_runs
from tests.message_text import lines
from tests.unit.planning.builders import DAY, NOW, dag

A = dag("a")
DATES = tuple(DataInterval(NOW - n * DAY, NOW - (n - 1) * DAY) for n in (3, 2, 1))


def done_by(state: DagRunState = DagRunState.SUCCESS, *, runs: int = 3, **more: Any) -> int | None:
    """Which backfill has done all of the dates, of which so many have runs in this state."""
    ti = TaskInstanceState.SUCCESS if state is DagRunState.SUCCESS else TaskInstanceState.FAILED
    existing = {
        date.start: RunSnapshot(
            number,
            f"run_{number}",
            date.start,
            date,
            state,
            1,
            run_type=RunType.BACKFILL,
            task_instances=(TaskInstanceSnapshot(number, "a", ti, try_number=1),),
        )
        for number, date in enumerate(DATES[:runs])
    }
    facts = {"done_with_fingerprint": 4, "existing": existing, "pools": {"default_pool": 128}}
    facts |= {name: more.pop(name) for name in ("done_with_fingerprint", "open_with_fingerprint") if name in more}
    request = BackfillRequest("dag", DATES[0].start, DATES[-1].start, **more)
    creation = plan_backfill(A, request, DATES, BackfillFacts(NOW, **facts))  # type: ignore[arg-type]
    said = [line for line in lines(creation.notices) if "has done all of this already" in line]
    assert len(said) == (creation.done_by is not None)
    return creation.done_by


@pytest.mark.parametrize("state", [DagRunState.SUCCESS, DagRunState.FAILED, DagRunState.DEADLOCKED])
def test_what_has_ended_is_done(state: DagRunState) -> None:
    assert done_by(state) == 4


def test_what_is_not_done() -> None:
    assert done_by(runs=2) is None, "a date has no run"
    assert done_by(DagRunState.CANCELLED) is None
    assert done_by(DagRunState.FAILED, reprocess=Reprocess.FAILED) is None
    assert done_by(reprocess=Reprocess.ALL) is None
    assert done_by(new=True) is None
    assert done_by(open_with_fingerprint=5) is None
    assert done_by(done_with_fingerprint=None) is None, "others have done it: this command has no backfill yet"
    assert done_by(pool="nosuch") is None, "it is refused"


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({}, BackfillState.SUCCESS),
        ({DagRunState.SUCCESS: 2}, BackfillState.SUCCESS),
        ({DagRunState.SUCCESS: 2, DagRunState.FAILED: 1}, BackfillState.FAILED),
        ({DagRunState.FAILED: 1, DagRunState.DEADLOCKED: 1}, BackfillState.DEADLOCKED),
        ({DagRunState.CANCELLED: 1}, BackfillState.FAILED),
    ],
)
def test_it_stands_as_its_runs_do(counts: dict[DagRunState, int], state: BackfillState) -> None:
    assert state_by_runs(counts) is state
