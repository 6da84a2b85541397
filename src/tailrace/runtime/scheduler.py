"""Runs a scheduler here: its executor, its job, and another job when others took the first for dead.

Imported only after the zygote is forked (see ``launch``), because this is where SQLAlchemy comes in.
"""

from contextlib import closing
from functools import partial

from tailrace.authoring.loading.dag_files import FolderWatch
from tailrace.effects.requests import Event
from tailrace.execution.system.identity import own_identity
from tailrace.execution.zygote.handle import ZygoteHandle, start_zygote
from tailrace.jobs.lane_step import Ending
from tailrace.jobs.scheduler import SchedulerEnd, scheduler_loop
from tailrace.metastore.store import Metastore
from tailrace.model.states import DagRunState, JobKind
from tailrace.runtime.driver import JobDriver, drive_job, intervals_of
from tailrace.runtime.executors import start_executor
from tailrace.runtime.listeners import SchedulerListener, SchedulerStarted, watching_interrupts
from tailrace.runtime.opening import new_write_id, open_metastore
from tailrace.runtime.reloading import ReloadingExecutor
from tailrace.runtime.secrets import LoadSecrets
from tailrace.runtime.settings import Settings
from tailrace.runtime.signals import Interrupts

#: The exit codes of a backfill that ends so.
_FAILED, _DEADLOCKED = 1, 3


def run(
    settings: Settings, listener: SchedulerListener, zygote: ZygoteHandle, watch: FolderWatch, until_idle: bool
) -> int:
    """Schedule and drive until somebody interrupts (or, ``until_idle``, nothing is left); returns the exit code.

    ``watch`` has looked at the DAG files before ``zygote`` began to load them.
    """
    report = zygote.loaded()
    metastore = open_metastore(settings, runs_tasks=True)
    with closing(metastore), Interrupts() as interrupts:
        executor = ReloadingExecutor(
            watch,
            zygote,
            start_zygote=partial(
                start_zygote,
                settings.dags,
                settings.home,
                isolation=settings.isolation,
                timeout=settings.load_timeout_seconds,
                small=False,
                secrets=LoadSecrets(settings),
                notify=settings.notify,
            ),
            start_executor=partial(
                start_executor,
                metastore,
                settings,
                interrupts,
                listener.on_message,
                listener.on_failure,
                listener.on_callback,
            ),
            notify=listener.on_message,
            loaded=lambda report: metastore.store_loaded(
                report.to_keep, new_write_id(), paused=settings.dags_are_paused_at_creation
            ),
        )
        try:
            listener.on_start(
                SchedulerStarted(
                    dags=tuple(sorted(report.specs)),
                    metastore=metastore.describe(),
                    executor=settings.executor,
                    workers=settings.workers,
                    notices=(*map(str, report.mistakes), *report.notices),
                )
            )
            ending, verdicts = Ending.DISOWNED, _Verdicts(listener, count_failed_tasks=settings.fail_on_task_failure)
            while ending is Ending.DISOWNED:
                ending = _drive(metastore, settings, executor, verdicts, listener, interrupts, until_idle).ending
                if ending is Ending.DISOWNED:
                    listener.on_message("others took this scheduler for dead; it goes on as another job")
        finally:
            executor.stop()
    return verdicts.exit_code if ending is Ending.IDLE else interrupts.exit_code


class _Verdicts:
    """What became of the runs that this process has judged, each by its last verdict."""

    def __init__(self, listener: SchedulerListener, *, count_failed_tasks: bool) -> None:
        self._listener, self._count_failed_tasks = listener, count_failed_tasks
        self._bad: dict[int, DagRunState] = {}

    def on_event(self, event: Event) -> None:
        """Look at what was judged, and notify the listener."""
        for verdict in () if event.applied is None else event.applied.judged:
            good = verdict.state is DagRunState.SUCCESS and not (self._count_failed_tasks and verdict.failed_inside)
            if good:
                self._bad.pop(verdict.id, None)
            else:
                self._bad[verdict.id] = verdict.state
        self._listener.on_event(event)

    @property
    def exit_code(self) -> int:
        """That of a backfill over these runs."""
        if DagRunState.DEADLOCKED in self._bad.values():
            return _DEADLOCKED
        return _FAILED if self._bad else 0


def _drive(
    metastore: Metastore,
    settings: Settings,
    executor: ReloadingExecutor,
    verdicts: _Verdicts,
    listener: SchedulerListener,
    interrupts: Interrupts,
    until_idle: bool,
) -> SchedulerEnd:
    identity = own_identity()
    job_id = metastore.start_job(JobKind.SCHEDULER, identity, None, None, settings.lease_seconds, new_write_id())
    driver = JobDriver(
        metastore,
        executor,
        interrupts,
        identity,
        settings.lease_seconds,
        plenty=2 * settings.workers + 2,
        on_event=verdicts.on_event if until_idle else listener.on_event,
        on_failure=listener.on_failure,
        home=settings.home,
        watch=watching_interrupts(listener, interrupts),
        read_dags=executor.bag,
        trouble=executor.trouble_of_job,
    )
    return drive_job(metastore, job_id, scheduler_loop(job_id, intervals_of(settings), until_idle), driver.perform)
