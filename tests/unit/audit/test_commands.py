"""Histories with a person in them: what clear, mark, cancel and pause may leave, and what they must not."""

from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.audit.checks import audit
from tailrace.model.spec import TaskSpec
from tests.unit.audit.chronicle import Chronicle, dag_of

A, B = TaskSpec("a"), TaskSpec("b", upstream=("a",))
CHAIN = dag_of(A, B)
RETRYING = dag_of(replace(A, retries=1))


def found(history: Chronicle) -> list[str]:
    return [violation.check for violation in audit(history.records())]


def begun(dag: Any = CHAIN) -> Chronicle:
    history = Chronicle(dag)
    history.activate()
    return history


def person(history: Chronicle, task_id: str, before: str, after: str, cause: str, ends: str | None = None) -> None:
    more = {} if ends is None else {"stopping_to": ends}
    history.step(task_id, before, after, cause, actor="person", **more)


def stopping(ends: str, cause: str = "cleared", dag: Any = CHAIN) -> Chronicle:
    """A runs and a person stops it."""
    history = begun(dag)
    history.queue("a")
    history.claim("a")
    person(history, "a", "running", "stopping", cause, ends)
    return history


def ends(history: Chronicle, after: str, **more: Any) -> None:
    values = {"actor": "worker", "token": history.tokens["r1", "a"], **more}
    history.step("a", "stopping", after, values.pop("cause", "outcome"), **values)


@pytest.mark.parametrize("after", ["none", "success", "failed", "skipped"])
def test_a_stopped_try_ends_where_the_person_wants_by_whoever_ends_it(after: str) -> None:
    for by in ({}, {"actor": "planner", "cause": "lost"}):
        history = stopping(after)
        ends(history, after, **by)
        assert found(history) == []


def test_a_stopped_try_that_ends_elsewhere_is_found() -> None:
    history = stopping("none")
    ends(history, "success")
    assert found(history) == ["stopping"]


def test_a_stop_that_leads_nowhere_is_found() -> None:
    assert found(stopping("upstream_failed")) == ["stopping"]


def test_the_last_command_counts() -> None:
    history = stopping("none")
    person(history, "a", "stopping", "stopping", "marked", "failed")
    ends(history, "failed")
    assert found(history) == []


def test_a_stopped_try_is_ended_by_its_holder_only() -> None:
    history = stopping("none")
    ends(history, "none", token=7)
    assert found(history) == ["outcome"]


def test_a_stopping_try_of_a_cancelled_run_may_be_settled() -> None:
    history = stopping("none", "cancelled")
    history.run("running", "cancelled", "cancelled", actor="person")
    ends(history, "none", actor="planner", cause="lost")
    assert found(history) == []


@pytest.mark.parametrize("left", ["queued", "running"])
def test_a_run_that_a_person_ends_leaves_nothing_under_way(left: str) -> None:
    history = begun()
    history.queue("a")
    if left == "running":
        history.claim("a")
    history.run("running", "cancelled", "cancelled", actor="person")
    assert "left behind" in found(history)


def test_a_clear_gives_new_retries_and_a_cancel_does_not() -> None:
    def twice(cause: str) -> list[str]:
        history = begun(RETRYING)
        history.play("a", "up_for_retry", cause="retry")
        history.queue("a", before="up_for_retry")
        person(history, "a", "queued", "none", cause)
        history.play("a", "up_for_retry", cause="retry")
        return found(history)

    assert twice("cleared") == []
    assert twice("cancelled") == twice("paused") == ["retries"]


def test_a_person_may_create_what_is_marked_and_a_worker_may_not() -> None:
    def created_by(actor: str) -> list[str]:
        history = Chronicle(CHAIN)
        history.run(None, "queued", "created")
        for task_id in ("a", "b"):
            history.step(task_id, None, "none", "created", actor=actor, try_number=0)
            person(history, task_id, "none", "success", "marked")
        history.run("queued", "success", "marked", actor="person")
        return found(history)

    assert created_by("person") == []
    assert "transition" in created_by("worker")


def test_only_a_deadlocked_run_is_opened_by_a_mark() -> None:
    history = begun()
    for task_id in ("a", "b"):
        history.play(task_id)
    history.run("running", "success", "judged")
    history.run("success", "queued", "marked", actor="person")
    assert "transition" in found(history)
