"""Makes the executor that the settings ask for, over one zygote."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tailrace.effects.events import FailedCallback
from tailrace.effects.tries import FailedTry
from tailrace.execution.executors.calling import CallingExecutor
from tailrace.execution.executors.isolating import IsolatingExecutor
from tailrace.execution.executors.local import LocalExecutor
from tailrace.execution.executors.port import ForkingExecutor
from tailrace.execution.system.identity import require_proc
from tailrace.execution.zygote.handle import ZygoteHandle
from tailrace.metastore.store import Metastore
from tailrace.model.keys import TryKey
from tailrace.runtime.caller import CallerMain
from tailrace.runtime.secrets import SecretSettings
from tailrace.runtime.settings import Settings
from tailrace.runtime.signals import Interrupts
from tailrace.runtime.worker import WorkerMain

#: So many processes call back beside the workers of a job: one that hangs holds up no other callback.
_CALLERS = 2


def start_executor(
    metastore: Metastore,
    settings: Settings,
    interrupts: Interrupts,
    notify: Callable[[str], None],
    on_failure: Callable[[FailedTry], None],
    on_callback: Callable[[FailedCallback], None],
    zygote: ZygoteHandle,
    in_worker: Callable[[], None] = lambda: None,
) -> ForkingExecutor:
    """An executor whose tasks are forked by ``zygote``; waits until that has loaded the DAG files.

    Raises EnvironmentBroken where none can work.

    ``notify`` is called with what a person should know of the workers, ``on_failure`` with each try that failed,
    ``on_callback`` with each callback that did; ``in_worker`` is called in each worker as it begins.
    """
    require_proc()
    worker = WorkerMain(metastore, settings.home, settings.lease_seconds, SecretSettings.of(settings))
    common: dict[str, Any] = {
        "before_fork": metastore.release,
        "wakeup": interrupts.wakeup,
        "grace_seconds": settings.grace_seconds,
        "notify": notify,
        "on_failure": on_failure,
        "on_callback": on_callback,
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

    specs = zygote.loaded().specs
    files = {dag_id: spec.file for dag_id, spec in specs.items()}

    def isolating(disown_callers: Callable[[], None]) -> IsolatingExecutor:
        return IsolatingExecutor(
            lambda lost_together, disown_others: main(lost_together, _both(disown_others, disown_callers)),
            start_zygote=lambda dag_id: zygote.another(files[dag_id]),
            make_single=lambda its_own, disown_others: single(its_own, _both(disown_others, disown_callers)),
            notify=notify,
        )

    if not any(spec.calls_back for spec in specs.values()):
        return isolating(lambda: None)
    caller = CallerMain(
        metastore,
        settings.home,
        settings.lease_seconds,
        settings.callback_timeout_seconds,
        SecretSettings.of(settings),
        frozenset(specs),
        settings.notify,
    )

    def callers(disown_others: Callable[[], None]) -> LocalExecutor:
        first = partial(begin, disown_others)
        return LocalExecutor(_CALLERS, zygote, caller, in_worker=first, once=True, **{**common, "wakeup": -1})

    return CallingExecutor(isolating, callers, may_begin=zygote.is_loaded, notify=notify)


def _both(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        then()

    return call
