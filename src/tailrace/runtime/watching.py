"""Waits for the executor while it looks, in short steps, whether something has happened that tries wait for.

A look is one cheap query. Whoever is woken reads everything anew, so the more that costs, the less often it is looked:
a job whose tries wait for a busy DAG must not do nothing else.
"""

import time

from tailrace.effects.requests import WaitResult, Watch
from tailrace.execution.executors.port import Executor
from tailrace.metastore.plans.awaited import has_changed
from tailrace.metastore.store import Metastore
from tailrace.runtime.signals import Interrupts

_LOOK_SECONDS = 0.2
#: A step of the loop may be woken after so many times what the last one took.
_REST = 25.0


class Watching:
    """The waiting of one job."""

    def __init__(self, metastore: Metastore, executor: Executor, interrupts: Interrupts) -> None:
        self._metastore, self._executor, self._interrupts = metastore, executor, interrupts
        self._woke = time.monotonic()

    def wait(self, seconds: float, watch: Watch | None) -> WaitResult:
        """What the executor says, or that something has changed; after so many seconds at most."""
        try:
            return self._executor.wait(seconds) if watch is None else self._watch(seconds, watch)
        finally:
            self._woke = time.monotonic()

    def _watch(self, seconds: float, watch: Watch) -> WaitResult:
        began, interrupted = time.monotonic(), self._interrupts.count
        pause = max(_LOOK_SECONDS, _REST * (began - self._woke))
        while True:
            left = began + seconds - time.monotonic()
            waited = self._executor.wait(max(0.0, min(pause, left)))
            if waited.finished or waited.worker_lost or self._interrupts.count > interrupted or left <= pause:
                return waited
            if self._metastore.read(lambda tx: has_changed(tx, watch.dags, watch.since)):
                return WaitResult(busy=waited.busy, changed=True)
