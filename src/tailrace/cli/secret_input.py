"""A secret as it is typed: as an argument, on standard input, or at a prompt that does not show it."""

import sys
from pathlib import Path

import click

from tailrace.cli.console import current_console
from tailrace.errors import CommandError


def secret_text(given: str | None, what: str) -> str:
    """The text: as given, of standard input for ``-``, else asked for at the terminal."""
    if given == "-":
        return _of_stdin()
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise CommandError(f"{what} is missing; give it, or - to read it from standard input")
    typed: str = click.prompt(what, hide_input=True, err=True)
    return typed


def text_of_file(name: str) -> tuple[str, str]:
    """What a file holds (``-``: standard input), and how to name it."""
    if name == "-":
        return _of_stdin(), "standard input"
    try:
        return Path(name).read_text(encoding="utf-8"), name
    except (OSError, UnicodeDecodeError) as trouble:
        why = trouble.strerror if isinstance(trouble, OSError) else "it is no UTF-8 text"
        raise CommandError(f"{name}: cannot be read: {why}") from None


def print_secret(text: str) -> None:
    """A secret on standard output: exactly as it is into a pipe or a file, made safe on a terminal."""
    if sys.stdout.isatty():
        current_console().print(text)
    else:
        current_console().print_bytes(f"{text}\n".encode("utf-8", "surrogatepass"))


def _of_stdin() -> str:
    """All of standard input, but for the end of its last line, which ``echo`` adds."""
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise CommandError("standard input is no UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
