"""No text of others steers a terminal or shows another order than it has, and none is lost."""

import json
import os
import re
import shlex
import subprocess
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.shell_line import shell_line
from tailrace.model.plain_text import json_printable, on_one_line, printable

#: Any text, lone surrogates and the bytes that no UTF-8 is (as Python keeps them) among it; what hurts more often.
TEXT = st.text(
    st.characters(exclude_categories=()) | st.sampled_from("\x1b\x07\x9b\r\n\t\u202e\u2066\udcff\ud800\u2028")
)

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def steers(character: str) -> bool:
    """By the standard's own words, not by our table."""
    category = unicodedata.category(character)
    return category in ("Cs", "Zl", "Zp") or character in BIDI or (category == "Cc" and character not in "\n\t")


@given(TEXT)
def test_nothing_steers(text: str) -> None:
    shown = printable(text)
    assert not any(map(steers, shown))
    shown.encode()  # nor can it fail to be written
    assert printable(shown) == shown
    one = on_one_line(text)
    assert len(one.splitlines()) <= 1 and not any(map(steers, one)) and "\t" not in one


@given(st.text(st.characters(exclude_categories=("C", "Z"))))
def test_what_is_harmless_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text == on_one_line(text)


@given(st.recursive(TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_json_keeps_its_values(value: object) -> None:
    for ascii_only in (True, False):
        text = json_printable(json.dumps(value, ensure_ascii=ascii_only))
        assert not any(map(steers, text))
        assert json.loads(text) == value


def test_how_it_looks() -> None:
    said = printable("a\x1b[2Jb\rc\x9bd\u202ee\udcfff\ud800g\U000e0041h\n\té")
    assert said == "a\\x1b[2Jb\\rc".replace("\\r", "\\x0d") + "\\x9bd\\u202ee\\xfff\\ud800g\\U000e0041h\n\té"
    assert on_one_line("a\n\tb") == "a\\n\\tb"
    assert re.fullmatch(r"/tmp/\\xff", on_one_line("/tmp/\udcff"))


@given(
    st.lists(st.text(st.characters(exclude_characters="\0")) | TEXT.filter(lambda text: "\0" not in text), max_size=3)
)
def test_a_command_line_is_printable_and_means_its_words_to_a_shell(words: list[str]) -> None:
    words = [word for word in words if not any("\ud800" <= each <= "\udfff" for each in word)]
    line = shell_line(*words)
    assert on_one_line(line) == line
    assert shlex.split(_plain(line)) == words


def test_a_word_that_is_no_text_comes_back_from_bash() -> None:
    word = "/tmp/\udcff\n'\\\u202eé\x1b$(x)"
    line = shell_line("printf", "%s", word)
    assert on_one_line(line) == line
    assert subprocess.run(["bash", "-c", line], capture_output=True).stdout == os.fsencode(word)


def _plain(line: str) -> str:
    """``$'…'`` as the quotes that every shell knows; bash itself is asked once, below."""

    def quoted(found: re.Match[str]) -> str:
        return shlex.quote(re.sub(rb"\\x(..)", lambda byte: bytes([int(byte[1], 16)]), found[1].encode()).decode())

    return re.sub(r"(?<!\S)\$'([^']*)'", quoted, line)
