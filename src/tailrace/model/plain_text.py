"""Texts that people read and every store keeps: one line, of a length that can be read, with nothing hidden in it.

What others write (an exception, a bash command's last line, a run id, a path, a log) may be anything: escape sequences
that retitle or clear a terminal, carriage returns that overwrite a line, direction marks that show another order than
is there, bytes that are no UTF-8. What a terminal obeys or a store refuses is escaped, and what is cut off is counted.
"""

import re

#: In characters. The whole of it is in the log.
LONGEST_LINE = 1000

#: What a person may write about a DAG or a pool, in characters: it is read and stored again and again.
LONGEST_TEXT = 10_000

#: Of a value in a message, in characters.
LONGEST_SHOWN = 100

#: Control characters but newline and tab; direction marks, line and paragraph separators, invisible tags; surrogates.
_STEERS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[{_STEERS}]")
_HIDDEN = re.compile(f"[\t\n{_STEERS}]")
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_LINE_ENDS = str.maketrans({"\n": "\\n", "\t": "\\t"})

#: What is left of a line that is cut, beside the count of what is not there.
_ROOM = 40


def visible_line(text: str, longest: int = LONGEST_LINE) -> str:
    """``text`` as one line of at most ``longest`` characters. A line that was made so stays as it is."""
    text = str.__str__(text)  # of a class of its own it may be anything
    shown = _HIDDEN.sub(_escaped, text[:longest])
    if len(text) <= longest and len(shown) <= longest:
        return shown
    kept, left = [], longest - _ROOM
    for character in text[:left]:
        piece = _HIDDEN.sub(_escaped, character)
        left -= len(piece)
        if left < 0:
            break
        kept.append(piece)
    return f"{''.join(kept)}… ({len(text) - len(kept):,} more characters)"


def without_colours(text: str) -> str:
    """``text`` as it reads at a terminal, of whatever weight and colour: what a tool writes of an error has them."""
    return _COLOURS.sub("", text)


def printable(text: str) -> str:
    """``text`` with ``\\x1b`` for an escape character, ``\\u202e`` for an override, ``\\xff`` for a byte of a path."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_spelt, text)


def on_one_line(text: object) -> str:
    """The same for a name inside a line: ends of lines are escaped too."""
    return printable(str(text)).translate(_LINE_ENDS)


def json_printable(text: str) -> str:
    """JSON text in which the same characters stand as JSON's own escapes: the values are the same."""
    return _UNSAFE.sub(lambda found: "".join(f"\\u{unit:04x}" for unit in _utf16(found[0])), text)


def shown(value: object) -> str:
    """A value as Python writes it, in one line and short; its own way of being written may be broken."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def is_storable(text: str) -> bool:
    """Whether every store can hold it: no half of a character, and none that ends a text for PostgreSQL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python keeps those of paths and arguments
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _utf16(character: str) -> list[int]:
    units = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
