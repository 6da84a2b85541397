"""Mistakes in DAG files, and notes about them: collected while the file loads, each with the line where it was written.

Constructing a DAG or an operator never raises at the first mistake: an author wants to see them all.
"""

import sys
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import force_setattr

from tailrace.model.plain_text import visible_line
from tailrace.secrets.known import masked

_PACKAGE = str(Path(__file__).parents[2]) + "/"
_EXAMPLES = _PACKAGE + "examples/"


class DagError(Struct, frozen=True, order=True):
    """One mistake in a DAG file; ``line`` is 1-based, 0 where the file as a whole is meant. ``file`` is printable."""

    file: str
    line: int
    dag_id: str | None
    message: str

    def __post_init__(self) -> None:
        """What is wrong may be anything: an id of a megabyte, an exception's text."""
        force_setattr(self, "message", visible_line(masked(self.message)))

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class Note(DagError, frozen=True, order=True):
    """Something to know about a DAG that loads all the same: what it says and nothing comes of, or is taken to mean."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: note: {self.message}"


def where_written() -> tuple[str, int]:
    """File and line of the nearest caller that is not Tailrace's own code."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE) or file.startswith(_EXAMPLES):
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


class _Missing:
    """Stands for an argument that must be given and was not: a default, so that Python does not raise for it."""

    def __repr__(self) -> str:
        return "left out"


MISSING: Any = _Missing()
