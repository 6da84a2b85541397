"""The pages of the reference say what the code declares now."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tailrace.authoring.dag import TASKS_LACK
from tailrace.authoring.dag_arguments import DAG_ARGUMENTS, DAGS_LACK
from tailrace.authoring.task_arguments import DefaultArguments
from tailrace.authoring.variables import VARIABLES
from tailrace.model.rules import TriggerRule

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "write_reference.py"))


def test_the_pages_are_current(writer: dict[str, Any]) -> None:
    for file, text in writer["pages"]().items():
        assert file.read_text() == text, f"{file.name} is not what the code declares: make reference"


def test_nothing_that_is_declared_is_left_out() -> None:
    reference, rules = (DOCS / "reference.md").read_text(), (DOCS / "trigger-rules.md").read_text()
    declared = {*DefaultArguments.__annotations__, *DAG_ARGUMENTS, *TASKS_LACK, *DAGS_LACK, *VARIABLES}
    assert {name for name in declared if f"| `{name}` |" not in reference} == set()
    assert {rule for rule in TriggerRule if rules.count(f"| `{rule}` |") != 2} == set()


def test_no_type_is_without_a_word(writer: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        writer["type_of"](Path)
