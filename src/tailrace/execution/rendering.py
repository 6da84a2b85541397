"""Jinja templates in a task's fields. An undefined variable fails the try in one line that names field and variable."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from tailrace.authoring.operator import BaseOperator
from tailrace.authoring.xcom_args import XComArg, resolve


class RenderingFailed(Exception):
    """A template could not be rendered."""


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined, cache_size=100
    )
    environment.filters["ds"] = lambda moment: moment.strftime("%Y-%m-%d")
    environment.filters["ds_nodash"] = lambda moment: moment.strftime("%Y%m%d")
    environment.filters["ts"] = lambda moment: moment.isoformat()
    environment.filters["ts_nodash"] = lambda moment: moment.strftime("%Y%m%dT%H%M%S")
    return environment


def render_fields(task: BaseOperator, context: Mapping[str, Any]) -> None:
    """Replace every templated field of ``task`` by its rendering. Raises RenderingFailed."""
    for field in task.template_fields:
        value = getattr(task, field, None)
        if value is not None:
            setattr(task, field, _render(task, field, value, context))


def _render(task: BaseOperator, field: str, value: Any, context: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return _render_text(task, field, value, context)
    if isinstance(value, XComArg):
        return resolve(value, lambda task_id, key: context["ti"].xcom_pull(task_ids=task_id, key=key))
    if isinstance(value, (list, tuple)):
        return type(value)(_render(task, field, each, context) for each in value)
    if isinstance(value, dict):
        return {name: _render(task, field, each, context) for name, each in value.items()}
    return value


def _render_text(task: BaseOperator, field: str, text: str, context: Mapping[str, Any]) -> str:
    is_file = text.endswith(tuple(task.template_ext)) if task.template_ext else False
    if not is_file and "{" not in text:
        return text  # most fields hold no template: nothing to compile
    environment = _environment(Path(task.file).parent)
    try:
        template = environment.get_template(text) if is_file else environment.from_string(text)
        return template.render(context)
    except jinja2.TemplateNotFound as missing:
        raise RenderingFailed(f"{field} of {task.task_id}: no template file {missing} beside the DAG file") from None
    except (jinja2.TemplateError, LookupError) as wrong:
        raise RenderingFailed(f"{field} of {task.task_id}: {wrong}") from None
