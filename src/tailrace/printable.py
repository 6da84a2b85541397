"""Text that others wrote, made safe to read on a terminal: what could steer it, or reorder what is read, is escaped.

Run ids, exceptions, paths and logs may hold anything: escape sequences that retitle or clear a terminal, carriage
returns that overwrite a line, direction marks that show another order than is there, bytes that are no UTF-8.
"""

import re

#: Control characters but newline and tab; direction marks, line and paragraph separators, invisible tags; surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_LINE_ENDS = str.maketrans({"\n": "\\n", "\t": "\\t"})


def printable(text: str) -> str:
    """``text`` with ``\\x1b`` for an escape character, ``\\u202e`` for an override, ``\\xff`` for a byte of a path."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def on_one_line(text: object) -> str:
    """The same for a name inside a line: ends of lines are escaped too."""
    return printable(str(text)).translate(_LINE_ENDS)


def json_printable(text: str) -> str:
    """JSON text in which the same characters stand as JSON's own escapes: the values are the same."""
    return _UNSAFE.sub(lambda found: "".join(f"\\u{unit:04x}" for unit in _utf16(found[0])), text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python keeps those of paths and arguments
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _utf16(character: str) -> list[int]:
    units = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
