"""``tailrace scheduler``: reads the options, hands over to the runtime, writes its log lines to stderr.

Nothing here may import SQLAlchemy, directly or not: the runtime forks the zygote first.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from tailrace.cli.console import Console, current_console, interrupted_text, painted, plural, state_styled
from tailrace.cli.decisions import DecisionLog
from tailrace.cli.failure_lines import FailureLines
from tailrace.cli.fitting import columns_of, shortened, wrapped
from tailrace.cli.lazy import Command
from tailrace.cli.options import WholeNumber, dags_option, settings_with
from tailrace.cli.remedies import text_of
from tailrace.effects.events import FailedCallback
from tailrace.effects.requests import Event
from tailrace.effects.tries import FailedTry
from tailrace.errors import CommandError
from tailrace.model.moments import clock_text
from tailrace.runtime.listeners import SchedulerStarted
from tailrace.runtime.settings import EXECUTORS, ISOLATIONS
from tailrace.service.launch import run_scheduler

_MOST_DAGS_NAMED = 8
_TIME_COLUMNS = len("00:00:00Z ")


@click.command(
    cls=Command,
    epilog="Any number of schedulers may run. The first Ctrl-C (or SIGTERM) starts nothing more and waits for what "
    "runs, the second asks that to end too, the third kills it: exit code 130 or 143.",
)
@dags_option
@click.option("-w", "--workers", type=WholeNumber(1), metavar="N", help="How many worker processes.")
@click.option(
    "--executor",
    type=click.Choice(EXECUTORS),
    help="Where tasks run; sequential: local with -w 1.  [default: local]",
)
@click.option(
    "--isolation",
    type=click.Choice(ISOLATIONS),
    help="A process per try (fork, spawn), or one per worker: fast, without isolation.  [default: fork]",
)
@click.option(
    "--until-idle",
    is_flag=True,
    help="End once nothing is due and nothing is left to drive; exits as a backfill over what it judged.",
)
def scheduler(until_idle: bool, **typed: Any) -> int:
    """Create the runs that are due, and drive them, triggered runs and detached backfills, until interrupted.

    DAG files are looked at again while it runs. A paused DAG begins nothing; the bundled examples are never
    scheduled. Each line begins with the time of day in UTC.
    """
    settings = settings_with(**typed)
    if not settings.dags.exists():
        advice = "; `tailrace init` writes a first one" if settings.origins["dags"] == "default" else ""
        raise CommandError(f"{settings.dags} does not exist{advice}")
    return run_scheduler(settings, SchedulerLog(current_console(), partial(datetime.now, UTC)), until_idle)


class SchedulerLog:
    """Plain lines, each with the time of day in UTC."""

    def __init__(self, console: Console, clock: Callable[[], datetime]) -> None:
        self._console = console
        self._clock = clock
        self._decision_log = DecisionLog(remembers=True)
        self._failures = FailureLines(of_many=True, clock=clock)

    def on_start(self, started: SchedulerStarted) -> None:
        """Say what is scheduled, where, and every notice."""
        named = ", ".join(started.dags) if len(started.dags) <= _MOST_DAGS_NAMED else plural(len(started.dags), "DAG")
        executor = f"{started.executor} executor with {plural(started.workers, 'worker')}"
        self.on_message(f"scheduling {named or 'no DAGs yet'}: {executor}, metastore {started.metastore}")
        for notice in started.notices:
            self._console.notice(notice)

    def on_message(self, text: str) -> None:
        """One line, or more where the terminal is narrow."""
        self._note(text)

    def _note(self, text: str, state: str = "") -> None:
        first, *more = shortened(text, self._columns()) if state else wrapped(text, self._columns())
        self._lines(first.replace(f" {state}", f" {state_styled(state, sys.stderr)}", 1) if state else first, *more)

    def _lines(self, first: str, *more: str) -> None:
        """One message: only its first line has the time, so that a command on several lines can be copied."""
        self._console.note_lines(f"{clock_text(self._clock())} {first}")
        for line in more:
            self._console.note_lines(" " * _TIME_COLUMNS + line)

    def _columns(self) -> int:
        return columns_of(sys.stderr) - _TIME_COLUMNS

    def on_event(self, event: Event) -> None:
        """Say what became of runs and backfills; under -v, what the planner decided and why."""
        if self._console.verbosity:
            for line in self._decision_log.lines(event.decisions):
                self.on_message(line)
        if event.text:
            self.on_message(text_of(event.text))
        for line in self._failures.left_out():
            self.on_message(line)
        for verdict in event.applied.judged if event.applied is not None else ():
            inside = f", {verdict.failed_inside.named}" if verdict.failed_inside else ""
            name, state = f"{event.dag_id} / {verdict.run_id}", str(verdict.state)
            self._note(f"{name} {state}{inside}: {verdict.reason}", state)

    def on_failure(self, failed: FailedTry) -> None:
        """Print how a try failed and where its log is, as it happens."""
        lines = self._failures.lines(failed, self._columns())
        if lines:
            self._lines(*(painted(line, str(failed.state)) for line in lines))

    def on_callback(self, failed: FailedCallback) -> None:
        """Print how a callback failed and where its log is, as it happens."""
        lines = self._failures.of_callback(failed, self._columns())
        if lines:
            self._lines(*(painted(line, "failed") for line in lines))

    def on_interrupt(self, times: int, busy: int) -> None:
        """Say what becomes of running tries."""
        self.on_message(interrupted_text(times, busy))
