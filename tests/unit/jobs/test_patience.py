"""How long a job waits when nothing wakes it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tailrace.jobs.stepping import Pace, patience
from tailrace.planning.plan import Plan
from tailrace.planning.snapshot import Snapshot
from tests.unit.planning.builders import NOW, dag, run, snapshot

SPEC = dag("a b")
OWN = snapshot(SPEC, run(SPEC))
PACE = Pace(poll=1.0, contended=0.2)


def beside_another(own: Snapshot) -> Snapshot:
    assert own.backfill is not None
    return replace(own, backfill=replace(own.backfill, active_runs=len(own.runs) + 1))


@pytest.mark.parametrize(
    ("found", "seconds"), [(OWN, 1.0), (beside_another(OWN), 0.2), (replace(OWN, backfill=None), 1.0)]
)
def test_runs_that_others_drive_are_looked_at_often(found: Snapshot, seconds: float) -> None:
    """Their executors wake their own jobs only; whoever waits for their last run ended up to a second after it."""
    assert patience(found, Plan(SPEC, 1), PACE) == seconds


def test_what_is_known_to_come_sooner_is_not_slept_through() -> None:
    soon = Plan(SPEC, 1, wake_at=NOW + timedelta(seconds=0.05))
    assert patience(beside_another(OWN), soon, PACE) == pytest.approx(0.05)
