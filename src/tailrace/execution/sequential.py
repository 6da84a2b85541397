"""SequentialExecutor: one try at a time, in the job's own process; only the task itself has a process of its own.

The worker loop is stepped inside ``wait``: while a task runs, the wait ends on time all the same, so that the job's
heartbeat goes on.
"""

import heapq
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

from tailrace.effects.requests import (
    AnswerTask,
    AwaitTask,
    DropTask,
    Effect,
    KillTask,
    Loop,
    NextTry,
    Parked,
    ParkTask,
    StartTask,
    StopTask,
    TellExecutor,
    WaitResult,
)
from tailrace.effects.tries import Submission
from tailrace.execution.port import TaskPort
from tailrace.execution.shortage import is_shortage, words
from tailrace.execution.zygote import ZygoteGone, ZygoteHandle
from tailrace.execution.zygote_keeping import AGAIN_SECONDS, ZygoteKeeper
from tailrace.model.keys import TryKey


class _JobWithin:
    """The job's orders, when the job is this very process: a signal ends the wait, then the job decides."""

    def __init__(self, wakeup: int) -> None:
        self._wakeup = wakeup
        self.to_terminate = False
        self.at_once = False
        self.come_back = False

    def fileno(self) -> int:
        return self._wakeup

    def terminate(self) -> bool:
        if self._wakeup >= 0 and select.select([self._wakeup], [], [], 0)[0]:
            os.read(self._wakeup, 512)
            self.come_back = True
        return self.to_terminate


class SequentialExecutor:
    """Runs tries one after another.

    ``loop`` is a worker loop, ``perform`` performs those of its effects that need the metastore, and passes the rest to
    the callable it is given. ``wakeup`` is a descriptor whose readiness ends a wait; -1 for none.
    """

    def __init__(
        self,
        zygote: ZygoteHandle,
        loop: Loop[None],
        perform: Callable[[Callable[[Effect[Any]], Any]], Callable[[Effect[Any]], Any]],
        *,
        wakeup: int,
        grace_seconds: float,
        told: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._keeper = ZygoteKeeper(zygote, 1, told)
        self._grace_seconds = grace_seconds
        self._port: TaskPort | None = None
        self._refused = ""
        self._not_begun: Submission | None = None
        self._not_before = 0.0  # after a refusal the next try waits a moment
        self._perform = perform(self._perform_own)
        self._loop = loop
        self._orders = _JobWithin(wakeup)
        self._waiting: list[tuple[int, int, Submission]] = []
        self._count = 0
        self._in_hand: set[TryKey] = set()
        self._finished = 0
        self._effect: Effect[Any] = next(loop)
        self._own: dict[type, Callable[[Any], Any]] = {
            TellExecutor: self._tell,
            ParkTask: self._park,
            DropTask: lambda effect: self._its_port.drop(effect),
            StartTask: lambda effect: self._its_port.start(effect),
            AnswerTask: lambda effect: self._its_port.answer(effect),
            StopTask: lambda effect: self._its_port.stop(effect),
            KillTask: lambda effect: self._its_port.kill(effect),
        }

    def _connected(self) -> TaskPort:
        report = self._keeper.report
        place = self._keeper.company.place(0)
        return TaskPort(self._keeper.zygote.connect(), report.specs, report.reusable, self._grace_seconds, place)

    @property
    def _its_port(self) -> TaskPort:
        assert self._port is not None, "a task is parked by its port first"
        return self._port

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries; one already in hand is ignored."""
        for submission in submissions:
            if submission.key not in self._in_hand:
                self._in_hand.add(submission.key)
                self._push(submission)

    def _push(self, submission: Submission) -> None:
        heapq.heappush(self._waiting, (-submission.priority, self._count, submission))
        self._count += 1

    def wait(self, seconds: float) -> WaitResult:
        """Run what is waiting; come back when a try has ended, a signal came, or ``seconds`` have passed."""
        self._finished, self._orders.come_back = 0, False
        until = time.monotonic() + seconds
        while not self._finished and not self._orders.come_back:
            if isinstance(self._effect, AwaitTask):
                if not self._step_task(self._effect, until):
                    break
            elif not isinstance(self._effect, NextTry):
                self._step(self._perform(self._effect))
            elif self._is_able():
                if not self._waiting:
                    self._sleep(until)
                    break
                self._step(heapq.heappop(self._waiting)[2])
            else:
                self._sleep(min(until, time.monotonic() + AGAIN_SECONDS / 2))
                break
        self._keeper.say(self.trouble)
        return WaitResult(finished=self._finished, busy=len(self._in_hand))

    @property
    def trouble(self) -> str:
        """What keeps tries from being begun just now, in one line; empty: nothing."""
        return self._keeper.lacking or self._refused

    def _is_able(self) -> bool:
        """Whether a try can be begun: the zygote is there. If it has died, another is seen to."""
        try:
            if self._port is None:
                if not self._keeper.is_ready():
                    return False
                self._port = self._connected()
                self._keeper.lacking = ""
            self._port.listen()
            if not self._waiting:
                self._port.rest()
        except ZygoteGone:
            self._port = None
            self._keeper.hung_up()
        except OSError as trouble:
            if not is_shortage(trouble):
                raise
            self._keeper.lacks(words("the process that starts tasks cannot be reached", trouble.errno or 0))
        return self._port is not None and time.monotonic() >= self._not_before

    def _park(self, effect: ParkTask) -> Parked | None:
        try:
            parked = self._its_port.park(effect)
        except ZygoteGone:  # nothing was claimed: it is offered again once there is another
            self._not_begun = effect.submission
            return None
        self._refused = "" if parked is not None else self._its_port.refusal
        if self._refused:
            self._not_begun, self._not_before = effect.submission, time.monotonic() + AGAIN_SECONDS
        return parked

    def drain(self) -> None:
        """Forget what has not begun."""
        for _, _, submission in self._waiting:
            self._in_hand.discard(submission.key)
        self._waiting.clear()

    def terminate(self, *, at_once: bool = False) -> None:
        """End the running task; it is reported lost."""
        self._orders.to_terminate = True
        self._orders.at_once = at_once

    def stop(self) -> None:
        """Nothing outlives this executor but a task in hand, which the zygote ends with it."""
        self._loop.close()
        if self._port is not None:
            self._port.close()

    def disown(self) -> None:
        """Forks nothing that would have to."""

    def _step(self, answer: Any) -> None:
        self._effect = self._loop.send(answer)

    def _step_task(self, effect: AwaitTask, until: float) -> bool:
        """Listen to the running task until then; False when the time is over and there is nothing to tell the loop."""
        news = self._its_port.wait(effect, self._orders, until)
        if news is None:
            return False
        self._step(news)
        return True

    def _sleep(self, until: float) -> None:
        descriptor = self._orders.fileno()
        watched = [descriptor] if descriptor >= 0 else []
        if select.select(watched, [], [], max(0.0, until - time.monotonic()))[0]:
            self._orders.terminate()

    def _perform_own(self, effect: Effect[Any]) -> Any:
        return self._own[type(effect)](effect)

    def _tell(self, effect: TellExecutor) -> None:
        if self._not_begun is not None:
            self._push(self._not_begun)
            self._not_begun = None
            return
        self._in_hand.discard(effect.submission.key)
        self._finished += 1
        self._keeper.a_try_ended()
