"""Loads a DAG file written in a test."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.authoring.loading.load import LoadedDags, load_dags

HEAD = """
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo
from tailrace import *
from tailrace import chain, cross_downstream, dag, task
"""

#: The line on which a body begins.
FIRST_LINE = HEAD.count("\n") + 1

Load = Callable[..., LoadedDags]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """``load(body)`` with everything that DAG files usually import."""

    def load(body: str, name: str = "dag.py") -> LoadedDags:
        (tmp_path / name).write_text(HEAD + textwrap.dedent(body).lstrip("\n"))
        return load_dags(tmp_path)

    return load


def said(loaded: LoadedDags) -> list[str]:
    """The mistakes' messages."""
    return [mistake.message for mistake in loaded.mistakes]


def noted(loaded: LoadedDags) -> list[str]:
    """The notes' messages."""
    return [note.message for note in loaded.notes]
