"""What a person sees while a backfill runs: nothing, plain lines, or the live display of ``cli.live``.

All of it goes to stderr. rich is imported only once the backfill has started on a terminal, after the zygote
is forked.
"""

import importlib
import os
import sys
from typing import Protocol

from tailrace.cli import remedies
from tailrace.cli.console import STYLES, Console, interrupted_text, painted, plural, styled
from tailrace.cli.decisions import DecisionLog
from tailrace.cli.failure_lines import FailureLines
from tailrace.cli.fitting import columns_of, shortened, wrapped
from tailrace.cli.meter import Meter, Reading, rate_text
from tailrace.effects.events import FailedCallback
from tailrace.effects.requests import Event
from tailrace.effects.tries import FailedTry
from tailrace.model.durations import duration, rough_duration
from tailrace.model.states import DagRunState
from tailrace.model.suggestions import few
from tailrace.planning.backfills import DateAction
from tailrace.planning.messages import Message
from tailrace.runtime.listeners import BackfillStarted, Listener, Progress

_MOST_NAMED = 12  # tasks of a part
_BAD_RUNS = (DagRunState.FAILED, DagRunState.DEADLOCKED)
_MOST_BAD_RUNS = 20  # shown one by one; the summary counts the rest
_FIRST_LINE_AFTER = 2.0
_LINE_EVERY = 10.0
_LINE_EVERY_LATER = 60.0  # once it has run for ten minutes, nobody wants six lines a minute in a log file


class ClosingListener(Listener, Protocol):
    """A listener that leaves the terminal as it found it. ``shown_notices`` is what it has shown."""

    shown_notices: tuple[Message, ...]

    def close(self) -> None:
        """Nothing more will be received."""


class Display(Protocol):
    """A live display: figures redrawn in place, lines printed above them."""

    def show(self, reading: Reading, progress: Progress) -> None:
        """Redraw."""

    def line(self, text: str) -> None:
        """Print a line above the figures."""

    def close(self) -> None:
        """Take the figures off the terminal."""


def choose_listener(console: Console) -> ClosingListener:
    """The listener for this terminal and loudness."""
    if console.quiet:
        return SilentListener()
    alive = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return ConsoleListener(console, live=alive)


class SilentListener:
    """-q: receives everything, shows nothing."""

    verbose = counting = False
    shown_notices: tuple[Message, ...] = ()

    def on_start(self, started: BackfillStarted) -> None:
        """Say nothing."""

    def on_message(self, text: str) -> None:
        """Say nothing."""

    def on_event(self, event: Event) -> None:
        """Say nothing."""

    def on_failure(self, failed: FailedTry) -> None:
        """Say nothing."""

    def on_callback(self, failed: FailedCallback) -> None:
        """Say nothing."""

    def on_progress(self, progress: Progress) -> None:
        """Say nothing."""

    def on_interrupt(self, times: int, busy: int) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing to leave."""


class ConsoleListener:
    """Plain lines when ``live`` is False; otherwise a display in place, with the same lines above it."""

    def __init__(self, console: Console, *, live: bool) -> None:
        self.verbose = console.verbosity >= 1
        self.counting = True
        self._console = console
        self._live = live
        self._display: Display | None = None
        self._meter = Meter()
        self._decision_log = DecisionLog()
        self._failures = FailureLines()
        self._name = "backfill"
        self._line_due = _FIRST_LINE_AFTER
        self._bad_runs = 0
        self.shown_notices: tuple[Message, ...] = ()

    def on_start(self, started: BackfillStarted) -> None:
        """Say what was created or continued, where, and every notice."""
        creation = started.creation
        self._name = f"backfill {started.backfill_id} of {creation.request.dag_id}"
        verb = "continued" if started.continued else "created"
        self._print(
            f"{self._name} {verb}: {plural(len(creation.dates), 'date')}, "
            f"{started.executor} executor with {plural(started.workers, 'worker')}, metastore {started.metastore}",
            self._name,
            bold=True,
        )
        if creation.request.part is not None:
            self._print(f"a part of its DAG: {', '.join(few(creation.request.part, _MOST_NAMED))}")
        left = sum(date.action is DateAction.LEAVE for date in creation.dates)
        if left and left < len(creation.dates):
            self._print(f"of these, {plural(left, 'date')} {'needs' if left == 1 else 'need'} nothing")
        elif left:
            self._print("nothing to do: the runs of these dates have ended (--reprocess runs them again)")
        self.shown_notices = creation.notices
        for notice in creation.notices:
            self._console.notice(remedies.text_of(notice))
        if self._live:
            live = importlib.import_module("tailrace.cli.live")
            self._display = live.LiveDisplay(self._name)

    def on_message(self, text: str) -> None:
        """One line."""
        self._print(text)

    def on_event(self, event: Event) -> None:
        """Say which runs ended badly; under -v, what the planner decided and why."""
        if self.verbose:
            for line in self._decision_log.lines(event.decisions):
                self._print(line)
        if event.text:
            self._print(remedies.text_of(event.text))
        for verdict in event.applied.judged if event.applied is not None else ():
            if verdict.state in _BAD_RUNS or self.verbose:
                inside = [verdict.failed_inside.named] if verdict.failed_inside else []
                self._print_run(verdict.run_id, str(verdict.state), "; ".join([verdict.reason, *inside]))

    def on_failure(self, failed: FailedTry) -> None:
        """Print how a try failed and where its log is, as it happens."""
        lines = self._failures.lines(failed, columns_of(sys.stderr))
        if lines:
            self._print_lines([painted(line, str(failed.state)) for line in lines])

    def on_callback(self, failed: FailedCallback) -> None:
        """Print how a callback failed and where its log is, as it happens."""
        lines = self._failures.of_callback(failed, columns_of(sys.stderr))
        if lines:
            self._print_lines([painted(line, str(DagRunState.FAILED)) for line in lines])

    def on_progress(self, progress: Progress) -> None:
        """Redraw, or say a line when it is time for one."""
        reading = self._meter.read(progress)
        if self._display is not None:
            self._display.show(reading, progress)
        elif progress.seconds >= self._line_due:
            later = progress.seconds >= 600
            self._line_due = progress.seconds + (_LINE_EVERY_LATER if later else _LINE_EVERY)
            self._print(f"{self._name}: {progress_line(reading)}")

    def on_interrupt(self, times: int, busy: int) -> None:
        """Say what becomes of running tries."""
        self._print(interrupted_text(times, busy))

    def close(self) -> None:
        """Take the live display off the terminal."""
        if self._display is not None:
            self._display.close()
            self._display = None

    def _print(self, text: str, part: str = "", **style: object) -> None:
        """A sentence, on as many lines as it needs; with a part of it in a style."""
        self._print_styled(wrapped(text, columns_of(sys.stderr)), part, **style)

    def _print_styled(self, lines: list[str], part: str, **style: object) -> None:
        first, *more = lines
        self._print_lines([first.replace(part, styled(part, sys.stderr, **style), 1) if part else first, *more])

    def _print_lines(self, lines: list[str]) -> None:
        text = "\n".join(lines)  # at once: above a live display each print draws that again
        if self._display is not None:
            self._display.line(text)
        else:
            self._console.note_lines(text)

    def _print_run(self, run_id: str, state: str, reason: str) -> None:
        if state in _BAD_RUNS:
            self._bad_runs += 1
            if self._bad_runs == _MOST_BAD_RUNS + 1 and not self.verbose:
                self._print("further runs that end badly are counted, not listed")
            if self._bad_runs > _MOST_BAD_RUNS and not self.verbose:
                return
        line = f"run {run_id} {state}" + (f": {reason}" if reason else "")
        self._print_styled(shortened(line, columns_of(sys.stderr)), f" {state}", fg=STYLES.get(state))


def progress_line(reading: Reading) -> str:
    """The figures on one plain line."""
    parts = [
        f"{reading.runs_done:,}/{reading.runs:,} runs",
        f"{reading.tasks_done:,}/{reading.tasks:,} task instances",
        f"{reading.running:,} running",
    ]
    if reading.waiting:
        parts.append(f"{reading.waiting:,} rescheduled")
    if reading.failed:
        parts.append(f"{reading.failed:,} failed")
    if reading.rate is not None:
        parts.append(f"{rate_text(reading.rate)}")
    parts.append(f"{duration(reading.elapsed)} elapsed")
    if reading.left is not None:
        parts.append(f"about {rough_duration(reading.left)} left")
    return ", ".join(parts)
