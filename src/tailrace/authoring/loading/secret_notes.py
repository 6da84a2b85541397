"""Notes about Variables and Connections that templates name, and that are not there, or cannot be read.

They are looked for where somebody checks DAG files, and no mistakes: they may be there by the time a task runs, or
where it does.
"""

import importlib
from collections.abc import Iterator

from tailrace.authoring.dags.dag import DAG, BaseOperator
from tailrace.authoring.loading.load import LoadedDags
from tailrace.authoring.mistakes.dag_errors import Note
from tailrace.authoring.templates.fields import is_template, names_file, setup_of, templated_texts
from tailrace.errors import SecretUnreadable
from tailrace.secrets import source
from tailrace.secrets.names import SecretKind, name_error
from tailrace.secrets.not_found import not_found_text


def notes_about_secrets(loaded: LoadedDags) -> tuple[Note, ...]:
    """A note for each that a task's template names without a default."""
    found: list[Note] = []
    looked: dict[tuple[SecretKind, str], str | None] = {}
    for dag in loaded.dags.values():
        before = len(dag.notes)
        for task in dag.task_dict.values():
            for field, kind, name in dict.fromkeys(_named(dag, task)):
                if (kind, name) not in looked:
                    looked[kind, name] = _wrong_with(kind, name)
                if (wrong := looked[kind, name]) is not None:
                    dag.note(f"task {task.task_id}: {field}: {wrong}", at=task.written_at)
        found += dag.notes[before:]
    return tuple(found)


def _named(dag: DAG, task: BaseOperator) -> Iterator[tuple[str, SecretKind, str]]:
    for field, text in templated_texts(task):
        is_file = names_file(task, field, text)
        if is_file or is_template(text):
            templates = importlib.import_module("tailrace.authoring.templates.environment")
            for kind, name in templates.secrets_in(setup_of(task), text, is_file=is_file):
                if name_error(kind, name) is None:
                    yield field, kind, name


def _wrong_with(kind: SecretKind, name: str) -> str | None:
    try:
        found = source.find(kind, name)
    except SecretUnreadable as wrong:
        return str(wrong)
    return None if found is not None else not_found_text(kind, name)
