"""Output of commands: results go to stdout, everything else to stderr, as verbose as the person asked for.

Nothing here knows what is being printed, so no text is trusted: whatever could steer a terminal is escaped as it is
written (``printable``), but for the colours that ``styled`` gave it. One ``Console`` exists per command; click carries
it as the context's object.
"""

import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

import click

from tailrace.cli.fitting import fitted
from tailrace.errors import EnvironmentBroken
from tailrace.model.plain_text import json_printable, printable
from tailrace.service.encoding import json_of

#: Stands for the escape character of our own colours until they are written: no text of others can hold it.
_OUR_ESCAPE = f"<{os.urandom(8).hex()}>"

#: None that is hard to read on a light background or a dark one: no yellow, blue or white, and no bright ones.
STYLES: Mapping[str, str] = {
    "success": "green",
    "failed": "red",
    "upstream_failed": "magenta",
    "deadlocked": "magenta",
    "running": "cyan",
    "up_for_retry": "magenta",
    "up_for_reschedule": "cyan",
    "cancelled": "magenta",
    "paused": "magenta",
    "interrupted": "magenta",
}


class OutputClosed(Exception):
    """Whoever read our stdout has left: nothing more to say, and nothing wrong."""


@dataclass(slots=True)
class Console:
    """How verbose to be. ``verbosity`` counts -v: 1 shows each decision, 2 adds tracebacks."""

    verbosity: int = 0
    quiet: bool = False
    _noticed: set[str] = field(default_factory=set)

    def print(self, text: str) -> None:
        """Print the result, on stdout. Raises EnvironmentBroken when it cannot be written."""
        with _writing_stdout():
            _write(sys.stdout, f"{terminal_text(text)}\n")
            sys.stdout.flush()

    def tell(self, text: str, state: str = "") -> None:
        """Print sentences and commands on stdout, as lines that fit; the first ``state`` in them has its colour."""
        self.print(coloured(fitted(text, sys.stdout), state, sys.stdout))

    def print_log(self, text: str) -> None:
        """The same for a piece of a log that ``cli.log_text`` has made safe already."""
        with _writing_stdout():
            _write(sys.stdout, text)
            sys.stdout.flush()

    def print_bytes(self, content: bytes) -> None:
        """The same for bytes, exactly as they are."""
        with _writing_stdout():
            sys.stdout.buffer.write(content)
            sys.stdout.flush()

    def print_json(self, value: object) -> None:
        """One JSON value on stdout, and nothing else there."""
        indent = 2 if sys.stdout.isatty() else None
        text = json_printable(json_of(value, indent=indent, ascii_only=not supports_unicode(sys.stdout)))
        with _writing_stdout():
            _write(sys.stdout, f"{text}\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print something beside the result, on stderr, unless asked to be quiet; as lines that fit."""
        self.note_lines(fitted(text, sys.stderr))

    def note_lines(self, text: str) -> None:
        """The same for lines that fit already, and may have colours."""
        if self.quiet:
            return
        try:
            _write(sys.stderr, f"{terminal_text(text)}\n")
        except OSError:  # its reader left, or its disk is full: no reason to give up the work that is reported on
            self.quiet = True

    def notice(self, text: str) -> None:
        """The same, for something a person should know before trusting the result."""
        lines = fitted(f"note: {text}", sys.stderr)
        self.note_lines(lines.replace("note:", styled("note:", sys.stderr, fg="magenta"), 1))

    def notice_once(self, text: str) -> None:
        """The same, unless it was printed before."""
        if text not in self._noticed:
            self._noticed.add(text)
            self.notice(text)

    def error(self, text: str) -> None:
        """Say what went wrong, on stderr, however quiet."""
        with suppress(OSError):
            lines = fitted(f"error: {text}", sys.stderr)
            lines = lines.replace("error:", styled("error:", sys.stderr, fg="red", bold=True), 1)
            _write(sys.stderr, f"{terminal_text(lines)}\n")

    def trace(self, text: str) -> None:
        """Say where something went wrong, for whoever asked with -vv."""
        with suppress(OSError):
            _write(sys.stderr, f"{terminal_text(text)}\n")


def current_console() -> Console:
    """The console of the command being run."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Console) if context is not None else None
    return found or Console()


def has_colour(stream: TextIO) -> bool:
    """Whether colours may be written: a terminal that is not dumb, and no NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def supports_unicode(stream: TextIO) -> bool:
    """Whether any character can be written there."""
    return (stream.encoding or "").casefold().replace("-", "").replace("_", "") in ("utf8", "utf16", "utf32")


def styled(text: str, stream: TextIO, **style: Any) -> str:
    """``text`` in a style, where the stream shows styles."""
    return click.style(printable(text), **style).replace("\x1b", _OUR_ESCAPE) if has_colour(stream) else text


def terminal_text(text: str) -> str:
    """``text`` as it may be written to a terminal: in our own colours, and with nothing else in it that steers one."""
    return printable(text).replace(_OUR_ESCAPE, "\x1b")


def state_styled(state: str, stream: TextIO) -> str:
    """A state's name in its colour."""
    return styled(state, stream, fg=STYLES.get(state))


def coloured(text: str, state: str, stream: TextIO) -> str:
    """``text`` with the first mention of a state in its colour."""
    return text.replace(f" {state}", f" {state_styled(state, stream)}", 1) if state else text


def painted(line: str, state: str) -> str:
    """A line for stderr whose first word, where it names a failure, has the colour of the state that led to."""
    word = next((word for word in ("failed", "lost") if line.startswith(word)), "")
    return styled(word, sys.stderr, fg=STYLES.get(state)) + line[len(word) :] if word else line


def counted(counts: Mapping[str, int]) -> str:
    """``3 success, 1 failed``; the order is that of the mapping, zeros are left out."""
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join(parts) or "none"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def interrupted_text(times: int, busy: int) -> str:
    """What an interrupt, the first or a later one, means for the tries that run."""
    tasks = plural(busy, "running task")
    if times == 1:
        waiting = f"waiting for {tasks}; interrupt again to end them" if busy else "ending"
        return f"interrupted: nothing more is started, {waiting}"
    if not busy:
        return "interrupted again: ending"
    if times == 2:
        text = f"{tasks} may clean up and end; their tries do not count as failures; interrupt again to kill them"
        return f"interrupted again: {text}"
    return f"interrupted once more: killing {tasks}"


def bullet_lines(lines: Sequence[str], indent: str = "  ") -> str:
    """Lines below one another, indented."""
    return "\n".join(f"{indent}{line}" for line in lines)


@contextmanager
def _writing_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _silence_stdout()
        raise OutputClosed from None
    except OSError as trouble:
        _silence_stdout()
        raise EnvironmentBroken(f"the output could not be written: {os_error_text(trouble)}") from trouble


def _silence_stdout() -> None:
    """Nobody reads stdout any more: what is still buffered must not raise again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


ENVIRONMENT_ERRNOS: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file reached the largest size allowed",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.ENOMEM: "out of memory",
    errno.EAGAIN: "no more processes or memory",
}


def os_error_text(error: OSError) -> str:
    """What the operating system refused, and what to do about it."""
    what = ENVIRONMENT_ERRNOS.get(error.errno or 0, error.strerror or str(error))
    advice = {
        "the disk is full": "make room and run the same command again",
        "permission denied": "check the owner and mode, or set TAILRACE_HOME to a folder you may write",
        "the file system is read-only": "run it in another folder, or set TAILRACE_HOME to one you may write",
    }.get(what)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what}" + (f"; {advice}" if advice else "")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
