"""Whoever wants one open run must agree about its outcome; who does not is refused, and told with whom."""

from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import (
    BackfillFacts,
    BackfillRequest,
    Reprocess,
)
from tailrace.planning.creation import plan_backfill
from tailrace.planning.snapshot import RunOptions, RunSnapshot, TaskInstanceSnapshot
from tests.message_text import lines
from tests.unit.planning.builders import DAY, NOW, dag

A = dag("a>b")
DATES = tuple(DataInterval(NOW - n * DAY, NOW - (n - 1) * DAY) for n in (3, 2, 1))


def refused(*, wanted_by: tuple[int, ...] = (7,), mine: int | None = None, run: Any = None, **request: Any) -> Any:
    """The refusals of a backfill over three dates whose runs are queued and wanted by backfill 7."""
    fields = {"state": DagRunState.QUEUED, "conf": None, "options": RunOptions(), **(run or {})}
    kind = fields.pop("run_type", RunType.BACKFILL)
    existing = {
        date.start: RunSnapshot(
            number, f"run_{number}", date.start, date, version=1, run_type=kind, wanted_by=wanted_by, **fields
        )
        for number, date in enumerate(DATES)
    }
    facts = BackfillFacts(NOW, existing=existing, open_with_fingerprint=mine, pools={"default_pool": 128, "small": 2})
    asked = BackfillRequest("dag", DATES[0].start, DATES[-1].start, **request)
    return lines(plan_backfill(A, asked, DATES, facts).refusals)


def test_a_run_of_another_schedule_keeps_its_interval_and_it_is_reported() -> None:
    first, other = DATES[0], DataInterval(DATES[0].start, DATES[0].start + 7 * DAY)
    run = RunSnapshot(1, "run_1", first.start, first, DagRunState.FAILED, 1)
    request = BackfillRequest("dag", first.start, first.start, reprocess=Reprocess.ALL)
    for interval, said in ((other, 1), (first, 0)):
        existing = {first.start: replace(run, data_interval=interval)}
        facts = BackfillFacts(NOW, existing=existing, pools={"default_pool": 128})
        creation = plan_backfill(A, request, DATES[:1], facts)
        assert creation.dates[0].data_interval == interval
        assert sum("run_1 keeps the data interval of creation" in notice for notice in lines(creation.notices)) == said


@pytest.mark.parametrize(
    ("request_", "option"),
    [
        ({"conf": '{"k":1}'}, "--conf"),
        ({"disable_retry": True}, "--disable-retry"),
        ({"mark_success": True}, "--mark-success"),
        ({"pool": "small"}, "--pool"),
        ({"conf": "{}", "mark_success": True}, "--conf and --mark-success"),
        ({"conf": '{"k":1}', "disable_retry": True, "pool": "small"}, "--conf and --disable-retry and --pool"),
    ],
)
def test_other_options_are_refused_in_one_line_that_names_the_other(request_: dict[str, Any], option: str) -> None:
    run = {"conf": '{"k":2}', "conf_given_by": (7,)}
    [line] = refused(run=run, **request_)
    assert f"3 runs, first run_0, are wanted by backfill 7 with another {option};" in line
    assert refused(wanted_by=(), **request_) == (), "what nobody wants takes the new options"
    assert refused(run={**run, "state": DagRunState.SUCCESS}, **request_) == (), "what has ended is not in the way"
    [line] = refused(wanted_by=(), run={**run, "state": DagRunState.RUNNING}, **request_)
    assert f"3 runs, first run_0, are running already with another {option};" in line, "it cannot take them any more"


def test_the_same_options_are_not_refused() -> None:
    assert refused() == ()
    assert refused(run={"options": RunOptions(pool="small")}) == (), "who names no pool does not mind"
    assert refused(conf='{"k":1}', run={"conf": '{"k":1}', "conf_given_by": (7,)}) == ()
    assert refused(conf="{}", run={"conf_given_by": (7,)}) == ()
    running = {"state": DagRunState.RUNNING, "options": RunOptions(disable_retry=True, mark_success=True)}
    assert refused(wanted_by=(), run=running) == (), "who names no option does not mind how a run goes that is awaited"


@pytest.mark.parametrize(
    ("kind", "said"), [(RunType.SCHEDULED, "due by the schedule"), (RunType.MANUAL, "triggered by a person")]
)
def test_runs_that_schedulers_drive_keep_their_options(kind: RunType, said: str) -> None:
    [line] = refused(wanted_by=(), run={"run_type": kind}, mark_success=True)
    assert f"are {said} with another --mark-success;" in line
    assert refused(wanted_by=(), run={"run_type": kind}) == ()


def test_clearing_more_than_the_other_wanted_is_refused() -> None:
    done = TaskInstanceSnapshot(1, "a", TaskInstanceState.SUCCESS, cause=Cause.OUTCOME)
    failed = TaskInstanceSnapshot(2, "b", TaskInstanceState.FAILED, cause=Cause.OUTCOME)
    pending = {"task_instances": (done, failed), "to_clear": ("b",)}
    [line] = refused(run=pending, reprocess=Reprocess.ALL)
    assert "with another --reprocess;" in line
    assert refused(run=pending, reprocess=Reprocess.FAILED) == ()
    assert refused(run={**pending, "state": DagRunState.RUNNING}, reprocess=Reprocess.ALL) == (), "it is awaited"


def test_the_same_command_again_meets_no_conflict_with_itself() -> None:
    other = {"options": replace(RunOptions(), disable_retry=True)}
    assert refused(wanted_by=(7, 8), mine=8, run=other, disable_retry=True) == ()
    assert refused(wanted_by=(7,), mine=7, pool="small") == (), "changed limits apply"
    assert refused(wanted_by=(7,), mine=7, pool="small", new=True) != ()
