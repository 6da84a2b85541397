"""Tables are plain aligned columns when piped, trees are text, and states have their colours only on a terminal."""

import io
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.console import STYLES, counted, has_colour, plural
from tailrace.cli.fitting import width_of
from tailrace.cli.tables import Column, plain_table, show_table
from tailrace.cli.tree import task_tree
from tailrace.graphs.nesting import describe_task
from tailrace.model.durations import duration, rough_duration
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DagSpec, TaskSpec

COLUMNS = (Column("name"), Column("runs", number=True), Column("why"))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def test_plain_table_is_aligned_with_one_line_per_row() -> None:
    assert plain_table(COLUMNS, [("a", "1", ""), ("longer", "1,234", "two\nlines")]) == (
        "name     runs  why\na           1\nlonger  1,234  two lines"
    )


def test_no_piped_line_is_longer_than_300_columns() -> None:
    shown = plain_table(
        (Column("task_id"), Column("reason")), [("a", "x" * 400), ("b" * 290, "short"), ("c", "日" * 200)]
    )
    assert [width_of(line) <= 300 for line in shown.splitlines()] == [True] * 4
    assert [line.endswith("…") for line in shown.splitlines()[1:]] == [True, False, True]


def test_drawn_table_keeps_text_that_looks_like_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    show_table(COLUMNS, [("[red]a[/red]", "1", "")], empty="nothing")
    assert "[red]a[/red]" in terminal.getvalue()


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, categories=("L", "N")), min_size=1, max_size=20)
CELLS = st.lists(WORDS, max_size=12).map(" ".join)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), st.integers(30, 160))
def test_a_drawn_table_fits_and_breaks_no_word(rows: list[tuple[str, str, str]], columns: int) -> None:
    """At 80 columns each row of `runs list` was sixteen lines of pieces of words."""
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")
        show_table(COLUMNS, rows, empty="nothing")
    lines = terminal.getvalue().splitlines()
    first_column = max(width_of(row[0]) for row in rows)
    assert max(map(width_of, lines)) <= max(columns, first_column)
    words = terminal.getvalue().split()
    assert not Counter(" ".join(cell for row in rows for cell in row).split()) - Counter(words)


def test_columns_without_room_stand_below_their_row_with_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    columns = (Column("id"), Column("state", state=True), Column("took"), Column("why"))
    rows = [("daily", "failed", "1 s", "a reason of so many words that it needs two lines"), ("b", "none", "", "")]
    show_table(columns, rows, empty="nothing")
    assert terminal.getvalue() == (
        "\x1b[1mid     state   took\x1b[0m\n"
        "───────────────────\n"
        "daily  \x1b[31mfailed\x1b[0m  1 s\n"
        "  why: a reason of so many words that it\n"
        "    needs two lines\n"
        "b      none\n"
    )


def test_no_colour_of_ours_is_hard_to_read_on_a_light_or_a_dark_background() -> None:
    assert set(STYLES.values()) <= {"green", "red", "magenta", "cyan"}


def test_no_rows_is_reported_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(COLUMNS, [], empty="nothing yet")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "nothing yet\n")


def test_colour_needs_a_terminal_and_no_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert has_colour(Terminal()) and not has_colour(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not has_colour(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colour(Terminal())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4123, "0.41 s"), (9.994, "9.99 s"), (10.4, "10 s"), (59.6, "1:00"), (185, "3:05"), (7385, "2:03:05")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.01, "1 s"), (8.7, "9 s"), (59.4, "59 s"), (61, "1:01")])
def test_rough_durations(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text


def test_counts_as_text() -> None:
    assert counted({"success": 1200, "failed": 0, "skipped": 2}) == "1,200 success, 2 skipped"
    assert counted({}) == "none"
    assert (plural(1, "run"), plural(2, "run"), plural(1000, "try", "tries")) == ("1 run", "2 runs", "1,000 tries")


def diamond() -> DagSpec:
    return DagSpec(
        "d",
        (
            TaskSpec("a", "BashOperator", downstream=("b", "c")),
            TaskSpec("b", upstream=("a",), downstream=("z",)),
            TaskSpec("c", upstream=("a",), downstream=("z",)),
            TaskSpec("z", upstream=("b", "c")),
            TaskSpec("alone"),
        ),
    )


def test_tree_draws_each_task_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert list(task_tree(diamond())) == [
        "a  BashOperator",
        "├─ b  EmptyOperator",
        "│  └─ z  EmptyOperator",
        "└─ c  EmptyOperator",
        "   └─ z (drawn above)",
        "alone  EmptyOperator",
    ]


def test_tree_in_ascii_where_that_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert "|  `- z  EmptyOperator" in list(task_tree(diamond()))


def test_tree_of_a_chain_longer_than_the_stack() -> None:
    tasks = tuple(
        TaskSpec(
            f"t{n}",
            upstream=(f"t{n - 1}",) if n else (),
            downstream=(f"t{n + 1}",) if n < 1999 else (),
        )
        for n in range(2000)
    )
    assert len(list(task_tree(DagSpec("d", tasks)))) == 2000


def test_what_differs_from_the_defaults_is_reported() -> None:
    task = TaskSpec(
        "t", trigger_rule=TriggerRule.ALL_DONE, depends_on_past=True, wait_for_downstream=True, retries=2, pool_slots=3
    )
    assert describe_task(task) == (
        "EmptyOperator, all_done, depends_on_past, wait_for_downstream, retries=2, pool=default_pool*3"
    )
