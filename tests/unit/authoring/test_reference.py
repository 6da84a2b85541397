"""The pages of the reference say what the code declares now."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tailrace.authoring.arguments.dag_arguments import DAG_ARGUMENTS, UNSUPPORTED_DAG_ARGUMENTS
from tailrace.authoring.arguments.task_arguments import DefaultArguments
from tailrace.authoring.context.variables import VARIABLES
from tailrace.authoring.dags.dag import UNSUPPORTED_TASK_ARGUMENTS
from tailrace.model.rules import TriggerRule
from tailrace.model.transitions import BACKFILL_TRANSITIONS, DAG_RUN_TRANSITIONS, TASK_INSTANCE_TRANSITIONS

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "write_reference.py"))


def test_the_pages_are_current(writer: dict[str, Any]) -> None:
    for file, text in writer["pages"]().items():
        assert file.read_text() == text, f"{file.name} is not what the code declares: make reference"


def test_nothing_that_is_declared_is_left_out() -> None:
    reference, rules = (DOCS / "reference.md").read_text(), (DOCS / "trigger-rules.md").read_text()
    declared = {
        *DefaultArguments.__annotations__,
        *DAG_ARGUMENTS,
        *UNSUPPORTED_TASK_ARGUMENTS,
        *UNSUPPORTED_DAG_ARGUMENTS,
        *VARIABLES,
    }
    assert {name for name in declared if f"| `{name}` |" not in reference} == set()
    assert {rule for rule in TriggerRule if rules.count(f"| `{rule}` |") != 2} == set()


def test_every_transition_is_in_the_table_of_its_machine() -> None:
    sections: list[str] = (DOCS / "states.md").read_text().split("\n## ")[1:]
    machines: list[Any] = [TASK_INSTANCE_TRANSITIONS, DAG_RUN_TRANSITIONS, BACKFILL_TRANSITIONS]
    for section, steps in zip(sections, machines, strict=True):
        rows = [line.split(" | ") for line in section.splitlines() if line.count(" | ") == 3]
        told = {
            (before, row[3].strip(" |"), row[1], row[0].strip("| ")) for row in rows for before in row[2].split(", ")
        }
        assert {(f"`{step.before}`", f"`{step.after}`", step.actor, f"`{step.cause}`") for step in steps} <= told


def test_every_type_has_a_name(writer: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        writer["type_of"](Path)
