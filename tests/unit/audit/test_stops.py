"""Audit of runs that are stopped before their tasks have ended: each kind of lie is found, and the truth is not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tailrace.audit.checks import audit
from tailrace.audit.records import Stop
from tailrace.model.spec import DagSpec, TaskSpec
from tests.unit.audit.chronicle import FIRST, Chronicle, dag_of

BEGAN = datetime(2024, 5, 1, 12, tzinfo=UTC)
LIMIT = timedelta(minutes=1)
TASKS = (TaskSpec("a"), TaskSpec("b"))
LIMITED, FAST = dag_of(*TASKS, dagrun_timeout=LIMIT), dag_of(*TASKS, fail_fast=True)
TIMED_OUT = Stop(limit=60.0, began=BEGAN, seen=BEGAN + LIMIT)


def stopped(
    dag: DagSpec, cause: str, stop: Stop | None, *, verdict: str = "failed", by: str | None = "same", fails: bool = True
) -> Chronicle:
    """A succeeds or fails, B runs, the run is stopped, B is ended, and it is judged."""
    told = Chronicle(dag)
    told.activate()
    ids = {"a": 1, "b": 2}
    for task_id in ids:
        told.queue(task_id, row_id=ids[task_id])
    told.claim("b")
    told.claim("a")
    told.end("a", "failed" if fails else "success", row_id=ids["a"])
    told.run("running", "running", cause, **({} if stop is None else {"stop": stop}))
    told.step("b", "running", "stopping", cause, token=1, stopping_to="failed")
    told.step("b", "stopping", "failed", "outcome", actor="worker", token=1, row_id=ids["b"])
    told.run("running", verdict, "judged", stopped_by=cause if by == "same" else by)
    return told


def checks(told: Chronicle) -> list[str]:
    return [violation.text for violation in audit(told.records()) if violation.check == "stopped run"]


@pytest.mark.parametrize(
    ("dag", "cause", "stop"), [(LIMITED, "dagrun_timeout", TIMED_OUT), (FAST, "fail_fast", Stop(failed=(1, 1)))]
)
def test_what_is_true_is_accepted(dag: DagSpec, cause: str, stop: Stop) -> None:
    assert audit(stopped(dag, cause, stop).records()) == ()


@pytest.mark.parametrize(
    ("dag", "cause", "stop", "more", "found"),
    [
        (FAST, "dagrun_timeout", TIMED_OUT, {}, "the DAG has the dagrun_timeout None"),
        (LIMITED, "dagrun_timeout", None, {}, "nothing says why"),
        (LIMITED, "dagrun_timeout", Stop(limit=59.0, began=BEGAN, seen=BEGAN + LIMIT), {}, "stopped after 59.0 s"),
        (LIMITED, "dagrun_timeout", Stop(limit=60.0, began=BEGAN, seen=BEGAN), {}, "before 0:01:00 had passed"),
        (LIMITED, "dagrun_timeout", Stop(limit=60.0), {}, "which is not told"),
        (LIMITED, "dagrun_timeout", TIMED_OUT, {"verdict": "success"}, "judged success, and it was stopped"),
        (LIMITED, "dagrun_timeout", TIMED_OUT, {"by": None}, "judged as one stopped for None"),
        (LIMITED, "fail_fast", Stop(failed=(1, 1)), {}, "its DAG does not fail fast"),
        (FAST, "fail_fast", Stop(failed=(1, 2)), {}, "had not failed since the run began"),
        (FAST, "fail_fast", Stop(failed=(2, 1)), {}, "had not failed since the run began"),
        (FAST, "fail_fast", Stop(failed=(9, 1)), {}, "what is not there"),
        (FAST, "fail_fast", Stop(failed=(1, 1)), {"fails": False}, "had not failed since the run began"),
    ],
)
def test_what_is_not_true_is_found(
    dag: DagSpec, cause: str, stop: Stop | None, more: dict[str, Any], found: str
) -> None:
    assert any(found in text for text in checks(stopped(dag, cause, stop, **more)))


def test_nothing_is_ended_in_a_run_that_is_not_stopped_and_nothing_begins_in_one_that_is() -> None:
    told = Chronicle(LIMITED)
    told.activate()
    told.step("b", "none", "skipped", "dagrun_timeout")
    assert checks(told) == ["none → skipped for dagrun_timeout, while its run was stopped for None"]
    told = Chronicle(LIMITED)
    told.activate()
    told.run("running", "running", "dagrun_timeout", stop=TIMED_OUT)
    told.queue("b")
    assert checks(told) == ["none → queued for dependencies_met in a run that was stopped for dagrun_timeout"]
    told.run("running", "running", "dagrun_timeout", stop=TIMED_OUT)
    assert "stopped for dagrun_timeout, and had been stopped for dagrun_timeout" in checks(told)


def test_a_run_that_fails_fast_is_not_judged_by_its_leaves() -> None:
    told = Chronicle(FAST)
    told.activate()
    told.play("a", "failed")
    told.play("b")
    told.run("running", "failed", "judged")
    assert checks(told) == ["judged failed although a failed and its DAG fails fast"]


def test_what_had_failed_before_the_run_began_again_is_no_reason() -> None:
    told = stopped(FAST, "fail_fast", Stop(failed=(1, 1)))
    told.run("failed", "queued", "cleared", FIRST, actor="person", live=True)
    told.step("b", "failed", "none", "cleared", actor="person")
    told.run("queued", "running", "activated")
    told.run("running", "running", "fail_fast", stop=Stop(failed=(1, 1)))
    assert any("had not failed since the run began" in text for text in checks(told))
