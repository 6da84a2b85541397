"""A try's log on a terminal: its colours are shown, as ``less -R`` shows them, and nothing else of it steers anything.

Piped, a log is its bytes: who wants a program's control characters gets them there.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from tailrace.model.plain_text import printable

_COLOUR = re.compile("(\x1b\\[[0-9;:]*m)")
#: What may go on in the next piece: a carriage return before its newline, a colour that is cut.
_CUT = re.compile("(?:\r|\x1b(?:\\[[0-9;:]{0,60})?)\\Z")
_RESET = "\x1b[0m"


def log_text(pieces: Iterable[bytes], *, colours: bool) -> Iterator[str]:
    """The log as text for a terminal, piece by piece; without ``colours`` they are left out."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    held, coloured = "", False
    for piece in chain(pieces, (b"",)):
        text = held + decoder.decode(piece, final=not piece)
        cut = _CUT.search(text) if piece else None
        held = "" if cut is None else cut[0]
        parts = _COLOUR.split(text[: len(text) - len(held)].replace("\r\n", "\n"))
        coloured = coloured or len(parts) > 1
        yield "".join((part if colours else "") if at % 2 else printable(part) for at, part in enumerate(parts))
    if coloured and colours:
        yield _RESET
