"""Mistakes in DAG files, and notes about them: collected while the file loads, each with the line where it was written.

Constructing a DAG or an operator never raises at the first mistake: an author wants to see them all.
"""

import functools
import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from msgspec import Struct

_PACKAGE = str(Path(__file__).parent.parent) + "/"
_EXAMPLES = _PACKAGE + "examples/"


class Mistake(Struct, frozen=True, order=True):
    """One mistake in a DAG file; ``line`` is 1-based, 0 where the file as a whole is meant. ``file`` is printable."""

    file: str
    line: int
    dag_id: str | None
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class Note(Mistake, frozen=True, order=True):
    """Something to know about a DAG that loads all the same: what it says and nothing comes of, or is taken to mean."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: note: {self.message}"


@functools.lru_cache(4096)
def printable(path: str | os.PathLike[str]) -> str:
    """A path as it can be stored and shown, whatever bytes are in its name: what is no printable text is escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(each: str) -> str:
    if 0xDC80 <= ord(each) <= 0xDCFF:  # how Python spells a byte that is no UTF-8
        return f"\\x{ord(each) - 0xDC00:02x}"
    return each if each.isprintable() else each.encode("unicode_escape").decode()


def storable(text: str) -> str:
    """A text that can be written as UTF-8: what is no text in it is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def where_written() -> tuple[str, int]:
    """File and line of the nearest caller that is not Tailrace's own code."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE) or file.startswith(_EXAMPLES):
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


class _LeftOut:
    """Stands for an argument that must be given and was not: a default, so that Python does not raise for it."""

    def __repr__(self) -> str:
        return "left out"


LEFT_OUT: Any = _LeftOut()


def nearest(name: object, known: Iterable[str], likeness: float = 0.6) -> str:
    """``"; did you mean a or b?"``, or nothing when nothing known is close."""
    close = get_close_matches(str(name), list(known), n=2, cutoff=likeness)
    return f"; did you mean {' or '.join(repr(each) for each in close)}?" if close else ""


def shown(value: object) -> str:
    """A value as Python writes it, in one line and short; its own way of being written may be broken."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."
