"""Which texts of a task are templates, and which of them name a file that is one."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tailrace.authoring.dags.dag import BaseOperator


class TemplateSetup(NamedTuple):
    """What a DAG's templates are rendered with, beside their variables."""

    folders: tuple[str, ...] = ()  # where files that they name are looked for
    filters: tuple[tuple[str, Callable[..., Any]], ...] = ()  # besides those there are for all
    native: bool = False  # whether a template gives a value of its own kind, and not its text


#: A path below a folder, and nothing that a shell would run from elsewhere or replace.
_FILE = re.compile(r"(?!\.{0,2}/)[\w.+@%/-]+")


def setup_of(task: BaseOperator) -> TemplateSetup:
    """How this task's templates are rendered."""
    dag, own = task.dag, task.render_template_as_native_obj
    native = dag.render_template_as_native_obj if own is None else own
    return TemplateSetup(dag.template_folders, tuple(dag.user_defined_filters.items()), native)


def templated_texts(task: BaseOperator) -> Iterator[tuple[str, str]]:
    """Every text in the task's templated fields, however deep, with the name of its field."""
    for field in task.template_fields:
        for text in _texts_in(getattr(task, field, None)):
            yield field, text


def is_template(text: str) -> bool:
    """Whether there is anything to render in the text."""
    return "{" in text  # every mark of the language begins with it


def may_name_file(task: BaseOperator, field: str, text: str) -> bool:
    """Whether the text is written as the name of a template file: one word with an ending that the operator takes.

    A text with a space in it, if only at its end, is what it says.
    """
    endings, fields = tuple(task.template_ext), task.file_fields
    if not endings or not text.endswith(endings) or (fields is not None and field not in fields):
        return False
    return not any(character.isspace() for character in text)


def names_file(task: BaseOperator, field: str, text: str) -> bool:
    """Whether the text names a template file that is there."""
    parts = text.split("/") if may_name_file(task, field, text) else [".."]
    return ".." not in parts and any(
        os.path.isfile(os.path.join(folder, *parts)) for folder in task.dag.template_folders
    )


def missing_file(task: BaseOperator, field: str, text: str) -> str | None:
    """What to say of a text that can only be the name of a file, and none is there; None for any other text."""
    if not may_name_file(task, field, text) or not _FILE.fullmatch(text) or names_file(task, field, text):
        return None
    folders = " or ".join(task.dag.template_folders)
    return f"no template file {text} in {folders}; if it is no file's name, write a space after it"


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts_in(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts_in(each)
