"""What is reported of an exception that user code raised: its text, and its traceback from the author's first frame on.

User code may have broken whatever is read here, and even then the outcome must be reported.
"""

import itertools
import os
import traceback
from pathlib import Path

from tailrace.execution.logs.files import write_line

_OURS = str(Path(__file__).parents[2]) + os.sep
_EXAMPLES = _OURS + "examples" + os.sep
_PYTHON = os.path.dirname(os.__file__) + os.sep
_LIBRARIES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
_TEMPLATES = os.sep + "jinja2" + os.sep


def first_line_of(raised: BaseException) -> str:
    """The first line of an exception's text."""
    return first_line(full_text(raised))


def full_text(value: object) -> str:
    """All of its text."""
    try:
        return str.__str__(str(value))
    except BaseException as broken:
        return f"(its text cannot be read: {type(broken).__name__})"


def first_line(text: str) -> str:
    """The first line of a text that has anything in it."""
    return next(iter(text.strip().splitlines()), "")


def print_traceback(failed: BaseException) -> None:
    """From the author's first frame on; where no code of the author's took part, only what went wrong."""
    try:
        summary = traceback.TracebackException.from_exception(failed)
    except Exception as broken:  # its class may have broken what is read here
        write_line(f"{type(failed).__name__} (its traceback cannot be read: {type(broken).__name__})")
        return
    trace: traceback.TracebackException | None = summary
    while trace is not None:
        shown = list(itertools.dropwhile(lambda frame: not _is_authors(frame.filename), trace.stack))
        trace.stack = traceback.StackSummary.from_list([frame for frame in shown if not _is_ours(frame.filename)])
        trace = trace.__cause__ or trace.__context__
    write_line("".join(summary.format() if summary.stack else summary.format_exception_only()).rstrip("\n"))


def _is_ours(file: str) -> bool:
    return file.startswith(_OURS) and not file.startswith(_EXAMPLES)


def _is_authors(file: str) -> bool:
    of_python = file.startswith((_PYTHON, "<frozen ")) and not any(each in file for each in _LIBRARIES)
    return not (_is_ours(file) or of_python or _TEMPLATES in file)
