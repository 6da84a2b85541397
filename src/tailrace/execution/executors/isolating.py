"""Runs alone what was there twice when a zygote died with several tries: one by one, each in a zygote of its own.

Such a try may be what kills the zygote, or not. Run alone it either ends as any other, or its zygote dies again: then
it is the reason, and its loss counts. All other tries go on meanwhile.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from tailrace.effects.requests import WaitResult
from tailrace.effects.tries import Submission
from tailrace.errors import EnvironmentBroken
from tailrace.execution.executors.local import LocalExecutor
from tailrace.execution.executors.port import ForkingExecutor
from tailrace.execution.zygote.handle import ZygoteHandle
from tailrace.model.keys import TaskInstanceKey, TryKey

#: Present at so many deaths of a zygote with several tries, a task instance runs apart.
_DEATHS = 2
#: While something runs apart, waits are cut into pieces of so many seconds.
_PIECE = 0.1
#: A zygote that cannot be started is tried again after so many seconds.
_AGAIN_SECONDS = 1.0


class IsolatingExecutor:
    """An executor over another, ``make_main(lost_together, in_worker)``, which reports each try that was lost so.

    ``start_zygote(dag_id)`` begins to load one DAG's file in a zygote of its own; ``make_single(zygote, in_worker)``
    makes an executor over it for one try. What is ``in_worker`` must be called in each worker as it begins.
    """

    def __init__(
        self,
        make_main: Callable[[Callable[[TryKey], None], Callable[[], None]], LocalExecutor],
        *,
        start_zygote: Callable[[str], ZygoteHandle],
        make_single: Callable[[ZygoteHandle, Callable[[], None]], ForkingExecutor],
        notify: Callable[[str], None],
    ) -> None:
        self._start_zygote = start_zygote
        self._make_single = make_single
        self._notify = notify
        self._deaths: Counter[TaskInstanceKey] = Counter()
        self._waiting: deque[Submission] = deque()
        self._in_hand: set[TryKey] = set()  # waiting, or running apart
        self._zygote: ZygoteHandle | None = None  # for the first of those that wait
        self._single: ForkingExecutor | None = None  # once that has loaded
        self._again_at = 0.0
        self._short = ""
        self._main = make_main(self._lost_together, self._disown_single)

    def _lost_together(self, key: TryKey) -> None:
        self._deaths[key.task_instance] += 1
        if self._deaths[key.task_instance] == _DEATHS:
            self._notify(f"{key.task_instance} was lost {_DEATHS} times with others: it runs alone from here on")

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries; those that may be dangerous to others are kept apart."""
        if any(submission.key.try_number > 1 for submission in submissions):
            self._main.catch_up()  # the last try of one of them may have been lost with others
        others = []
        for submission in submissions:
            if self._deaths[submission.key.task_instance] < _DEATHS:
                others.append(submission)
            elif submission.key not in self._in_hand:
                self._in_hand.add(submission.key)
                self._waiting.append(submission)
        self._main.submit(others)

    def wait(self, seconds: float) -> WaitResult:
        """Wait for an event of either."""
        if not self._waiting and self._zygote is None:
            return self._main.wait(seconds)
        until = time.monotonic() + seconds
        while True:
            main = self._main.wait(min(_PIECE, max(0.0, until - time.monotonic())))
            finished, lost = self._go_on()
            waited = WaitResult(
                finished=main.finished + finished,
                worker_lost=main.worker_lost or lost,
                busy=main.busy + len(self._in_hand),
            )
            if waited.finished or waited.worker_lost or time.monotonic() >= until:
                return waited

    @property
    def trouble(self) -> str:
        """What keeps tries from being begun just now."""
        return self._short or self._main.trouble

    def _go_on(self) -> tuple[int, bool]:
        """Take the next step with what runs apart; returns how many tries have ended, and whether a worker did."""
        if self._single is not None:
            waited = self._single.wait(0)
            if not waited.busy:
                self._end_single()
            return waited.finished, waited.worker_lost
        if self._waiting and time.monotonic() >= self._again_at:
            self._begin(self._waiting[0])
        return 0, False

    def _begin(self, submission: Submission) -> None:
        try:
            if self._zygote is None:
                self._zygote = self._start_zygote(submission.key.task_instance.dag_id)
            if not self._zygote.is_loaded():
                return
            self._single = self._make_single(self._zygote, self._main.disown)
        except EnvironmentBroken as trouble:
            self._short, self._again_at = str(trouble), time.monotonic() + _AGAIN_SECONDS
            self._end_single()
            return
        self._short = ""
        self._waiting.popleft()
        self._in_hand.intersection_update(each.key for each in self._waiting)
        self._in_hand.add(submission.key)
        self._single.submit([submission])

    def _end_single(self) -> None:
        if self._single is not None:
            self._single.stop()
            self._in_hand = {each.key for each in self._waiting}
            self._single = None
        if self._zygote is not None:
            self._zygote.stop()
            self._zygote = None

    def drain(self) -> None:
        """Forget what has not begun."""
        self._main.drain()
        for submission in self._waiting:
            self._in_hand.discard(submission.key)
        self._waiting.clear()
        if self._single is not None:
            self._single.drain()
        else:
            self._end_single()

    def terminate(self, *, at_once: bool = False) -> None:
        """End what runs."""
        self._main.terminate(at_once=at_once)
        if self._single is not None:
            self._single.terminate(at_once=at_once)

    def stop(self) -> None:
        """See what runs through, and end."""
        self._waiting.clear()
        self._main.stop()
        self._end_single()

    def disown(self) -> None:
        """In a forked process that is none of ours: close what it inherited."""
        self._main.disown()
        self._disown_single()

    def _disown_single(self) -> None:
        if self._single is not None:
            self._single.disown()
        if self._zygote is not None:
            self._zygote.disown()
