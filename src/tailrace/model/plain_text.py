"""Texts that people read and every store keeps: one line, of a length that can be read, with nothing hidden in it.

What user code says (an exception, a reason to skip, a bash command's last line) may be anything. Characters that a
terminal obeys or a store refuses are shown as Python writes them, and what is cut off is counted.
"""

import re

#: In characters. The whole of it is in the log.
LONGEST_LINE = 1000

#: What a person may write about a DAG or a pool, in characters: it is read and stored again and again.
LONGEST_TEXT = 10_000

#: Of a value in a message, in characters.
LONGEST_SHOWN = 100

#: Controls (the ends of lines too), what reverses the order of letters, and halves of characters.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

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
