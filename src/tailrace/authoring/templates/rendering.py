"""Which of a task's fields are templates, and replacing them by what they say for one run.

The template language itself is in ``authoring.templates``, loaded once something needs it: many a DAG has no template,
and each child of the zygote is the smaller for it.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tailrace.authoring.context.current import Context
from tailrace.authoring.context.variables import ON_DEMAND
from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.relations.xcom_args import PullFor, XComArg, resolve
from tailrace.authoring.templates.fields import is_template, missing_file, names_file, setup_of, templated_texts
from tailrace.errors import RenderingFailed

if TYPE_CHECKING:
    from types import ModuleType


def render_fields(task: BaseOperator, context: Mapping[str, Any]) -> None:
    """Replace every templated field of ``task`` by its rendering. Raises RenderingFailed."""
    for field in task.template_fields:
        value = getattr(task, field, None)
        if value:
            setattr(task, field, rendered(task, field, value, context))


def prepare(task: BaseOperator) -> None:
    """Compile the templates of a task's fields; what is wrong with one is reported when its task runs."""
    for field, text in templated_texts(task):
        is_file = names_file(task, field, text)
        if is_file or is_template(text):
            _templates().prepare(setup_of(task), text, is_file=is_file)


def rendered(task: BaseOperator, field: str, value: Any, context: Mapping[str, Any]) -> Any:
    """What a value of this field of the task says for one run. Raises RenderingFailed."""
    if isinstance(value, str):
        what = f"{field} of {task.task_id}"
        if lost := missing_file(task, field, value):
            raise RenderingFailed(f"{what}: {lost}")
        is_file = names_file(task, field, value)
        if not is_file and not is_template(value):
            return value
        if isinstance(context, Context) and (is_file or any(name in value for name in ON_DEMAND)):
            context.completed()
        return _templates().render(setup_of(task), value, context, is_file=is_file, what=what)
    if isinstance(value, XComArg):
        return resolve(value, PullFor(context["ti"]))
    if isinstance(value, (list, tuple)):
        found = [rendered(task, field, each, context) for each in value]
        if type(value) in (list, tuple):
            return type(value)(found)
        return type(value)(*found) if hasattr(value, "_fields") else value
    if isinstance(value, dict):
        return {name: rendered(task, field, each, context) for name, each in value.items()}
    return value


def _templates() -> "ModuleType":
    return importlib.import_module("tailrace.authoring.templates.environment")
