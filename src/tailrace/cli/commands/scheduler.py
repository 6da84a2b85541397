"""``tailrace scheduler``: reads the options, hands over to the runtime, writes its log lines to stderr.

Nothing here may import SQLAlchemy, directly or not: the runtime forks the zygote first.
"""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from tailrace.cli.console import Console, current_console, interrupted_text, plural, state_styled
from tailrace.cli.decisions import DecisionLog
from tailrace.cli.lazy import Command
from tailrace.cli.options import WholeNumber, dags_option, settings_with
from tailrace.cli.remedies import text_of
from tailrace.effects.requests import Event
from tailrace.errors import CommandError
from tailrace.runtime.listeners import SchedulerStarted
from tailrace.runtime.settings import EXECUTORS, ISOLATIONS
from tailrace.service.launch import run_scheduler

_MOST_DAGS_NAMED = 8


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
    scheduled.
    """
    settings = settings_with(**typed)
    if not settings.dags.exists():
        advice = "; `tailrace init` writes a first one" if settings.origins["dags"] == "default" else ""
        raise CommandError(f"{settings.dags} does not exist{advice}")
    return run_scheduler(settings, SchedulerLog(current_console(), datetime.now), until_idle)


class SchedulerLog:
    """Plain lines with the local time."""

    def __init__(self, console: Console, clock: Callable[[], datetime]) -> None:
        self._console = console
        self._clock = clock
        self._decision_log = DecisionLog(remembers=True)

    def on_start(self, started: SchedulerStarted) -> None:
        """Say what is scheduled, where, and every notice."""
        named = ", ".join(started.dags) if len(started.dags) <= _MOST_DAGS_NAMED else plural(len(started.dags), "DAG")
        executor = f"{started.executor} executor with {plural(started.workers, 'worker')}"
        self.on_message(f"scheduling {named or 'no DAGs yet'}: {executor}, metastore {started.metastore}")
        for notice in started.notices:
            self._console.notice(notice)

    def on_message(self, text: str) -> None:
        """One line."""
        self._console.note(f"{self._clock():%H:%M:%S} {text}")

    def on_event(self, event: Event) -> None:
        """Say what became of runs and backfills; under -v, what the planner decided and why."""
        if self._console.verbosity:
            for line in self._decision_log.lines(event.decisions):
                self.on_message(line)
        if event.text:
            self.on_message(text_of(event.text))
        for verdict in event.applied.judged if event.applied is not None else ():
            inside = f", {verdict.failed_inside.named}" if verdict.failed_inside else ""
            state = state_styled(verdict.state, sys.stderr)
            self.on_message(f"{event.dag_id} / {verdict.run_id} {state}{inside}: {verdict.reason}")

    def on_interrupt(self, times: int, busy: int) -> None:
        """Say what becomes of running tries."""
        self.on_message(interrupted_text(times, busy))
