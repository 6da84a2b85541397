"""Who hears what: answers go to stdout, everything else to stderr, each as loud as the person asked for.

Nothing here knows what is being said. One ``Speaker`` exists per command; click carries it as the context's
object.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import click

STYLES: Mapping[str, str] = {
    "success": "green",
    "failed": "red",
    "upstream_failed": "yellow",
    "deadlocked": "magenta",
    "running": "cyan",
    "queued": "blue",
    "skipped": "bright_black",
    "up_for_retry": "yellow",
    "cancelled": "yellow",
    "paused": "yellow",
    "interrupted": "yellow",
}


@dataclass(slots=True)
class Speaker:
    """How loud to be. ``verbosity`` counts -v: 1 tells each decision, 2 adds tracebacks."""

    verbosity: int = 0
    quiet: bool = False

    def answer(self, text: str) -> None:
        """Say what was asked for, on stdout."""
        _write(sys.stdout, text)

    def answer_json(self, value: object) -> None:
        """One JSON value on stdout, and nothing else there."""
        _write(sys.stdout, json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))

    def note(self, text: str) -> None:
        """Say something beside the answer, on stderr, unless asked to be quiet."""
        if not self.quiet:
            _write(sys.stderr, text)

    def notice(self, text: str) -> None:
        """The same, for something a person should know before trusting the answer."""
        self.note(f"{styled('note:', sys.stderr, fg='yellow')} {text}")

    def error(self, text: str) -> None:
        """Say what went wrong, on stderr, however quiet."""
        _write(sys.stderr, f"{styled('error:', sys.stderr, fg='red', bold=True)} {text}")


def current_speaker() -> Speaker:
    """The speaker of the command being run."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Speaker) if context is not None else None
    return found or Speaker()


def has_colour(stream: TextIO) -> bool:
    """Whether colours may be written: a terminal that is not dumb, and no NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, stream: TextIO, **style: Any) -> str:
    """``text`` in a style, where the stream shows styles."""
    return click.style(text, **style) if has_colour(stream) else text


def state_styled(state: str, stream: TextIO) -> str:
    """A state's name in its colour."""
    return styled(state, stream, fg=STYLES.get(state))


def counted(counts: Mapping[str, int]) -> str:
    """``3 success, 1 failed``; the order is that of the mapping, zeros are left out."""
    said = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join(said) or "none"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``0.41 s``, ``12 s``, ``3:05``, ``2:03:05``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bullet_lines(lines: Sequence[str], indent: str = "  ") -> str:
    """Lines below one another, indented."""
    return "\n".join(f"{indent}{line}" for line in lines)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(f"{text.encode(encoding, 'replace').decode(encoding)}\n")
