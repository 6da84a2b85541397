"""A grid as a terminal shows it: a column for each run, no line longer than the terminal, marks or letters."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.fitting import width_of
from tailrace.cli.grid_lines import _MARKS, GridDrawing
from tailrace.metastore.views.grid import LETTERS, NOTHING, RUN_LETTERS, Grid, GridRun
from tailrace.model.states import DagRunState, TaskInstanceState

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def grid(tasks: list[str], cells: list[str], states: list[str] | None = None, step: timedelta = DAY) -> Grid:
    runs = [
        GridRun(f"r{at}", FIRST + at * step, "backfill", (states or ["success"] * len(cells))[at], letters)
        for at, letters in enumerate(cells)
    ]
    return Grid("d", tuple(tasks), (), tuple(runs), {}, False)


def test_every_state_has_a_letter_and_each_letter_a_mark_of_its_own() -> None:
    assert LETTERS.keys() == set(TaskInstanceState)
    assert RUN_LETTERS.keys() == set(DagRunState)
    letters = {*LETTERS.values(), *RUN_LETTERS.values()}
    assert len(set(LETTERS.values())) == len(LETTERS)
    assert letters == _MARKS.keys()
    assert len(set(_MARKS.values())) == len(_MARKS)


def test_letters_where_no_terminal_is() -> None:
    found = grid(["load", "a_longer_name"], ["S ", "FU", "-."], ["success", "deadlocked", "running"])
    assert list(GridDrawing(found, io.StringIO()).lines(newest_only=True)) == [
        "               2024-01-01",
        "run            SDR",
        "load           SF-",
        "a_longer_name   U.",
        "",
        "F failed 1  D deadlocked 1  S success 1  U upstream_failed 1  . none 1  - skipped 1",
    ]


def test_dates_stand_above_their_columns() -> None:
    found = grid(["t"], ["S"] * 30)
    [dates, *_] = GridDrawing(found, io.StringIO()).lines(newest_only=True)
    assert dates == "     2024-01-01  2024-01-13  2024-01-25"
    assert dates.index("2024-01-13") - 5 == 12
    [hours, *_] = GridDrawing(grid(["t"], ["S"] * 30, step=timedelta(hours=6)), io.StringIO()).lines(newest_only=True)
    assert hours == "     2024-01-01T00:00Z  2024-01-05T18:00Z"


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True),
    st.integers(1, 200),
    st.integers(20, 120),
    st.booleans(),
)
def test_no_line_is_longer_than_the_terminal(tasks: list[str], runs: int, columns: int, newest_only: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")
        drawing = GridDrawing(grid(tasks, ["S" * len(tasks)] * runs), Terminal())
        lines = list(drawing.lines(newest_only=newest_only))
    assert max(map(width_of, lines)) <= columns
    shown = sum(line.count("S") for line in lines if line.startswith("run  "))
    assert shown == (min(runs, drawing.runs_in_line) if newest_only else runs)


def test_colours_and_marks_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    lines = list(GridDrawing(grid(["t"], ["S", "S", "F", NOTHING]), Terminal()).lines(newest_only=True))
    assert "■■" in lines[2] and "✗" in lines[2] and "S" not in lines[2]
