"""The audit works out which previous run a task looked at, and what that let it do."""

from msgspec.structs import replace

from tailrace.audit.checks import audit, examine
from tailrace.model.spec import Schedule, ScheduleKind, TaskSpec
from tests.unit.audit.chronicle import SECOND, Chronicle, dag_of

PAST = dag_of(TaskSpec("a", depends_on_past=True))
THIRD = "r3"


def found(history: Chronicle) -> list[str]:
    return [violation.check for violation in audit(history.records())]


def ended(history: Chronicle, run_id: str, looked_at: str, after: str = "success") -> None:
    """A run of the one task, from its beginning to its verdict."""
    history.activate(run_id)
    history.play("a", after, run_id, looked_at=looked_at)
    history.run("running", after, "judged", run_id)


def test_a_hole_that_was_filled_is_to_be_looked_at() -> None:
    history = Chronicle(PAST)
    ended(history, "r1", "")
    ended(history, SECOND, "r1")
    ended(history, THIRD, "r1")
    assert found(history) == ["previous run"]


def test_a_hole_that_is_filled_later_changes_nothing() -> None:
    history = Chronicle(PAST)
    ended(history, THIRD, "")
    ended(history, "r1", "")
    ended(history, SECOND, "r1")
    assert found(history) == []


def test_a_start_that_names_no_previous_run_where_one_stands_is_found() -> None:
    history = Chronicle(PAST)
    ended(history, "r1", "")
    ended(history, SECOND, "")
    assert found(history) == ["previous run"]


def test_a_start_that_names_a_run_that_does_not_count_is_found() -> None:
    history = Chronicle(PAST, run_types={"r1": "manual"})
    ended(history, "r1", "")
    ended(history, SECOND, "r1")
    assert found(history) == ["previous run"]
    unscheduled = replace(PAST, schedule=Schedule(ScheduleKind.NONE))
    history = Chronicle(unscheduled, run_types={"r1": "manual", SECOND: "manual"})
    ended(history, "r1", "")
    ended(history, SECOND, "r1")
    assert found(history) == []


def test_a_start_that_does_not_say_what_it_looked_at_is_found() -> None:
    history = Chronicle(PAST)
    history.activate()
    history.play("a")
    assert found(history) == ["evidence"]


def test_a_skip_that_overtakes_the_date_before_is_found() -> None:
    spec = dag_of(TaskSpec("up"), TaskSpec("a", upstream=("up",), depends_on_past=True))
    history = Chronicle(spec, run_types=dict.fromkeys(("r1", SECOND), "scheduled"))
    history.activate()
    history.activate(SECOND)
    history.play("up", "skipped", SECOND)
    history.step("a", "none", "skipped", "trigger_rule", SECOND, looked_at="r1")
    assert found(history) == ["previous run"]


def test_what_was_written_before_history_recorded_it_is_judged_leniently() -> None:
    history = Chronicle(PAST)
    history.activate()
    history.play("a")
    records = history.records()
    untold = tuple(row for row in records.history if row.kind != "schema")
    migrated = replace(records.history[0], before="0002", cause="recorded")
    report = examine(replace(records, history=(*untold, migrated)))
    assert report.violations == ()
    assert "steps from before history told of previous runs" in " ".join(report.notes)


def test_a_run_that_steps_back_for_one_that_is_not_queued_is_found() -> None:
    """But not where what it waited for has been cleaned away since."""
    history = Chronicle(PAST)
    ended(history, "r1", "")
    history.activate(SECOND)
    history.run("running", "queued", "yielded", SECOND, looked_at="r1")
    assert found(history) == ["yield"]
    history = Chronicle(PAST)
    ended(history, "r1", "")
    history.activate(SECOND)
    history.run("running", "queued", "yielded", SECOND, looked_at="cleaned")
    assert found(history) == ["yield"], "nothing was cleaned"
    history.row("cleaned", after="cleaned", cause="cleaned", clear=())
    assert found(history) == []
