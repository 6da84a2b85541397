"""Active runs whose previous run was opened again behind them give their place back, and only they."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.plan import RunRequeue
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import PreviousRun, RunOptions, Snapshot
from tests.unit.planning.builders import dag, run, snapshot, task_instances

PAST = dag("a>b", a={"depends_on_past": True}, _dag={"max_active_runs": 1})


def behind(state: str = "queued", spec: Any = PAST, states: Mapping[str, str] | None = None, **more: Any) -> Snapshot:
    """Run 2 is active, all of the window is taken, and run 1, which it looks at, is in this state."""
    previous = {1: PreviousRun(1, "run_1", DagRunState(state), {"a": (TaskInstanceState.NONE,)}, 4)}
    tis = task_instances(spec, 200, **(states or {}))
    return snapshot(spec, run(spec, 2, tis=tis, **more), previous=previous, after={2: 1})


def test_it_steps_back_when_the_window_is_full() -> None:
    assert plan(behind()).yields == (RunRequeue(2, "run_2", 1, 1, "its previous run run_1 is queued behind it"),)
    assert plan(replace(behind(), dag_active_runs=0)).yields == (), "there is room for both"


@pytest.mark.parametrize(
    "given",
    [
        behind("running"),
        behind("failed"),
        behind(options=RunOptions(ignore_depends_on_past=True)),
        behind(states={"a": "success", "b": "running"}),
        behind(states={"a": "success", "b": "stopping"}),
        behind(spec=dag("a", _dag={"max_active_runs": 1})),
        behind(spec=dag("a c", a={"depends_on_past": True}, _dag={"max_active_runs": 1})),
    ],
    ids=["active", "closed", "ignored", "running", "stopping", "no look back", "something to start"],
)
def test_it_stays_otherwise(given: Snapshot) -> None:
    assert plan(given).yields == ()


def test_a_backfills_own_limit_counts_too() -> None:
    wide = dag("a", a={"depends_on_past": True})
    given = behind(spec=wide)
    assert plan(given).yields == ()
    assert given.backfill is not None
    narrow = replace(given, backfill=replace(given.backfill, max_active_runs=1))
    assert len(plan(narrow).yields) == 1


def test_in_a_backfill_that_begins_nothing_more_nobody_will_run_the_one_behind() -> None:
    """The window has room, but after a failure nothing is begun: both would wait for ever (seed 405491)."""
    given = behind(spec=dag("a", a={"depends_on_past": True}))
    assert given.backfill is not None
    strict = replace(given, backfill=replace(given.backfill, stop_on_failure=True))
    assert plan(strict).yields == (), "nothing has failed"
    stopped = replace(strict, backfill=replace(given.backfill, stop_on_failure=True, failed_runs=1))
    assert plan(stopped).yields == (RunRequeue(2, "run_2", 1, 1, "its previous run run_1 is queued behind it"),)
    lenient = replace(stopped, backfill=replace(given.backfill, failed_runs=1))
    assert plan(lenient).yields == ()
