"""The DAG and task ids that DAG files seem to define, read from their text: no code of theirs is run."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

_DAG_NAMES = re.compile(
    rb"""DAG\(\s*(?:dag_id\s*=\s*)?["']([\w.-]+)["']"""
    rb"""|dag_id\s*=\s*["']([\w.-]+)["']"""
    rb"""|^@dag\b[^\n]*\n(?:async )?def (\w+)""",
    re.MULTILINE,
)
_TASK_NAMES = re.compile(
    rb"""task_id\s*=\s*["']([\w.-]+)["']|^[ \t]*@task\b[^\n]*\n[ \t]*(?:async )?def (\w+)""", re.MULTILINE
)
_MOST_FILES_TO_LOOK_AT = 500

#: Where there are groups, what stands in the text is no whole id.
_GROUPS = re.compile(rb"\bTaskGroup\(|@task_group\b|\btask_group\(")


def dag_names_in(path: Path) -> set[str]:
    """The DAG ids that a file or folder seems to define, read from the text alone."""
    return {name for text in _texts(path) for name in _found(_DAG_NAMES, text)}


def task_names_in(path: Path, dag_id: str) -> set[str]:
    """The task ids in the files that seem to define this DAG; none of one whose tasks may be in groups."""
    texts = [text for text in _texts(path) if dag_id in _found(_DAG_NAMES, text) and not _GROUPS.search(text)]
    return {name for text in texts for name in _found(_TASK_NAMES, text)}


def _texts(path: Path) -> Iterator[bytes]:
    dag_files = importlib.import_module("tailrace.authoring.loading.dag_files")  # what most commands need not load
    for file in dag_files.find_dag_files(path)[0][:_MOST_FILES_TO_LOOK_AT]:
        try:
            yield dag_files.read_source(file)
        except dag_files.Unreadable:
            continue


def _found(names: re.Pattern[bytes], text: bytes) -> set[str]:
    return {part.decode() for found in names.findall(text) for part in found if part}
