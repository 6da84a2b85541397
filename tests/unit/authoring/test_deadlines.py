"""What an author may write as a deadline, and what is stored of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import DAG, DeadlineAlert, DeadlineReference, EmptyOperator
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.spec import DagSpec, DeadlineSpec
from tailrace.model.spec import DeadlineReference as Reference

HOUR = timedelta(hours=1)
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def compiled(deadline: Any) -> DagSpec | list[str]:
    with DAG("d", deadline=deadline) as dag:
        EmptyOperator(task_id="t")
    return compile_dag(dag, "d.py", "") or [mistake.message for mistake in dag.mistakes]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (HOUR, DeadlineSpec(Reference.QUEUED_AT, HOUR)),
        (60, DeadlineSpec(Reference.QUEUED_AT, timedelta(minutes=1))),
        (DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, HOUR), DeadlineSpec(Reference.QUEUED_AT, HOUR)),
        ([DeadlineAlert(DeadlineReference.DAGRUN_LOGICAL_DATE, 60.0)], DeadlineSpec(Reference.LOGICAL_DATE, HOUR / 60)),
        (DeadlineAlert(DeadlineReference.FIXED_DATETIME(NOON), HOUR), DeadlineSpec(Reference.FIXED, HOUR, NOON)),
        (None, None),
        ([], None),
    ],
)
def test_what_is_stored_of_it(written: Any, stored: DeadlineSpec | None) -> None:
    spec = compiled(written)
    assert isinstance(spec, DagSpec), spec
    assert spec.deadline == stored
    assert spec_from(spec_text(spec)) == spec
    assert ("deadline" in spec_text(spec)) is (stored is not None), "nobody's version changes for it"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("1h", "deadline must be a timedelta or a DeadlineAlert, not '1h'"),
        (-1, "deadline must be a timedelta or a DeadlineAlert, not -1"),
        ([HOUR, HOUR], "deadline must be one, not 2"),
        (DeadlineAlert("queued", HOUR), "must have a DeadlineReference as reference"),  # type: ignore[arg-type]
        (DeadlineAlert(DeadlineReference.FIXED_DATETIME(datetime(2024, 1, 1)), HOUR), "a datetime with its zone"),
        (DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, "1h"), "interval must be a timedelta"),  # type: ignore[arg-type]
        (DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, HOUR, "page"), "deadline callback must be a function"),  # type: ignore[arg-type]
        (DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, HOUR, lambda: None), "must take one argument, the context"),
    ],
)
def test_what_is_wrong_with_one_is_a_mistake(written: Any, words: str) -> None:
    [mistake] = compiled(written)
    assert words in mistake


SPANS = st.timedeltas(timedelta(-1), timedelta(3650)) | st.floats(max_value=1e6)


@given(st.integers() | SPANS | st.text(max_size=5) | st.lists(st.integers(), max_size=2))
def test_anything_is_taken_or_reported(written: Any) -> None:
    found = compiled(written)
    if isinstance(found, DagSpec):
        assert spec_from(spec_text(found)) == found
    else:
        assert len(found) == 1


def test_its_callbacks_are_the_dags_and_in_its_structure() -> None:
    def told(context: Any) -> None:
        """Called."""

    for callback, called in ((told, (told,)), ([told, print], (told, print)), (None, ())):
        alert = DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, HOUR, callback)
        with DAG("d", deadline=[alert]) as dag:
            EmptyOperator(task_id="t")
        spec = compile_dag(dag, "d.py", "")
        assert isinstance(spec, DagSpec)
        assert dag.on_late_callback == called
        assert spec.calls == (("on_late_callback",) if called else ())
