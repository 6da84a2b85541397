"""Every bundled example, backfilled by the real command; its outcome is what its docstring says."""

from collections.abc import Callable
from typing import Any

import pytest

Backfill = Callable[..., dict[str, Any]]


def test_example_bash_operator_over_several_dates(backfill: Backfill) -> None:
    """The flaky test of 2016: several dates of example_bash_operator, A → B with workers finishing in between."""
    answer = backfill("example_bash_operator", "2016-01-01", "2016-01-03")
    assert answer["state"] == "success"
    assert answer["runs"] == {"success": 3}
    assert answer["task_instances"] == {"success": 18}
    assert answer["blocked"] == []


@pytest.mark.parametrize(
    "dag_id", ["example_branch", "example_skip", "example_xcom", "example_trigger_rules", "example_weather"]
)
def test_example(dag_id: str, backfill: Backfill) -> None:
    start, end = ("2012-01-30", "2012-02-01") if dag_id == "example_weather" else ("2024-01-01", "2024-01-03")
    answer = backfill(dag_id, start, end)
    assert answer["state"] == "success"
    assert answer["runs"] == {"success": 3}
    assert answer["blocked"] == []
