"""What an instance of a mapped task is called beside its index: its ``map_index_template``, rendered at its end."""

import importlib
from collections.abc import Mapping
from typing import Any

from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.templates.fields import is_template, setup_of
from tailrace.errors import RenderingFailed
from tailrace.execution.logs.files import write_line
from tailrace.model.keys import UNMAPPED
from tailrace.model.names import LONGEST_NAME
from tailrace.model.plain_text import visible_line
from tailrace.secrets.known import masked

#: Under which the outcome of a try has it.
NAME = "rendered_map_index"


def named(outcome: dict[str, Any], task: BaseOperator, context: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome with the instance's name, whatever it is. What cannot be rendered is said in the log, and is no name.

    The context is as the task has left it: with what it has added for this, or another template under its name.
    """
    template = context.get("map_index_template", task.map_index_template)
    if template is None or context["ti"].map_index == UNMAPPED:
        return outcome
    try:
        name = _rendered(task, str(template), context)
    except Exception as wrong:  # its code runs in it
        write_line(str(wrong) if isinstance(wrong, RenderingFailed) else f"map_index_template: {wrong!r}")
        return outcome
    return {**outcome, NAME: visible_line(masked(name), LONGEST_NAME)}


def _rendered(task: BaseOperator, template: str, context: Mapping[str, Any]) -> str:
    if not is_template(template):
        return template
    templates = importlib.import_module("tailrace.authoring.templates.environment")
    what = f"map_index_template of {task.task_id}"
    return str(templates.render(setup_of(task), template, {**context}, is_file=False, what=what))
