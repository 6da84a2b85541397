"""Starts a backfill or a scheduler in the only order that is safe and fast: zygote first, metastore libraries after.

The zygote must be forked while this process is small and has no database library, thread or connection; it loads
the DAG file while this process imports SQLAlchemy. So nothing here may import the metastore at the top.
"""

import gc
import importlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from tailrace.authoring.loading.dag_files import FolderWatch
from tailrace.execution.zygote.handle import ZygoteHandle, start_zygote
from tailrace.planning.messages import Typed
from tailrace.runtime.listeners import Listener, SchedulerListener
from tailrace.runtime.secrets import LoadSecrets
from tailrace.runtime.settings import Settings
from tailrace.runtime.task_settings import give_to_tasks
from tailrace.service.backfill_report import BackfillCommand, BackfillPreview, BackfillReport
from tailrace.service.dates import checked_run_id

if TYPE_CHECKING:
    from types import ModuleType

    from tailrace.service.triggering import Triggered


def run_backfill(command: BackfillCommand, settings: Settings, listener: Listener) -> BackfillReport:
    """Create the backfill the command describes, or continue it, and drive it here until it ends.

    Raises ``CommandError`` or ``AuthoringError`` before anything is written, ``EnvironmentBroken`` when the
    metastore, disk or host does not allow the work.
    """
    with _zygote(settings, listener.on_message) as zygote:
        report: BackfillReport = _metastore_side().run(command, settings, listener, zygote)
        return report


def detach_backfill(command: BackfillCommand, settings: Settings, notify: Callable[[str], None]) -> BackfillReport:
    """Create the backfill the command describes, or continue it, for schedulers; raises as ``run_backfill``."""
    with _zygote(settings, notify) as zygote:
        report: BackfillReport = _metastore_side().detach(command, settings, zygote)
        return report


def preview_backfill(command: BackfillCommand, settings: Settings, notify: Callable[[str], None]) -> BackfillPreview:
    """What the command would do, date by date. Writes nothing, not even an empty metastore."""
    with _zygote(settings, notify, writes=False) as zygote:
        previewed: BackfillPreview = _metastore_side().preview(command, settings, zygote)
        return previewed


def run_scheduler(settings: Settings, listener: SchedulerListener, until_idle: bool) -> int:
    """Schedule and drive until somebody interrupts (or, ``until_idle``, nothing is left); returns the exit code."""
    watch = FolderWatch(settings.dags)
    watch.digests()  # before they are loaded: what changes from here on is not what was loaded
    with _zygote(settings, listener.on_message) as zygote:
        code: int = _imported("tailrace.runtime.scheduler").run(settings, listener, zygote, watch, until_idle)
        return code


def trigger_run(
    dag_id: str,
    logical_date: str | None,
    run_id: str | None,
    conf: str | None,
    settings: Settings,
    notify: Callable[[str], None],
    typed: Typed,
) -> "Triggered":
    """Create one run that a person asks for; returns what was created. Raises as ``run_backfill`` does."""
    checked_run_id(run_id)
    with _zygote(settings, notify) as zygote:
        side, asked = _metastore_side(), (dag_id, logical_date, run_id, conf)
        triggered: Triggered = side.trigger_loaded(*asked, settings, zygote, typed)
        return triggered


@contextmanager
def _zygote(settings: Settings, notify: Callable[[str], None], *, writes: bool = True) -> Iterator[ZygoteHandle]:
    """A zygote over the DAG files of the settings; ``notify`` is called with what a person should know as they load.

    ``writes``: what it is for writes to the metastore, and brings an older one up to date.
    """
    settings.require_trusted_dags()
    give_to_tasks(settings)
    zygote = start_zygote(
        settings.dags,
        settings.home,
        isolation=settings.isolation,
        timeout=settings.load_timeout_seconds,
        secrets=LoadSecrets(settings, migrates=writes),
        notify=settings.notify,
    )
    zygote.notify = notify
    before = signal.getsignal(signal.SIGINT)

    def on_signal(number: int, frame: FrameType | None) -> None:
        zygote.interrupted = True  # what is raised here may be lost: Python's import drops it in places
        raise KeyboardInterrupt

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, on_signal)
    try:
        yield zygote
    finally:
        signal.signal(signal.SIGINT, before)
        zygote.stop()


def _metastore_side() -> "ModuleType":
    return _imported("tailrace.service.backfills")


def _imported(name: str) -> "ModuleType":
    """Import a module, and with it the database library, without looking for garbage.

    What an import makes stays: looking through all of it again and again took a tenth of a command's start, and would
    take as much in each worker, whose copies of these pages it would touch.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()
