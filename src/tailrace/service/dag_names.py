"""The DAG ids that DAG files seem to define, read from their text: no code of theirs is run."""

import importlib
import re
from pathlib import Path

_DAG_NAMES = re.compile(
    rb"""DAG\(\s*(?:dag_id\s*=\s*)?["']([\w.-]+)["']"""
    rb"""|dag_id\s*=\s*["']([\w.-]+)["']"""
    rb"""|^@dag\b[^\n]*\n(?:async )?def (\w+)""",
    re.MULTILINE,
)
_MOST_FILES_TO_LOOK_AT = 500


def dag_names_in(path: Path) -> set[str]:
    """The DAG ids that a file or folder seems to define, read from the text alone."""
    dag_files = importlib.import_module("tailrace.authoring.dag_files")  # what most commands need not load
    names: set[str] = set()
    for file in dag_files.find_dag_files(path)[0][:_MOST_FILES_TO_LOOK_AT]:
        try:
            text = dag_files.read_source(file)
        except dag_files.Unreadable:
            continue
        for found in _DAG_NAMES.findall(text):
            names.update(part.decode() for part in found if part)
    return names
