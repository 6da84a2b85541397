"""Drives one backfill that exists, here, until it ends or somebody interrupts.

Imported only after the zygote is forked (see ``service.launch``), because this is where SQLAlchemy comes in.
"""

import time
from collections.abc import Callable
from functools import partial

from tailrace.effects.requests import Event, WaitResult
from tailrace.execution.system.identity import own_identity
from tailrace.execution.zygote.handle import ZygoteHandle
from tailrace.jobs.backfill import BackfillEnd, backfill_loop
from tailrace.metastore.store import Metastore
from tailrace.model.spec import DagSpec
from tailrace.model.states import JobKind
from tailrace.planning.explain_facts import JobTrouble
from tailrace.runtime.driver import JobDriver, Throttled, drive_job, intervals_of
from tailrace.runtime.executors import start_executor
from tailrace.runtime.listeners import Listener, Progress, watching_interrupts
from tailrace.runtime.opening import new_write_id
from tailrace.runtime.settings import Settings
from tailrace.runtime.signals import Interrupts

_PROGRESS_SECONDS = 0.2


def drive_backfill(
    metastore: Metastore,
    settings: Settings,
    zygote: ZygoteHandle,
    dag: DagSpec,
    backfill_id: int,
    listener: Listener,
    interrupts: Interrupts,
    began: float,
) -> BackfillEnd:
    """Drive it as a job of this process; ``began`` is when its command did, by the monotonic clock."""
    heard = (listener.on_message, listener.on_failure, listener.on_callback)
    executor = start_executor(metastore, settings, interrupts, *heard, zygote)
    identity = own_identity()
    try:
        job_id = metastore.start_job(
            JobKind.BACKFILL, identity, dag.dag_id, backfill_id, settings.lease_seconds, new_write_id()
        )
        progress = Throttled(
            partial(_progress, metastore, backfill_id, len(dag.tasks), listener, began), _PROGRESS_SECONDS
        )
        driver = JobDriver(
            metastore,
            executor,
            interrupts,
            identity,
            settings.lease_seconds,
            plenty=2 * settings.workers + 2,
            on_event=_event_handler(listener),
            on_failure=listener.on_failure,
            home=settings.home,
            watch=_watcher(listener, interrupts, progress),
            trouble=lambda: JobTrouble(executor.trouble),
        )
        loop = backfill_loop(job_id, dag, backfill_id, intervals_of(settings))
        end = drive_job(metastore, job_id, loop, driver.perform)
        _progress(metastore, backfill_id, len(dag.tasks), listener, began)
        return end
    finally:
        executor.stop()


def _event_handler(listener: Listener) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        if listener.verbose or event.text or (event.applied is not None and event.applied.judged):
            listener.on_event(event)

    return on_event


def _watcher(listener: Listener, interrupts: Interrupts, progress: Throttled) -> Callable[[WaitResult], None]:
    interrupted = watching_interrupts(listener, interrupts)

    def watch(waited: WaitResult) -> None:
        interrupted(waited)
        progress()

    return watch


def _progress(metastore: Metastore, backfill_id: int, tasks: int, listener: Listener, began: float) -> None:
    if not listener.counting:
        return
    counts = metastore.backfill_progress(backfill_id)
    listener.on_progress(Progress(counts.runs, counts.task_instances, tasks, time.monotonic() - began, counts.running))
