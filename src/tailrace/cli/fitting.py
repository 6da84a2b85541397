"""How wide a line may be, and how one is made to fit: nothing printed is longer than the terminal, or 300 columns.

What is shown is cut or goes on in the next line; a command is never cut, for it is there to be typed.
"""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TextIO

from tailrace.cli.shell_line import quoted_words, shell_line
from tailrace.model.plain_text import on_one_line

#: Where no terminal says how wide it is.
NO_TERMINAL = 300
_LEAST = 20
_CUT = "…"


def columns_of(stream: TextIO) -> int:
    """How many columns a line there may have."""
    if not stream.isatty():
        return NO_TERMINAL
    named = os.environ.get("COLUMNS", "")
    try:
        found = int(named) if named.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        found = 0
    return max(_LEAST, found or 80)


def width_of(text: str) -> int:
    """How many columns a text takes: Chinese and Japanese characters take two, accents of their own none."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def cut(text: str, columns: int) -> str:
    """``text`` on one line of at most so many columns; what is cut off shows as ``…``."""
    line = on_one_line(text)
    if width_of(line) <= columns:
        return line
    kept, left = [], columns - 1
    for character in line:
        left -= _width(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + _CUT


def shortened(text: str, columns: int, most: int = 3) -> list[str]:
    """A sentence on at most so many lines: the last of them says whether there is more."""
    lines = wrapped(text, columns)
    return lines if len(lines) <= most else [*lines[: most - 1], cut(" ".join([lines[most - 1], "…"]), columns)]


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """``text`` with as many spaces as fill so many columns, behind it or before it."""
    spaces = " " * max(0, columns - width_of(text))
    return spaces + text if right else text + spaces


def fitted(text: str, stream: TextIO) -> str:
    """Sentences and commands, one a line; what is longer than a line on as many as it needs, no word cut.

    Without a terminal a sentence that names a path or what to type stays as it is: a program searches or copies it.
    """
    columns = columns_of(stream)
    return "\n".join(line for each in text.split("\n") for line in _fitted(each, columns, stream.isatty()))


def _fitted(line: str, columns: int, at_terminal: bool) -> list[str]:
    if width_of(line) <= columns or (not at_terminal and ("/" in line or "`" in line)):
        return [line]
    indent = " " * (len(line) - len(line.lstrip(" ")))
    if line.startswith(f"{indent}tailrace "):
        return list(_continued(quoted_words(line), columns, indent))
    return wrapped(line, columns, f"{indent}  ", whole=True)


def wrapped(text: str, columns: int, indent: str = "  ", *, whole: bool = False) -> list[str]:
    """A sentence on as many lines as it needs, the later ones indented.

    Words between backticks are never cut; with ``whole`` none is, be it longer than a line.
    """
    lines: list[str] = []
    line, is_typed = text[: len(text) - len(text.lstrip(" "))], False
    is_empty = True
    for word in text.lstrip(" ").split(" "):
        is_typed = is_typed or word.lstrip("(,;").startswith("`")
        piece = word if is_typed or whole else cut(word, columns - len(indent))
        is_typed = is_typed and not word.lstrip("(,;`").rstrip(".,;:)").endswith("`")
        if is_empty:
            line, is_empty = line + piece, False
        elif width_of(line) + 1 + width_of(piece) <= columns:
            line += f" {piece}"
        else:
            lines.append(line)
            line = indent + piece
    return [*lines, line]


def command_lines(words: Sequence[str], columns: int, indent: str = "  ") -> list[str]:
    """A command as lines for a shell: one, or more of them with ``\\`` between words where it is too long for one."""
    return list(_continued([shell_line(word) for word in words], columns, indent))


def _continued(words: Sequence[str], columns: int, indent: str) -> Iterator[str]:
    whole = indent + " ".join(words)
    if width_of(whole) <= columns:
        yield whole
        return
    line = indent + words[0]
    for at, word in enumerate(words[1:], start=2):
        room = columns - (2 if at < len(words) else 0)  # for the backslash
        if width_of(line) + 1 + width_of(word) <= room or line == indent + words[0]:
            line += f" {word}"
        else:
            yield f"{line} \\"
            line = f"{indent}  {word}"
    yield line


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
