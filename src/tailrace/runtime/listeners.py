"""What a running backfill or scheduler reports to whoever watches it. Interfaces implement ``Listener``; nothing here
prints.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from tailrace.effects.events import FailedCallback
from tailrace.effects.requests import Event, WaitResult
from tailrace.effects.tries import FailedTry
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.backfills import BackfillCreation
from tailrace.runtime.signals import Interrupts


class BackfillStarted(Struct, frozen=True):
    """A backfill was created or continued; ``metastore`` is safe to print."""

    backfill_id: int
    continued: bool
    creation: BackfillCreation
    metastore: str
    executor: str
    workers: int


class Progress(Struct, frozen=True):
    """Counts of the whole backfill at one moment; ``seconds`` since this job began, ``recent`` newest first."""

    runs: Mapping[DagRunState, int]
    task_instances: Mapping[TaskInstanceState, int]  # of activated runs
    tasks_per_run: int
    seconds: float
    running: tuple[str, ...] = ()  # a few running task instances, as "task_id @ logical date"


class Watching(Protocol):
    """Watches one job: is called with what should be known at once."""

    def on_failure(self, failed: FailedTry) -> None:
        """A try failed or was lost, as it was recorded: whether it was reported, or found lost by this job."""

    def on_callback(self, failed: FailedCallback) -> None:
        """A callback failed, hung or could not be called, as it was recorded."""

    def on_interrupt(self, times: int, busy: int) -> None:
        """Once: nothing more is started, ``busy`` tries are awaited; twice: they are asked to end; thrice: killed."""


def watching_interrupts(listener: Watching, interrupts: Interrupts) -> Callable[[WaitResult], None]:
    """What a job's driver calls at each wait: each interrupt that has come since is reported, once."""
    reported = 0

    def watch(waited: WaitResult) -> None:
        nonlocal reported
        if interrupts.count > reported:
            reported = interrupts.count
            listener.on_interrupt(reported, waited.busy)

    return watch


class Listener(Watching, Protocol):
    """Watches one backfill."""

    verbose: bool  # whether every decision's dependencies are wanted
    counting: bool  # whether it wants ``progressed``, which costs a reading of the metastore each time

    def on_start(self, started: BackfillStarted) -> None:
        """The backfill exists and its job begins."""

    def on_message(self, text: str) -> None:
        """Something that a person watching should know."""

    def on_event(self, event: Event) -> None:
        """A planning step decided and applied something (or, verbose, decided to wait)."""

    def on_progress(self, progress: Progress) -> None:
        """Fresh counts; called a few times a second at most."""


class SchedulerStarted(Struct, frozen=True):
    """A scheduler begins; ``metastore`` is safe to print."""

    dags: tuple[str, ...]
    metastore: str
    executor: str
    workers: int
    notices: tuple[str, ...] = ()


class SchedulerListener(Watching, Protocol):
    """Watches one scheduler."""

    def on_start(self, started: SchedulerStarted) -> None:
        """The DAG files are loaded and the job begins."""

    def on_message(self, text: str) -> None:
        """Something that a person reading the log should know."""

    def on_event(self, event: Event) -> None:
        """A planning step decided and applied something, or runs were created."""
