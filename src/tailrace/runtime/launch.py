"""Starts a backfill or a scheduler in the only order that is safe and fast: zygote first, metastore libraries after.

The zygote must be forked while this process is small and has no database library, thread or connection; it loads
the DAG file while this process imports SQLAlchemy. So nothing here may import the metastore at the top.
"""

import gc
import importlib
from typing import TYPE_CHECKING

from tailrace.execution.zygote import ZygoteHandle, start_zygote
from tailrace.runtime.commands import BackfillCommand, BackfillPreview, BackfillReport
from tailrace.runtime.listening import Listener, SchedulerListener
from tailrace.runtime.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

    from tailrace.planning.triggering import TriggerPlan


def run_backfill(command: BackfillCommand, settings: Settings, listener: Listener) -> BackfillReport:
    """Create the backfill the command describes, or continue it, and drive it here until it ends.

    Raises ``CommandError`` or ``AuthoringError`` before anything is written, ``EnvironmentBroken`` when the
    metastore, disk or host does not allow the work.
    """
    zygote = _start_zygote(settings)
    try:
        report: BackfillReport = _metastore_side().run(command, settings, listener, zygote)
        return report
    finally:
        zygote.stop()


def detach_backfill(command: BackfillCommand, settings: Settings) -> BackfillReport:
    """Create the backfill the command describes, or continue it, for schedulers; raises as ``run_backfill``."""
    zygote = _start_zygote(settings)
    try:
        report: BackfillReport = _metastore_side().detach(command, settings, zygote)
        return report
    finally:
        zygote.stop()


def preview_backfill(command: BackfillCommand, settings: Settings) -> BackfillPreview:
    """What the command would do, date by date. Writes nothing, not even an empty metastore."""
    zygote = _start_zygote(settings)
    try:
        previewed: BackfillPreview = _metastore_side().preview(command, settings, zygote)
        return previewed
    finally:
        zygote.stop()


def run_scheduler(settings: Settings, listener: SchedulerListener, until_idle: bool) -> int:
    """Schedule and drive until somebody interrupts (or, ``until_idle``, nothing is left); answers the exit code."""
    zygote = _start_zygote(settings)
    try:
        code: int = _imported("tailrace.runtime.scheduler").run(settings, listener, zygote, until_idle)
        return code
    finally:
        zygote.stop()


def trigger_run(
    dag_id: str, logical_date: str | None, run_id: str | None, conf: str | None, settings: Settings
) -> "TriggerPlan":
    """Create one run that a person asks for; answers what was created. Raises as ``run_backfill`` does."""
    zygote = _start_zygote(settings)
    try:
        side = _imported("tailrace.runtime.triggering")
        plan: TriggerPlan = side.run(dag_id, logical_date, run_id, conf, settings, zygote)
        return plan
    finally:
        zygote.stop()


def _start_zygote(settings: Settings) -> ZygoteHandle:
    settings.require_trusted_dags()
    return start_zygote(settings.dags, settings.home, isolation=settings.isolation)


def _metastore_side() -> "ModuleType":
    return _imported("tailrace.runtime.backfill")


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
