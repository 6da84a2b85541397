"""No line is longer than it may be; commands are never cut, and those on several lines are the same to a shell."""

import io
import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.fitting import command_lines, cut, fitted, shortened, width_of, wrapped
from tailrace.cli.shell_line import quoted_words, shell_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60), min_size=1, max_size=12)
COLUMNS = st.integers(20, 120)


@given(st.text(max_size=400), COLUMNS)
def test_what_is_cut_fits_and_says_that_it_is_cut(text: str, columns: int) -> None:
    line = cut(text, columns)
    assert width_of(line) <= columns and line.splitlines() in ([line], [])
    assert line.endswith("…") or cut(text, 10_000) == line


@given(st.text(max_size=400), COLUMNS)
def test_a_sentence_fits_on_its_lines(text: str, columns: int) -> None:
    lines = wrapped(text.replace("`", "'"), columns)
    assert all(width_of(line) <= columns for line in lines), lines


def test_what_is_typed_is_not_cut_in_a_sentence() -> None:
    long = "x" * 60
    lines = wrapped(f"a sentence of {long} words (`tailrace runs explain {long} y`) goes on", 40)
    assert lines[0].startswith("a sentence of")
    assert f"  {long}" in lines and "  y`) goes on" in lines
    assert f"  {'x' * 37}…" in lines


@given(WORDS, COLUMNS)
def test_a_command_on_several_lines_is_the_same_command(words: list[str], columns: int) -> None:
    lines = command_lines(["tailrace", *words], columns)
    typed = "\n".join(lines)
    if "$'" not in typed:
        assert shlex.split(typed.replace("\\\n", " ")) == ["tailrace", *words]
    widest = max(width_of(shell_line(word)) for word in words)
    assert all(width_of(line) <= max(columns, widest + 4 + 2, widest + len("  tailrace ") + 2) for line in lines)


@pytest.mark.parametrize("columns", [20, 40, 300])
def test_a_shell_takes_it_as_one_command(columns: int) -> None:
    words = ["printf", "%s\n", "a b", "ü" * 30, "c'd", "\x1b[31m", "last one"]
    said = subprocess.run(["bash", "-c", "\n".join(command_lines(words, columns))], capture_output=True, check=True)
    assert said.stdout.decode().split("\n")[:-1] == words[2:]


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    assert [width_of(text) for text in ("ab", "日本", "e\u0301", "")] == [2, 4, 1, 0]
    assert cut("日本日本日本日本日本日本", 11) == "日本日本日…"


def test_a_sentence_of_many_lines_is_cut_where_it_may_be() -> None:
    text = " ".join(f"word{n}" for n in range(100))
    assert shortened(text, 40) == [*wrapped(text, 40)[:2], f"{wrapped(text, 40)[2]} …"[:40]]
    assert shortened("short", 40) == ["short"]


@given(WORDS)
def test_a_line_for_a_shell_is_split_where_a_shell_splits_it(words: list[str]) -> None:
    assert quoted_words(shell_line(*words)) == [shell_line(word) for word in words]


def test_sentences_and_commands_fit_a_terminal_and_nothing_of_them_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes, errors, reasons and the commands below them were broken by the terminal, in the middle of words."""
    text = (
        "nothing was written to /a/path/that/is/longer/than/a/whole/line.db; to do it all:\n"
        "  tailrace backfill sales -s 2024-01-01 -e 2024-01-31 --conf '{\"a\": 1}'"
    )
    assert fitted(text, io.StringIO()) == text
    reasons = "; ".join(f"load_{n} is failed" for n in range(40))
    lines = fitted(reasons, io.StringIO()).split("\n")
    assert len(lines) == 3 and all(len(line) <= 300 for line in lines), "without a terminal it has 300 columns"
    assert " ".join(line.strip() for line in lines) == reasons
    for whole in (f"no metastore at {'/a folder' * 70}.db yet", f"write it anew: `{'edit it ' * 70}`"):
        assert fitted(whole, io.StringIO()) == whole, "it is copied as it is"
    monkeypatch.setenv("COLUMNS", "42")
    assert fitted(text, Terminal()) == (
        "nothing was written to\n"
        "  /a/path/that/is/longer/than/a/whole/line.db;\n"
        "  to do it all:\n"
        "  tailrace backfill sales -s 2024-01-01 \\\n"
        "    -e 2024-01-31 --conf '{\"a\": 1}'"
    )
