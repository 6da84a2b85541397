"""A worker's side of its task's process: parks it, lets it go, listens to it, kills it. Performs those effects.

The next process is parked while the current one runs, so that a try never waits for a fork. Where no code of the DAG's
author runs in a process, it is kept and serves the next such try.
"""

import math
import select
import signal
import socket
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path

from tailrace.effects.requests import (
    AwaitTask,
    DropTask,
    KillTask,
    Parked,
    ParkTask,
    ReplyToTask,
    StartTask,
    StillRunning,
    StopTask,
)
from tailrace.effects.tries import TaskRequest, TryOutcome
from tailrace.execution.logs.log_times import LogTimer
from tailrace.execution.messages.channel import ProtocolError
from tailrace.execution.messages.tries import (
    CANNOT_TELL,
    is_question,
    order_for,
    outcome_in,
    question_in,
    reply_to,
    time_limit,
    waiting_in,
    without_outcome,
)
from tailrace.execution.system.identity import end_groups, identity_from, kill_group, own_identity, start_time
from tailrace.execution.system.lease_clock import LeaseClock
from tailrace.execution.system.running_marks import RunningMark, alone
from tailrace.execution.system.shortage import shortage_text
from tailrace.execution.workers import running_try
from tailrace.execution.workers.running_try import Orders, Run, need_not_end
from tailrace.execution.zygote.client import Child, ZygoteClient
from tailrace.execution.zygote.handle import ZygoteGone
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec

#: A process that has nothing more to say, although it should end, gets this long.
_LINGER_SECONDS = 5.0
#: One that hangs up has this long to be reported as ended, before it is looked whether it lives.
_HUNG_UP_SECONDS = 0.3
#: A process that cannot be parked within this is given up; the try stays queued.
PARK_SECONDS = 60.0
#: A killed process has this long to be reported as ended.
KILL_SECONDS = 10.0

_NO_PROCESS = "no process can be had for a task"


class TaskRunner:
    """One worker's processes. ``reusable``: (dag id, task id) of tasks that one process may serve after the other.

    Whoever is asked to end, by SIGTERM to its group, has ``grace_seconds`` until that is killed. With a ``home``
    it is recorded when the log of a try that runs for a while grows.
    """

    def __init__(
        self,
        zygote: socket.socket,
        specs: Mapping[str, DagSpec],
        reusable: Set[tuple[str, str]],
        grace_seconds: float,
        mark: RunningMark | None = None,
        home: Path | None = None,
    ) -> None:
        self.refusal = ""  # why the last process that was asked for could not be had
        self._mark = mark or alone()
        self._home = home
        self._zygote = ZygoteClient(zygote)
        self._grace_seconds = grace_seconds
        self._specs = specs
        self._reusable = reusable
        self._worker = own_identity()
        self._next: Child | None = None  # parked, and has served nobody yet
        self._kept: Child | None = None  # has served, and waits for another try
        self._offered: Child | None = None  # one of these two: parked for the try that is being claimed
        self._run: Run | None = None
        self._lease = LeaseClock()
        self._deadline_sent = True

    def park(self, effect: ParkTask) -> Parked | None:
        """A process that waits for its order; None when there is no such task, or no process to be had.

        Raises ZygoteGone.
        """
        key = effect.submission.key.task_instance
        spec = self._specs.get(key.dag_id)
        task = None if spec is None else spec.by_id.get(key.task_id)
        if spec is None or task is None:
            self.refusal = f"{key.dag_id}.{key.task_id} is not in the DAG files as this job has loaded them"
            return None
        self._offered = self._waiting_child((key.dag_id, key.task_id) in self._reusable)
        if self._offered is None:
            return None
        self._lease.begin()  # the claim comes next
        identity = identity_from(self._offered.pid, self._offered.start)
        return Parked(self._worker, identity, task, spec.code_hash)

    def drop(self, effect: DropTask) -> None:
        """The claim was refused, or needs no process: the parked one waits for the next."""

    def start(self, effect: StartTask) -> None:
        """Send the order: user code runs from here, and never without a deadline that the zygote knows."""
        assert self._offered is not None, "a try is started only after its process was parked"
        child, self._offered = self._offered, None
        self._kept = None if child is self._kept else self._kept
        self._next = None if child is self._next else self._next
        key = effect.claim.task_instance
        again = effect.calls is None and (key.dag_id, key.task_id) in self._reusable
        seconds, late = time_limit(effect)
        now = time.monotonic()
        claim, home = effect.claim, None if effect.calls else self._home
        timer = None if home is None else LogTimer(home, claim.key, now, goes_on=claim.reschedules > 0)
        self._run = Run(child, again, late, None if seconds is None else now + seconds, timer)
        self._mark.runs(True)
        self._lease.seconds = effect.lease_seconds
        self._deadline_sent = self._lease.enough() <= child.deadline <= self._lease.deadline()
        try:
            self._prepare(self._run)
            if self._lease.is_late():  # the lease may be over before the task begins: then it must not
                self._run.ending = running_try.HELD_UP
                self._zygote.signal(child, signal.SIGKILL)
                return
        except ZygoteGone:
            return  # ``wait`` finds it as well
        child.end.send(order_for(effect.claim, seconds, self._grace_seconds, again, effect.calls))

    def wait(self, effect: AwaitTask, orders: Orders) -> TryOutcome | TaskRequest | StillRunning:
        """Listen until the task ends or asks, or its lease is due for renewal (a third of it has passed)."""
        assert self._run is not None, "only a started try is waited for"
        run = self._run
        try:
            return self._wait(run, self._lease.since + effect.seconds, orders)
        except ZygoteGone:
            return self._lost(run)

    def _wait(self, run: Run, due: float, orders: Orders) -> TryOutcome | TaskRequest | StillRunning:
        self._prepare(run)
        self._follow_orders(run, orders)
        if run.is_replied:  # it may have the next question ready, and the next: its time goes on all the same
            run.is_replied = False
            self._enforce(run, time.monotonic())
            run.time_log(time.monotonic())
            if time.monotonic() >= due:
                return self._due(run)
        while True:
            message = self._receive(run)
            if message is not None:
                return message
            now = time.monotonic()
            if now >= due:
                return self._due(run)
            self._enforce(run, now)
            run.time_log(now)
            first = now if run.has_sent_more else run.next_moment(due)
            run.has_sent_more = False
            if self._listen(run, orders, first - now):
                self._follow_orders(run, orders)

    def reply(self, effect: ReplyToTask) -> None:
        """Send a running task the values it asked for."""
        assert self._run is not None, "only a running task asks"
        self._run.child.end.send(reply_to(self._run.asked, effect.reply))
        self._run.is_replied = True

    def stop(self, effect: StopTask) -> None:
        """Ask the running process's whole group to end; ``wait`` returns when it has."""
        if self._run is not None:
            self._end(self._run, running_try.STOPPED_WITH_RUN if effect.with_run else running_try.STOPPED)

    def kill(self, effect: KillTask) -> None:
        """Kill the running process's whole group and wait for its end."""
        run = self._run
        if run is None:
            return
        with suppress(ZygoteGone):
            self._zygote.signal(run.child, signal.SIGKILL)
            give_up = time.monotonic() + KILL_SECONDS
            while not run.child.gone and (left := give_up - time.monotonic()) > 0:
                self._zygote.listen(left)
        if not run.child.gone:  # the zygote does not act: then it is killed from here
            kill_group(identity_from(run.child.pid, run.child.start))
        self._close(run)

    def fileno(self) -> int:
        """The descriptor on which the zygote's messages arrive."""
        return self._zygote.fileno()

    def listen(self) -> None:
        """Receive what messages there are. Raises ZygoteGone."""
        self._zygote.listen(0)

    def rest(self) -> None:
        """Nothing is there to be run: a kept process may wait for as long as it takes."""
        self._put_off(self._kept, math.inf)

    def close(self) -> None:
        """Hang up on the zygote: it ends whatever process of this worker is left."""
        self._zygote.close()
        self._forget(self._next)
        self._forget(self._kept)
        if self._run is not None:
            self._run.child.end.close()

    # --- while a task runs ---------------------------------------------------------------------------------

    def _prepare(self, run: Run) -> None:
        """Tell the zygote how long to believe in this worker, and have it park the next process meanwhile."""
        deadline = None
        if not self._deadline_sent:
            deadline = self._lease.deadline()
            self._deadline_sent = True
        if self._next is None and not run.again:
            with suppress(OSError):  # it will be asked for again when it is needed
                self._next = self._zygote.park(run.child, deadline)
                return
        if deadline is not None:
            self._zygote.deadline(run.child, deadline)

    def _listen(self, run: Run, orders: Orders, seconds: float) -> bool:
        """Wait for any message; returns whether the job has sent one."""
        poll = select.poll()
        end = run.child.end
        if end.sending:
            poll.register(end.fileno(), select.POLLOUT)
        elif run.outcome is None and not end.hung_up:
            poll.register(end.fileno(), select.POLLIN)
        poll.register(self._zygote.fileno(), select.POLLIN)
        if (job := orders.fileno()) >= 0:
            poll.register(job, select.POLLIN)
        ready = dict(poll.poll(max(0.0, seconds) * 1000 + 1))
        if self._zygote.fileno() in ready:
            self._zygote.listen(0)
        if end.sending and end.fileno() in ready:
            end.go_on()
        return job in ready

    def _receive(self, run: Run) -> TryOutcome | TaskRequest | None:
        """What the task sends, or how it ended. Its own outcome counts, if it came before the order to end."""
        child = run.child
        gone = child.gone  # looked at first: what a process sent, it sent before its end was known
        if gone:
            child.end.give_up()
        try:
            while run.outcome is None and not child.end.hung_up and (message := child.end.receive()) is not None:
                if is_question(message):
                    run.asked, query = question_in(message)
                    return query
                if "waiting" in message:
                    run.waiting, run.has_sent_more = waiting_in(message), True
                    break
                run.outcome = outcome_in(message)
                run.again = run.again and message["again"] is True
        except ProtocolError as wrong:
            child.end.stop_receiving()
            run.ending = run.ending or TryOutcome(OutcomeKind.FAILED, f"its process sent its worker {wrong}")
            run.kill_at = 0.0
        outcome = run.outcome
        if outcome is not None and run.ending is None and need_not_end(run, outcome):
            self._close(run)
            return outcome
        if gone:
            self._close(run)
            return run.ending or outcome or self._without_outcome(child)
        if outcome is not None and run.again:
            run.kill_at = 0.0  # it was being ended, and now waits for another try that will not come
        elif outcome is not None and run.kill_at is None:
            run.kill_at = time.monotonic() + _LINGER_SECONDS  # it has nothing more to say: it must end
        elif child.end.hung_up and run.hung_up_at is None:
            run.hung_up_at = time.monotonic() + _HUNG_UP_SECONDS
        return None

    def _due(self, run: Run) -> StillRunning:
        self._lease.begin()  # the renewal comes next
        self._deadline_sent = False
        return StillRunning(run.waiting)

    def _waiting_child(self, again: bool) -> Child | None:
        """A process that waits for its order: one that has served, where it may (``again``). None: there is none."""
        self._zygote.listen(0)
        self._put_off(self._kept, self._lease.enough() if again else math.inf)
        if again and self._kept is not None:
            return self._kept
        if self._next is not None and (self._next.gone or not self._next.end.is_silent):
            self._forget(self._next)  # it died while it waited: its end hangs up before the zygote can report it
        self.refusal = ""
        try:
            waiting = self._next = self._next or self._zygote.park()
        except OSError as trouble:
            self.refusal = shortage_text(_NO_PROCESS, trouble.errno or 0)
            return None
        give_up = time.monotonic() + PARK_SECONDS
        while not waiting.pid:
            left = give_up - time.monotonic()
            if waiting.gone or left <= 0:
                self._forget(waiting)
                self.refusal = shortage_text(_NO_PROCESS, waiting.refused) if waiting.gone else f"{_NO_PROCESS} in time"
                return None
            self._zygote.listen(left)
        return waiting

    def _put_off(self, kept: Child | None, until: float) -> None:
        """Lift a waiting process's deadline, unless it is not before then; give up one it may be too late for."""
        if kept is None:
            return
        too_late = kept.deadline < self._lease.too_near()
        if kept.gone or too_late or not kept.end.is_silent:  # what it sends now must not be taken for the next try's
            self._forget(kept)
        elif kept.deadline < until:
            self._zygote.deadline(kept, math.inf)

    def _forget(self, child: Child | None) -> None:
        """Hang up on a process that waits: it ends."""
        if child is not None:
            child.end.close()
            self._kept = None if child is self._kept else self._kept
            self._next = None if child is self._next else self._next

    def _enforce(self, run: Run, now: float) -> None:
        if run.kill_at is not None and now >= run.kill_at:
            self._zygote.signal(run.child, signal.SIGKILL)
            run.kill_at = now + _LINGER_SECONDS
        elif run.hung_up_at is not None and now >= run.hung_up_at and run.ending is None:
            run.hung_up_at = now + _LINGER_SECONDS
            if start_time(run.child.pid) == run.child.start:
                self._end(run, CANNOT_TELL)
        elif run.late is not None and run.timeout_at is not None and now >= run.timeout_at and run.outcome is None:
            run.timeout_at = None
            self._end(run, run.late)

    def _follow_orders(self, run: Run, orders: Orders) -> None:
        """What the job wants of a running task."""
        if orders.terminate():
            self._end(run, running_try.TERMINATED)
            if orders.at_once and not run.killed:
                run.kill_at, run.killed = 0.0, True

    def _end(self, run: Run, outcome: TryOutcome) -> None:
        """Ask the group to end, and kill it when the grace is over."""
        if run.ending is None:
            run.ending = outcome
            self._zygote.signal(run.child, signal.SIGTERM)
            run.kill_at = time.monotonic() + self._grace_seconds

    def _without_outcome(self, child: Child) -> TryOutcome:
        """Killed for its deadline, by the zygote or by a job that found the lease run out: lost, not its own fault."""
        if child.overdue or (self._lease.is_late() and child.exit_code == -signal.SIGKILL):
            return running_try.HELD_UP
        return without_outcome(child.exit_code)

    def _lost(self, run: Run) -> TryOutcome:
        """The zygote has died, and the kernel has killed what ran in it; what the task had reported by then still
        counts.

        This worker's mark stays set: the others look at it to know whether they were alone.
        """
        child, self._run = run.child, None
        run.close()
        end_groups([identity_from(child.pid, child.start)])
        with suppress(ProtocolError):
            while run.outcome is None and (message := child.end.receive()) is not None:
                run.outcome = None if is_question(message) or "waiting" in message else outcome_in(message)
        child.end.close()
        if (known := run.ending or run.outcome) is not None:
            return known
        if self._mark.is_alone:
            return TryOutcome(OutcomeKind.LOST, "the process that starts tasks died while this try alone ran in it")
        text = "the process that starts tasks died while this try and others ran in it"
        return TryOutcome(OutcomeKind.LOST_TOGETHER, text)

    def _close(self, run: Run) -> None:
        self._run = None
        run.close()
        self._mark.runs(False)
        # Whoever has read this try's lease as run out may kill this group at any time: it must not serve another then.
        if (
            run.again
            and run.outcome is not None
            and run.ending is None
            and not run.child.gone
            and not self._lease.is_late()
        ):
            self._kept = run.child
        else:
            run.child.end.close()
