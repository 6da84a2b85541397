"""SequentialExecutor: one try at a time, in the job's own process; only the task itself has a process of its own.

The worker loop is stepped inside ``wait``: while a task runs, the wait ends on time all the same, so that the job's
heartbeat goes on.
"""

import heapq
import os
import select
from collections.abc import Callable, Sequence
from typing import Any

from tailrace.effects.asks import (
    AnswerTask,
    AwaitTask,
    DropTask,
    Effect,
    KillTask,
    Loop,
    NextTry,
    ParkTask,
    StartTask,
    StillRunning,
    TellExecutor,
    Woken,
)
from tailrace.effects.tries import Submission
from tailrace.execution.port import TaskPort
from tailrace.execution.zygote import ZygoteHandle
from tailrace.model.keys import TryKey


class SequentialExecutor:
    """Runs tries one after another.

    ``loop`` is a worker loop, ``perform`` performs those of its effects that need the metastore, and passes the rest to
    the callable it is given.
    """

    def __init__(
        self,
        zygote: ZygoteHandle,
        loop: Loop[None],
        perform: Callable[[Callable[[Effect[Any]], Any]], Callable[[Effect[Any]], Any]],
        *,
        wakeup: int,
    ) -> None:
        report = zygote.loaded()
        self._port = TaskPort(zygote.connect(), report.specs, report.isolation)
        self._perform = perform(self._perform_own)
        self._loop = loop
        self._wakeup = wakeup
        self._waiting: list[tuple[int, int, Submission]] = []
        self._count = 0
        self._in_hand: set[TryKey] = set()
        self._finished = 0
        self._terminate_read, self._terminate_write = os.pipe()
        self._effect: Effect[Any] = next(loop)
        self._own: dict[type, Callable[[Any], Any]] = {
            TellExecutor: self._tell,
            ParkTask: self._port.park,
            DropTask: self._port.drop,
            StartTask: self._port.start,
            AnswerTask: self._port.answer,
            KillTask: self._port.kill,
        }

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries; one already in hand is ignored."""
        for submission in submissions:
            if submission.key not in self._in_hand:
                self._in_hand.add(submission.key)
                heapq.heappush(self._waiting, (-submission.priority, self._count, submission))
                self._count += 1

    def wait(self, seconds: float) -> Woken:
        """Run what is waiting; come back when a try has ended or ``seconds`` have passed while one runs."""
        self._finished = 0
        if isinstance(self._effect, NextTry) and not self._waiting:
            if seconds > 0 and select.select([self._wakeup], [], [], seconds)[0]:
                os.read(self._wakeup, 512)
            return Woken(busy=len(self._in_hand))
        while not self._finished:
            if isinstance(self._effect, NextTry):
                if not self._waiting:
                    break
                self._step(heapq.heappop(self._waiting)[2])
            elif isinstance(self._effect, AwaitTask):
                news = self._port.wait(AwaitTask(min(seconds, self._effect.seconds)), self._terminate_read)
                if isinstance(news, StillRunning):
                    self._step(news)  # renew the lease; the job goes on between two such steps
                    return Woken(busy=len(self._in_hand))
                self._step(news)
            else:
                self._step(self._perform(self._effect))
        return Woken(finished=self._finished, busy=len(self._in_hand))

    def drain(self) -> None:
        """Forget what has not begun."""
        for _, _, submission in self._waiting:
            self._in_hand.discard(submission.key)
        self._waiting.clear()

    def terminate(self) -> None:
        """End the running task; it is reported lost."""
        os.write(self._terminate_write, b"!")

    def stop(self) -> None:
        """Nothing outlives this executor but a task in hand, which the zygote ends with it."""
        self._loop.close()
        os.close(self._terminate_read)
        os.close(self._terminate_write)
        self._port.close()

    def _step(self, answer: Any) -> None:
        self._effect = self._loop.send(answer)

    def _perform_own(self, effect: Effect[Any]) -> Any:
        return self._own[type(effect)](effect)

    def _tell(self, effect: TellExecutor) -> None:
        self._in_hand.discard(effect.submission.key)
        self._finished += 1
