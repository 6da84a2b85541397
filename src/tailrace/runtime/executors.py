"""Makes the executor that the settings ask for, over one zygote."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tailrace.effects.tries import FailedTry
from tailrace.execution.executor import ForkingExecutor
from tailrace.execution.identity import require_proc
from tailrace.execution.isolating import IsolatingExecutor
from tailrace.execution.local import LocalExecutor
from tailrace.execution.zygote import ZygoteHandle
from tailrace.metastore.store import Metastore
from tailrace.model.keys import TryKey
from tailrace.runtime.secrets import SecretSettings
from tailrace.runtime.settings import Settings
from tailrace.runtime.signals import Interrupts
from tailrace.runtime.worker import WorkerMain


def start_executor(
    metastore: Metastore,
    settings: Settings,
    interrupts: Interrupts,
    notify: Callable[[str], None],
    on_failure: Callable[[FailedTry], None],
    zygote: ZygoteHandle,
    in_worker: Callable[[], None] = lambda: None,
) -> ForkingExecutor:
    """An executor whose tasks are forked by ``zygote``; waits until that has loaded the DAG files.

    Raises EnvironmentBroken where none can work.

    ``notify`` is called with what a person should know of the workers, ``on_failure`` with each try that failed;
    ``in_worker`` is called in each worker as it begins.
    """
    require_proc()
    worker = WorkerMain(metastore, settings.home, settings.lease_seconds, SecretSettings.of(settings))
    common: dict[str, Any] = {
        "before_fork": metastore.release,
        "wakeup": interrupts.wakeup,
        "grace_seconds": settings.grace_seconds,
        "notify": notify,
        "on_failure": on_failure,
        "home": settings.home,
    }

    def begin(disown_others: Callable[[], None]) -> None:
        in_worker()
        disown_others()

    def main(lost_together: Callable[[TryKey], None], disown_others: Callable[[], None]) -> LocalExecutor:
        first = partial(begin, disown_others)
        return LocalExecutor(settings.workers, zygote, worker, in_worker=first, lost_together=lost_together, **common)

    def single(its_own: ZygoteHandle, disown_others: Callable[[], None]) -> LocalExecutor:
        return LocalExecutor(1, its_own, worker, in_worker=partial(begin, disown_others), once=True, **common)

    files = {dag_id: spec.file for dag_id, spec in zygote.loaded().specs.items()}
    return IsolatingExecutor(
        main,
        start_zygote=lambda dag_id: zygote.another(files[dag_id]),
        make_single=single,
        notify=notify,
    )
