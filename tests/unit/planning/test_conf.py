"""The conf of runs that exist: it stays unless another is given, and only what was given can be in somebody's way."""

from itertools import product

import pytest

from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType
from tailrace.model.states import CLOSED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import (
    BackfillCreation,
    BackfillFacts,
    BackfillRequest,
    DateAction,
    Reprocess,
)
from tailrace.planning.creation import plan_backfill
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot
from tests.message_text import lines
from tests.unit.planning.builders import DAY, NOW, dag

A = dag("a")
DATE = DataInterval(NOW - DAY, NOW)
K1, K2 = '{"k":1}', '{"k":2}'
SUCCESS, FAILED = TaskInstanceState.SUCCESS, TaskInstanceState.FAILED


def existing(
    state: DagRunState,
    conf: str | None,
    kind: RunType = RunType.BACKFILL,
    wanted_by: tuple[int, ...] = (),
    given_by: tuple[int, ...] = (),
    a: TaskInstanceState = SUCCESS,
    interval: DataInterval = DATE,
) -> RunSnapshot:
    known = (TaskInstanceSnapshot(1, "a", a, cause=Cause.OUTCOME),) if state in CLOSED else ()
    return RunSnapshot(
        1,
        f"run_{interval.start:%d}",
        interval.start,
        interval,
        state,
        1,
        kind,
        conf=conf,
        wanted_by=wanted_by,
        conf_given_by=given_by,
        task_instances=known,
    )


def planned(*runs: RunSnapshot, **request: object) -> BackfillCreation:
    dates = [DataInterval(run.logical_date, run.logical_date + DAY) for run in runs] or [DATE]
    facts = BackfillFacts(NOW, existing={run.logical_date: run for run in runs}, pools={"default_pool": 128})
    asked = BackfillRequest("dag", dates[0].start, dates[-1].start, **request)  # type: ignore[arg-type]
    return plan_backfill(A, asked, dates, facts)


EXISTING = [
    existing(state, conf, kind, wanted_by, given_by)
    for state, conf, kind in product(DagRunState, (None, K1, K2), RunType)
    for wanted_by, given_by in (((), ()), ((7,), ()), ((7,), (7,)), ((7, 8), (8,)))
]


@pytest.mark.parametrize("reprocess", Reprocess)
@pytest.mark.parametrize("run", EXISTING, ids=lambda run: f"{run.state}-{run.conf}-{run.run_type}-{run.conf_given_by}")
def test_a_conf_that_is_not_given_stays_and_is_in_nobodys_way(run: RunSnapshot, reprocess: Reprocess) -> None:
    creation = planned(run, reprocess=reprocess)
    assert not [line for line in lines(creation.refusals) if "--conf" in line]
    assert [date.conf for date in creation.dates] == [run.conf]


@pytest.mark.parametrize("given", ["{}", K1, K2])
@pytest.mark.parametrize("run", EXISTING, ids=lambda run: f"{run.state}-{run.conf}-{run.run_type}-{run.conf_given_by}")
def test_a_conf_that_is_given_reaches_the_run_or_is_refused(run: RunSnapshot, given: str) -> None:
    """Never a third: a run that is awaited, or goes again, with another conf than the one given, unsaid."""
    creation = planned(run, conf=given, reprocess=Reprocess.ALL)
    [date] = creation.dates
    stored = None if given == "{}" else given
    refused = any("another --conf" in line for line in lines(creation.refusals))
    assert refused or date.action is DateAction.LEAVE or date.conf == stored
    fixed = run.state is DagRunState.RUNNING or run.conf_given_by or (run.run_type is RunType.MANUAL and run.conf)
    assert refused == bool(run.state not in CLOSED and fixed and run.conf != stored)


def test_a_new_run_has_what_is_given() -> None:
    assert [date.conf for given in (None, "{}", K1) for date in planned(conf=given).dates] == [None, None, K1]


def test_no_conf_and_an_empty_one_are_two_commands() -> None:
    asked = {given: BackfillRequest("dag", NOW, NOW, conf=given).fingerprint for given in (None, "{}", K1)}
    assert len(set(asked.values())) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "keeps the conf of 2 runs; --conf gives another, --conf '{}' none"),
        ("{}", "takes away the conf of 2 runs"),
        (K1, "replaces the conf of 1 run"),
        ('{"k":3}', "replaces the conf of 2 runs"),
    ],
)
def test_what_becomes_of_their_conf_is_reported(given: str | None, said: str) -> None:
    """Of runs that go again, not of those that are left alone."""
    days = [DataInterval(NOW - n * DAY, NOW - (n - 1) * DAY) for n in (5, 4, 3, 2)]
    confs = (K1, None, K2, K1)
    runs = [
        existing(DagRunState.FAILED, conf, a=FAILED if day is not days[3] else SUCCESS, interval=day)
        for day, conf in zip(days, confs, strict=True)
    ]
    creation = planned(*runs, conf=given, reprocess=Reprocess.FAILED)
    assert [date.action for date in creation.dates] == [DateAction.REPROCESS] * 3 + [DateAction.LEAVE]
    assert [line for line in lines(creation.notices) if "the conf of" in line] == [said]


@pytest.mark.parametrize("given", [None, K1])
def test_a_queued_run_that_takes_something_must_not_have_begun_meanwhile(given: str | None) -> None:
    [date] = planned(existing(DagRunState.QUEUED, None, wanted_by=(7,)), conf=given).dates
    assert date.must_be_queued == (given is not None)
    [date] = planned(existing(DagRunState.QUEUED, K1, wanted_by=(7,)), conf=given).dates
    assert not date.must_be_queued, "it has what is given"
