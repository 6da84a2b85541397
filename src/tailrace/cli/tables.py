"""Tables on stdout: drawn on a terminal, plain aligned columns (made for grep and awk) when piped.

No word is broken to make a table fit: the columns that find no room on a row's line stand below it, with their names.
"""

import sys
from collections.abc import Iterator, Sequence

from msgspec import Struct

from tailrace.cli.console import STYLES, current_console, styled, supports_unicode
from tailrace.cli.fitting import NO_TERMINAL, columns_of, cut, padded, width_of, wrapped
from tailrace.model.plain_text import printable

_BETWEEN = "  "


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
    elif sys.stdout.isatty():
        current_console().print("\n".join(_drawn(columns, rows, columns_of(sys.stdout))))
    else:
        current_console().print(plain_table(columns, rows))


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """The table as aligned text, one line per row, two spaces between columns, without trailing blanks.

    What a row has beyond the longest line shows as ``…``; JSON has all of it.
    """
    flat = [[_flat(cell) for cell in row] for row in rows]
    widths = _widths(columns, flat)
    lines = (_line(columns, row, widths) for row in ([each.heading for each in columns], *flat))
    return "\n".join(line if width_of(line) <= NO_TERMINAL else cut(line, NO_TERMINAL) for line in lines)


def _drawn(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> Iterator[str]:
    """The table with a line under its headings, states in their colours, no line longer than the terminal."""
    flat = [[_flat(cell) for cell in row] for row in rows]
    widths = _fitting(_widths(columns, flat), room)
    beside, below = columns[: len(widths)], columns[len(widths) :]
    yield styled(_line(beside, [each.heading for each in beside], widths), sys.stdout, bold=True)
    yield ("─" if supports_unicode(sys.stdout) else "-") * min(room, sum(widths) + len(_BETWEEN) * (len(widths) - 1))
    for row in flat:
        yield _line(beside, row, widths, coloured=True)
        yield from _below([(each.heading, cell) for each, cell in zip(below, row[len(widths) :], strict=True)], room)


def _below(cells: Sequence[tuple[str, str]], room: int) -> Iterator[str]:
    """What found no room on a row's line: as much of it as fits on each of the lines below, whole words."""
    line = ""
    for heading, cell in cells:
        if not cell:
            continue
        piece = f"{heading}: {cell}"
        if line and width_of(line) + len(_BETWEEN) + width_of(piece) <= room:
            line += _BETWEEN + piece
            continue
        yield from wrapped(line, room, "    ", whole=True) if line else ()
        line = f"  {piece}"
    yield from wrapped(line, room, "    ", whole=True) if line else ()


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(width_of(text) for text in (column.heading, *(row[at] for row in rows)))
        for at, column in enumerate(columns)
    ]


def _fitting(widths: Sequence[int], room: int) -> list[int]:
    """The widths of the first columns that fit beside one another: of one at least."""
    taken = widths[0]
    for at, width in enumerate(widths[1:], start=1):
        taken += len(_BETWEEN) + width
        if taken > room:
            return list(widths[:at])
    return list(widths)


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], *, coloured: bool = False) -> str:
    cells = []
    for column, cell, width in zip(columns, row, widths, strict=False):
        text = padded(cell, width, right=column.number)
        if coloured and column.state and cell in STYLES:
            text = text.replace(cell, styled(cell, sys.stdout, fg=STYLES[cell]), 1)
        cells.append(text)
    return _BETWEEN.join(cells).rstrip()


def _flat(cell: str) -> str:
    return printable(" ".join(cell.split()))
