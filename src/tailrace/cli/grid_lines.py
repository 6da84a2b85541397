"""A DAG's tasks over its runs as lines: a column for each run, a mark for each task of it, a colour beside the mark."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import TextIO

from tailrace.cli.console import STYLES, has_colour, styled, supports_unicode
from tailrace.cli.fitting import columns_of, cut, padded, width_of
from tailrace.metastore.views.grid import LETTERS, NOTHING, RUN_LETTERS, Grid, GridRun

#: Instead of letters where there are colours: each has a form of its own, for those who see no colours.
_MARKS: Mapping[str, str] = MappingProxyType(
    {
        "S": "■",
        "F": "✗",
        "U": "△",
        "X": "◧",
        "R": "►",
        "Y": "↻",
        "W": "◷",
        "E": "◴",
        "Q": "□",
        ".": "·",
        "-": "╌",
        "x": "×",
        "D": "⊘",
        "C": "⊗",
    }
)
_STATES = {letter: str(state) for state, letter in (*RUN_LETTERS.items(), *LETTERS.items())}
_OF_RUNS_ALONE = set(RUN_LETTERS.values()).difference(LETTERS.values())
_OF_RUNS = "run"
_LONGEST_NAME = 36
_BETWEEN = "  "


class GridDrawing:
    """How a grid is drawn on a stream: with coloured marks on a terminal that shows them, else as letters."""

    def __init__(self, found: Grid, stream: TextIO) -> None:
        self.grid, self._stream = found, stream
        self._has_marks = has_colour(stream) and supports_unicode(stream)
        self._room = columns_of(stream)
        self._names = [f"{task}[]" if task in found.mapped else task for task in found.tasks]
        self._width = min(max(width_of(name) for name in (_OF_RUNS, *self._names)), _LONGEST_NAME, self._room // 2)
        #: So many runs stand beside one another.
        self.runs_in_line = self._room - self._width - len(_BETWEEN)

    def lines(self, *, newest_only: bool) -> Iterator[str]:
        """All of it: what has more runs than a line goes on below; ``newest_only``: but the newest that a line has."""
        runs = self.grid.runs[-self.runs_in_line :] if newest_only else self.grid.runs
        for at in range(0, len(runs), self.runs_in_line):
            yield from self._panel(runs[at : at + self.runs_in_line])
            yield ""
        counts = Counter("".join(run.cells for run in runs))
        counts.update(letter for run in runs if (letter := RUN_LETTERS[run.state]) in _OF_RUNS_ALONE)
        yield from self._legend(counts)

    def _panel(self, runs: Sequence[GridRun]) -> Iterator[str]:
        yield self._line("", _dates([run.logical_date for run in runs], self.runs_in_line))
        yield self._line(_OF_RUNS, self._cells("".join(RUN_LETTERS[run.state] for run in runs)))
        for row, name in enumerate(self._names):
            yield self._line(name, self._cells("".join(run.cells[row] for run in runs)))

    def _line(self, name: str, beside: str) -> str:
        return padded(cut(name, self._width), self._width) + _BETWEEN + beside

    def _cells(self, letters: str) -> str:
        """Neighbours of one state are painted together: a colour takes ten characters."""
        return "".join(self._painted(letter, len(list(alike))) for letter, alike in groupby(letters.rstrip()))

    def _painted(self, letter: str, times: int = 1) -> str:
        if not self._has_marks or letter == NOTHING:
            return letter * times
        colour = STYLES.get(_STATES[letter])
        return styled(_MARKS[letter] * times, self._stream, fg=colour, dim=colour is None)

    def _legend(self, counts: Mapping[str, int]) -> Iterator[str]:
        line, taken = "", 0
        for letter in _STATES:
            if not counts.get(letter):
                continue
            piece = f"{self._painted(letter)} {_STATES[letter]} {counts[letter]:,}"
            wide = len(f"{letter} {_STATES[letter]} {counts[letter]:,}")
            if taken and taken + len(_BETWEEN) + wide > self._room:
                yield line
                line, taken = "", 0
            line, taken = line + (_BETWEEN if taken else "") + piece, taken + wide + (len(_BETWEEN) if taken else 0)
        if line:
            yield line


def _dates(moments: Sequence[datetime], room: int) -> str:
    """The logical dates of some columns, each above its own, as close together as they can be read."""
    are_days = all(each.hour == each.minute == each.second == 0 for each in moments)
    line = ""
    for at, moment in enumerate(moments):
        label = f"{moment:%Y-%m-%d}" if are_days else f"{moment:%Y-%m-%dT%H:%MZ}"
        if at == 0 or len(line) + len(_BETWEEN) <= at <= room - len(label):
            line = line.ljust(at) + label
    return cut(line, room)
