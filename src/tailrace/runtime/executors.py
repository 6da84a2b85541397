"""Makes the executor that the settings ask for, over one zygote."""

from collections.abc import Callable
from functools import partial

from tailrace.execution.executor import LocalHand
from tailrace.execution.identity import require_proc
from tailrace.execution.local import LocalExecutor
from tailrace.execution.sequential import SequentialExecutor
from tailrace.execution.worker import worker_loop
from tailrace.execution.zygote import ZygoteHandle
from tailrace.metastore.store import Metastore
from tailrace.runtime.settings import Settings
from tailrace.runtime.signals import Interrupts
from tailrace.runtime.worker import WorkerMain, worker_performer


def start_executor(
    metastore: Metastore,
    settings: Settings,
    interrupts: Interrupts,
    said: Callable[[str], None],
    zygote: ZygoteHandle,
    in_worker: Callable[[], None] = lambda: None,
) -> LocalHand:
    """An executor whose tasks are forked by ``zygote``; waits until that has loaded the DAG files.

    Raises EnvironmentBroken where none can work.

    ``said`` hears what a person should know of the workers; ``in_worker`` is called in each of them as it begins.
    """
    require_proc()
    if settings.executor == "sequential":
        return SequentialExecutor(
            zygote,
            worker_loop(settings.lease_seconds),
            partial(worker_performer, metastore, settings.home),
            wakeup=interrupts.wakeup,
        )
    worker = WorkerMain(metastore, settings.home, settings.lease_seconds)
    return LocalExecutor(
        settings.workers,
        zygote,
        worker,
        before_fork=metastore.release,
        wakeup=interrupts.wakeup,
        in_worker=in_worker,
        told=said,
    )
