"""What people read is one line of a length that can be read, with nothing hidden in it, whatever user code said."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.model.plain_text import LONGEST_LINE, is_storable, visible_line
from tests.unit.model.anything import texts


@given(texts, st.integers(min_value=60, max_value=200))
@example("\0" * 100, 60)
@example("\udce9" * 1000, 60)
@example("a" * 59 + "\0", 60)
def test_any_text_becomes_a_line(text: str, longest: int) -> None:
    line = visible_line(text, longest)
    assert len(line) <= longest
    assert len(line.splitlines()) <= 1
    assert is_storable(line)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)
    assert visible_line(line, longest) == line


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "M"]), max_size=200))
def test_what_can_be_read_stays_as_it_is(text: str) -> None:
    assert visible_line(text, 300) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no such file: caf\udce9.csv", "no such file: caf\\udce9.csv"),
        ("bad cell: F\0x", "bad cell: F\\x00x"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("one\ntwo\ttabs\r", "one\\ntwo\\ttabs\\r"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("Zürich 東京 👩‍👩‍👧", "Zürich 東京 👩‍👩‍👧"),
    ],
)
def test_what_cannot_be_seen_is_spelt(text: str, line: str) -> None:
    assert visible_line(text) == line


def test_what_is_cut_off_is_counted() -> None:
    line = visible_line("x" * 5_000_000)
    kept = line.count("x")
    assert line == f"{'x' * kept}… ({5_000_000 - kept:,} more characters)"
    assert LONGEST_LINE - 40 <= len(line) <= LONGEST_LINE


def test_a_text_of_a_class_of_its_own_is_taken_for_what_it_holds() -> None:
    class Odd(str):
        def __getitem__(self, part: object) -> str:
            raise ValueError("no")

    assert visible_line(Odd("a\0")) == "a\\x00"
    assert type(visible_line(Odd("a"))) is str
