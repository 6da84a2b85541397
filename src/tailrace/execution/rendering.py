"""Which of a task's fields are templates, and replacing them by what they say for one run.

The template language itself is in ``templates``, loaded once something needs it: many a DAG has no template, and each
child of the zygote is the smaller for it.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.authoring.operator import BaseOperator
from tailrace.authoring.xcom_args import XComArg, resolve

if TYPE_CHECKING:
    from types import ModuleType


def render_fields(task: BaseOperator, context: Mapping[str, Any]) -> None:
    """Replace every templated field of ``task`` by its rendering. Raises RenderingFailed."""
    for field in task.template_fields:
        value = getattr(task, field, None)
        if value:
            setattr(task, field, _render(task, field, value, context))


def prepare(task: BaseOperator) -> None:
    """Compile the templates of a task's fields; what is wrong with one is told when its task runs."""
    for field in task.template_fields:
        for text in _texts_in(getattr(task, field, None)):
            if is_file(task, text) or is_template(text):
                _templates().prepare(Path(task.file).parent, text, is_file=is_file(task, text))


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _texts_in(each)]
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts_in(each)]
    return []


def is_template(text: str) -> bool:
    """Whether there is anything to render in the text."""
    return "{" in text  # every mark of the language begins with it


def is_file(task: BaseOperator, text: str) -> bool:
    """Whether the text names a template file beside the task's DAG file."""
    return bool(task.template_ext) and text.endswith(tuple(task.template_ext))


def _render(task: BaseOperator, field: str, value: Any, context: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if not is_template(value) and not is_file(task, value):
            return value
        what = f"{field} of {task.task_id}"
        folder = Path(task.file).parent
        return _templates().render(folder, value, context, is_file=is_file(task, value), what=what)
    if isinstance(value, XComArg):
        return resolve(value, lambda task_id, key: context["ti"].xcom_pull(task_ids=task_id, key=key))
    if isinstance(value, (list, tuple)):
        rendered = [_render(task, field, each, context) for each in value]
        if type(value) in (list, tuple):
            return type(value)(rendered)
        return type(value)(*rendered) if hasattr(value, "_fields") else value
    if isinstance(value, dict):
        return {name: _render(task, field, each, context) for name, each in value.items()}
    return value


def _templates() -> "ModuleType":
    return importlib.import_module("tailrace.execution.templates")
