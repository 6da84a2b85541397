"""Tables on stdout: drawn by rich on a terminal, plain aligned columns (made for grep and awk) when piped.

rich is imported only when a table is really drawn on a terminal.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from tailrace.cli.console import STYLES, current_console
from tailrace.model.plain_text import printable

if TYPE_CHECKING:
    from types import ModuleType


class Column(Struct, frozen=True):
    """A column: its heading, whether it holds numbers, whether its values are states (and shown in their
    colours).
    """

    heading: str
    number: bool = False
    state: bool = False


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Show rows on stdout; with no rows, ``empty`` is printed on stderr instead."""
    if not rows:
        current_console().note(empty)
        return
    if sys.stdout.isatty():
        _rendered(columns, rows)
    else:
        current_console().print(plain_table(columns, rows))


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """The table as aligned text, one line per row, two spaces between columns, without trailing blanks."""
    lines = [[column.heading for column in columns], *([_flat(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if column.number else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def _flat(cell: str) -> str:
    return printable(" ".join(cell.split()))


def _rendered(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    table = _rich("table").Table(box=_rich("box").SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.number else "left", overflow="fold")
    text = _rich("text").Text
    for row in rows:
        table.add_row(
            *(
                text(_flat(cell), style=STYLES.get(cell, "") if column.state else "")
                for cell, column in zip(row, columns, strict=True)
            )
        )
    _rich("console").Console(file=sys.stdout).print(table)


def _rich(name: str) -> "ModuleType":
    return importlib.import_module(f"rich.{name}")
