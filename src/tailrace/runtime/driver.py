"""Performs a job's effects for real: the metastore's results, the executor's hints, signals, and what people see.

Every effect is performed in exactly one place here; nothing here decides anything.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from tailrace.effects.requests import (
    ApplyPlan,
    CreateDueRuns,
    DagBag,
    Effect,
    EndJob,
    Event,
    FindLost,
    Heartbeat,
    Loop,
    ReadAgenda,
    ReadDags,
    ReadOutbox,
    ReadSnapshot,
    ReapDeadJobs,
    ReleaseRuns,
    StopStarting,
    Submit,
    TerminateTasks,
    Wait,
    WaitResult,
)
from tailrace.effects.results import Applied
from tailrace.effects.tries import FailedTry
from tailrace.errors import EnvironmentBroken, InternalError
from tailrace.execution.executors.port import Executor
from tailrace.execution.system.identity import Life, end_groups, life_of
from tailrace.execution.workers.log_end import log_loss
from tailrace.execution.workers.loop import BAD_ENDS
from tailrace.jobs.lane_step import LoopIntervals
from tailrace.metastore.store import Metastore
from tailrace.model.keys import ProcessIdentity, TryKey
from tailrace.model.states import JobState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.explain_facts import JobTrouble
from tailrace.planning.plan import TaskTransition
from tailrace.planning.snapshot import Snapshot
from tailrace.runtime.opening import new_write_id
from tailrace.runtime.settings import Settings
from tailrace.runtime.signals import Interrupts
from tailrace.runtime.watching import Watching

R = TypeVar("R")

_GATHER_SECONDS = 0.04

#: A job that ends gives callbacks so much longer than they may take, so that what became of one that hangs is said.
_CALLBACK_SECONDS = 5.0


def intervals_of(settings: Settings) -> LoopIntervals:
    """How a job's loop goes, by the settings."""
    return LoopIntervals(
        heartbeat=settings.heartbeat_seconds,
        backfill_weight=settings.backfill_weight,
        max_map_length=settings.max_map_length,
        callbacks=settings.callback_timeout_seconds + settings.grace_seconds + _CALLBACK_SECONDS,
    )


def drive(loop: Loop[R], perform: Callable[[Effect[Any]], Any]) -> R:
    """Run a loop to its end, performing each effect it yields and sending its result back."""
    received: Any = None
    while True:
        try:
            effect = loop.send(received)
        except StopIteration as end:
            result: R = end.value
            return result
        received = perform(effect)


def drive_job(metastore: Metastore, job_id: int, loop: Loop[R], perform: Callable[[Effect[Any]], Any]) -> R:
    """Drive a job's loop; one that ends by an error is recorded as failed, so that its runs are free at once."""
    try:
        return drive(loop, perform)
    except BaseException:
        with suppress(EnvironmentBroken):  # a metastore that is gone: others mark the job dead
            metastore.end_job(job_id, JobState.FAILED)
        raise


class JobDriver:
    """Performs the effects of one job.

    ``on_failure`` is called with each try that this job found lost; the end of its log is written below ``home``.
    ``trouble`` returns what hinders the job now. ``plenty`` is how many tries in the executor's hand keep its workers
    busy for a while; ``watch`` is called before each wait, to show progress.
    """

    def __init__(
        self,
        metastore: Metastore,
        executor: Executor,
        interrupts: Interrupts,
        identity: ProcessIdentity,
        lease_seconds: float,
        *,
        plenty: int,
        on_event: Callable[[Event], None],
        on_failure: Callable[[FailedTry], None] = lambda failed: None,
        home: Path | None = None,
        watch: Callable[[WaitResult], None],
        read_dags: Callable[[], DagBag] = DagBag,
        trouble: Callable[[], JobTrouble] = JobTrouble,
    ) -> None:
        self._metastore = metastore
        self._executor = executor
        self._interrupts = interrupts
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._plenty = plenty
        self._on_failure = on_failure
        self._home = home
        self._watch = watch
        self._watching = Watching(metastore, executor, interrupts)
        self._last_wait = WaitResult()
        self._perform: dict[type, Callable[[Any], Any]] = {
            ReadSnapshot: self._read_snapshot,
            ApplyPlan: self._apply,
            Submit: lambda effect: executor.submit(effect.submissions),
            FindLost: self._find_lost,
            ReapDeadJobs: self._reap_dead_jobs,
            Heartbeat: lambda effect: metastore.heartbeat(effect.job_id, lease_seconds, trouble()),
            EndJob: lambda effect: metastore.end_job(effect.job_id, effect.state),
            Wait: self._wait,
            StopStarting: self._stop_starting,
            TerminateTasks: lambda effect: executor.terminate(at_once=effect.at_once),
            Event: lambda effect: on_event(effect),
            ReadAgenda: lambda effect: metastore.agenda(effect.job_id),
            CreateDueRuns: lambda effect: metastore.create_due_runs(effect.due, effect.job_id, new_write_id()),
            ReleaseRuns: lambda effect: metastore.release_runs(effect.job_id, effect.lane),
            ReadDags: lambda effect: read_dags(),
            ReadOutbox: lambda effect: metastore.events_left(effect.dags),
        }

    def perform(self, effect: Effect[Any]) -> Any:
        """Perform one effect and return its result."""
        handler = self._perform.get(type(effect))
        if handler is None:
            raise InternalError(f"no driver for the effect {type(effect).__name__}; this is a bug in Tailrace")
        return handler(effect)

    def _read_snapshot(self, effect: ReadSnapshot) -> Snapshot:
        return self._metastore.snapshot(effect.job_id, effect.dag, effect.backfill_id)

    def _apply(self, effect: ApplyPlan) -> Applied:
        applied = self._metastore.apply(effect.plan, new_write_id())
        for step in applied.won:
            if step.cause is Cause.LOST:
                self._lost(step)
        return applied

    def _lost(self, step: TaskTransition) -> None:
        """The try's worker is gone: nobody else reports it, nor writes the end of its log."""
        key = TryKey(step.key, step.before_try)
        word = "lost" if step.before is TaskInstanceState.RUNNING else "stopped"
        if self._home is not None:
            log_loss(self._home, key, word, step.reason)
        if step.after in BAD_ENDS:
            most = step.max_tries or step.before_try
            self._on_failure(FailedTry(key, step.after, True, step.reason, most))

    def _find_lost(self, effect: FindLost) -> frozenset[int]:
        """What is to be lost is ended first: a holder of this host never runs on beside the next try."""
        host = self._identity.host
        gone = {id: held for id, held in effect.held if life_of(held.worker) is Life.DEAD}
        over = [*gone.values(), *(held for _, held in effect.expired if held.worker.host == host)]
        end_groups([held.task for held in over if held.task is not None])
        return frozenset(gone)

    def _reap_dead_jobs(self, effect: ReapDeadJobs) -> int:
        dead = [
            job_id
            for job_id, identity in self._metastore.jobs_running_on(self._identity.host)
            if life_of(identity) is Life.DEAD
        ]
        for job_id in dead:
            self._metastore.mark_job_dead(job_id)
        return len(dead)

    def _stop_starting(self, effect: StopStarting) -> None:
        self._executor.drain()
        self._last_wait = replace(
            self._last_wait, busy=self._executor.wait(0).busy
        )  # people are shown what really runs

    def _wait(self, effect: Wait) -> WaitResult:
        self._watch(self._last_wait)
        waited = self._gathered(self._watching.wait(effect.seconds, effect.watch), at_once=not effect.seconds)
        self._last_wait = WaitResult(
            finished=waited.finished,
            worker_lost=waited.worker_lost,
            busy=waited.busy,
            drain=self._interrupts.drain,
            terminate=self._interrupts.terminate,
            kill=self._interrupts.kill,
            changed=waited.changed,
        )
        return self._last_wait

    def _gathered(self, waited: WaitResult, at_once: bool) -> WaitResult:
        """While the workers have plenty to do, wait a moment for more tries to end: one planning step serves them all.

        So too before a step that could follow ``at_once``: what it queued would only wait for a worker. With little
        left in hand, or anything urgent, the loop is woken without delay, so a chain of tasks loses no time.
        """
        until = time.monotonic() + _GATHER_SECONDS
        while waited.busy > self._plenty and not waited.worker_lost and not self._interrupts.count:
            left = until - time.monotonic()
            if left <= 0 or not (waited.finished or at_once):
                break
            more = self._executor.wait(left)
            finished = waited.finished + more.finished
            waited = replace(waited, finished=finished, worker_lost=more.worker_lost, busy=more.busy)
        return waited


class Throttled:
    """Calls something at most every so often, and never lets it take more than a twentieth of the time."""

    def __init__(self, call: Callable[[], None], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._due = 0.0

    def __call__(self) -> None:
        """Call if it is due."""
        began = time.monotonic()
        if began < self._due:
            return
        self._call()
        took = time.monotonic() - began
        self._due = began + max(self._seconds, 20 * took)
