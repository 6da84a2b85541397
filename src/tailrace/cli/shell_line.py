"""Words as a line for a shell, and such a line as its words again: what is printed to be typed."""

import os
import re
import shlex

from tailrace.model.plain_text import on_one_line

_WORD = re.compile(r"""(?:\$'(?:\\.|[^'])*'|'[^']*'|"(?:\\.|[^"])*"|\\.|[^\s'"\\])+""", re.DOTALL)


def shell_line(*arguments: str) -> str:
    """Words as a line for a shell, with bash's ``$'…'`` where a word cannot be shown as it is."""
    return " ".join(
        shlex.quote(argument) if argument.isprintable() and on_one_line(argument) == argument else _escaped(argument)
        for argument in arguments
    )


def _escaped(argument: str) -> str:
    return "$'" + "".join(map(_spelt, argument)) + "'"


def _spelt(character: str) -> str:
    if character.isprintable() and on_one_line(character) == character and character not in "'\\":
        return character
    return "".join(f"\\x{byte:02x}" for byte in _bytes(character))


def _bytes(character: str) -> bytes:
    try:
        return os.fsencode(character)
    except UnicodeEncodeError:  # half a character: no argument can hold it
        return b"?"


def quoted_words(line: str) -> list[str]:
    """The words of such a line, each quoted as it stands there."""
    return _WORD.findall(line)
