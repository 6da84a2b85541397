"""A world: one metastore, one false clock, backfill jobs with their workers, and a chooser that says who goes next.

The loops are the product's; the executor between them is simulated, with submissions and reports that may be late,
lost, doubled or false. A crash takes a process away before or after the effect it is at; SIGSTOP does so for longer
than a lease; somebody may sit on the metastore's lock. What ended unfinished is typed again, sooner or later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Self

from tailrace.effects.requests import ApplyPlan, AwaitTask, Effect, Event, RenewLease, ReportOutcome, Wait
from tailrace.errors import TailraceError
from tailrace.jobs.backfill import BackfillEnd, backfill_loop
from tailrace.jobs.lane_step import Ending
from tailrace.jobs.scheduler import SchedulerEnd
from tailrace.metastore.store import LOCK_WAIT
from tailrace.simulator.breaking import StuckTransaction
from tailrace.simulator.choices import Chooser, Option
from tailrace.simulator.coverage import refusals
from tailrace.simulator.fingerprint import fingerprint
from tailrace.simulator.performing import UNSEEN, WRITING, Performer
from tailrace.simulator.person import Person
from tailrace.simulator.processes import Caller, Job, Process, Worker
from tailrace.simulator.scenario import LEASE_SECONDS, Scenario
from tailrace.simulator.starting import Crash, set_pool, type_command, typed_again
from tailrace.simulator.story import describe
from tailrace.simulator.world_state import JobLoop, WorldState

_DAY = timedelta(days=1)
#: How likely a seed lets somebody go who only waits, or types a command again, beside one who has something to do.
_IDLE_WEIGHT = 0.1
#: For how long a stuck process keeps the metastore's lock, in seconds: less and more than anybody waits for it.
_STUCK_SECONDS = (2.0, 15.0, 40.0)
#: For how long SIGSTOP lasts, in leases: just long enough, and for ever as others see it.
_STOPPED_LEASES = (1.05, 1.2, 1.3, 1.4, 1.6, 2.5)

#: Endings after which nobody types the command again; what is paused, only after it was resumed.
_DONE = (Ending.JUDGED, Ending.IDLE, Ending.PAUSED)


@contextmanager
def _noticing(who: str) -> Iterator[None]:
    """An error of the product is what a simulation looks for: it ends the history, not the simulator."""
    try:
        yield
    except TailraceError as error:
        raise Crash(f"{who}: {error}") from error


class World(WorldState):
    """Use as a context manager; ``step`` until ``over``."""

    def __init__(
        self,
        scenario: Scenario,
        chooser: Chooser,
        *,
        job_loop: JobLoop = backfill_loop,
        performer: type[Performer] = Performer,
        lock_wait: float = 30.0,
    ) -> None:
        super().__init__(scenario, chooser, job_loop=job_loop, lock_wait=lock_wait)
        self.performer = performer(self)

    def begin(self) -> None:
        """Make the pools and type the first command."""
        with _noticing("person"):
            for name, slots in self.scenario.pools:
                set_pool(self, name, slots)
            type_command(self, self.commands.pop(0), self.performer.create)
            for name, slots in self.scenario.narrowed:
                set_pool(self, name, slots)
        Person(self, self.performer.commanded)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.performer.close()
        self.release_lock()

    # --- time and choice -----------------------------------------------------------------------------------

    def step(self) -> None:
        """Let somebody go: perform the effect a process is at, or deliver something late, or let a fault happen."""
        self.chooser.arrive(partial(fingerprint, self))
        able = [process for process in self.processes if self._able(process)]
        options = [
            Option(process.name) if process.pressing else Option(process.name, pressing=False, weight=_IDLE_WEIGHT)
            for process in able
        ]
        if self.late:
            options.append(Option("network"))
        if self.commands and self.stuck is None:
            options.append(Option("person", pressing=not self.postponed, weight=_IDLE_WEIGHT))
        if self.pending and self.stuck is None:
            options.append(Option("pending act", weight=1.0 if self._bad_moment() else self.scenario.hurry))
        if not any(option.pressing for option in options):
            self._pass_time()
        if not options:
            return
        chosen = self.chooser.pick(options)
        if chosen < len(able):
            if able[chosen] not in self.processes:
                return  # its job gave up while time went by
            self._act(able[chosen])
            while able[chosen] in self.processes and self._unseen(able[chosen]):
                self._act(able[chosen])
        elif options[chosen].name == "network":
            to, submission = self.late.pop(0)
            to.append(submission)
        else:
            with _noticing("person"):
                if options[chosen].name == "pending act":
                    self.pending.pop(0)()
                else:
                    type_command(self, self.commands.pop(0), self.performer.create)
        if self.disrupt("clock jump", self.faults.clock_jump):
            self.clock.advance(LEASE_SECONDS * 1.5)
            self.record("clock", "jumps", "a lease and a half goes by")
        if self.stuck is None and self.disrupt("a transaction is left open", self.faults.open_transaction):
            seconds = _STUCK_SECONDS[self.choose_up_to("how long", len(_STUCK_SECONDS) - 1)]
            self.stuck = StuckTransaction.begun(self.file, self.clock.seconds + seconds)
            self.record("somebody", "HOLDS", f"the metastore's write lock, for {seconds:g} s")

    def _bad_moment(self) -> bool:
        """Whether somebody has just decided that something is over."""
        plans = [process.effect.plan for process in self.processes if isinstance(process.effect, ApplyPlan)]
        return any(plan.run_verdicts or plan.backfill_verdict for plan in plans)

    def _unseen(self, process: Process) -> bool:
        """Whether a search takes the effect that a process is at together with the one before."""
        if not self.chooser.merges:
            return False
        at_once = isinstance(process, Worker) and process.steps_left == 0 and not self.faults.interrupt
        return isinstance(process.effect, UNSEEN) or (at_once and isinstance(process.effect, AwaitTask))

    def _able(self, process: Process) -> bool:
        """Whether a process can go: it is not stopped, does not wait for a lock, and is not a worker without work."""
        if process.stopped_until > self.clock.seconds:
            return False
        if isinstance(process, Worker) and process.due > self.clock.seconds and not process.terminated:
            return False
        if self.stuck is not None and isinstance(process.effect, WRITING):
            if process.waiting_since is None:
                process.waiting_since = self.clock.seconds
            return False
        return isinstance(process, Job | Caller) or process.pressing

    def _pass_time(self) -> None:
        """Nobody can do anything but wait: the clock moves on to when the first of them goes on, or later."""
        now, self.postponed = self.clock.seconds, False
        able = [process for process in self.processes if self._able(process)]
        moments = [now + process.effect.seconds for process in able if isinstance(process.effect, Wait)]
        moments += [process.stopped_until for process in self.processes if process.stopped_until > now]
        moments += [process.due for process in self.processes if isinstance(process, Worker) and process.due > now]
        moments += [] if self.stuck is None else [self.stuck.until]
        self.clock.advance(max(min(moments, default=now) - now, 0.1, self.scenario.poll_interval))
        self._look_at_the_lock()

    def _look_at_the_lock(self) -> None:
        """Whoever has waited too long for it gives up, as the product does: with an error, and the process ends."""
        if self.stuck is None:
            return
        until = min(self.clock.seconds, self.stuck.until)
        for process in list(self.processes):
            if (
                process in self.processes
                and process.waiting_since is not None
                and until - process.waiting_since >= LOCK_WAIT
            ):
                self.record(process.name, "GIVES UP", f"the metastore was locked for {LOCK_WAIT:g} s")
                self._lose(process)
        if self.clock.seconds >= self.stuck.until:
            self.release_lock()
            for process in self.processes:
                process.waiting_since = None

    def _act(self, process: Process) -> None:
        effect = process.effect
        assert effect is not None, "a process whose loop is over still acts"
        may_crash = self.faults.fragile if isinstance(effect, AwaitTask) else self.faults.crash
        if self._unseen(process) or self.disruptions >= self.faults.max_disruptions:
            may_crash = 0.0
        if self.chooser.chance(f"{process.name} crashes before", may_crash):
            self._crash(process, effect, "before")
            return
        # Most of all just before it writes what it is entitled to by a lease that will be over.
        stopped = self.faults.stopped * (15 if isinstance(effect, (RenewLease, ReportOutcome)) else 1)
        if self.disrupt(f"{process.name} is stopped", stopped):
            leases = _STOPPED_LEASES[self.choose_up_to("how many leases", len(_STOPPED_LEASES) - 1)]
            process.stopped_until = self.clock.seconds + LEASE_SECONDS * leases
            self.record(process.name, "SIGSTOP", f"before {type(effect).__name__}, for longer than its lease")
            return
        self.clock.advance(self.scenario.tick)
        try:
            result = self.performer.perform(process, effect)
        except TailraceError as error:
            raise Crash(f"{process.name} at {type(effect).__name__}: {error}") from error
        self.refused.update(refusals(effect, result))
        if not isinstance(effect, Event) or effect.text:
            self.record(process.name, type(effect).__name__, describe(effect, result, self._several))
        if self.chooser.chance(f"{process.name} crashes after", may_crash):
            self._crash(process, effect, "after")
            return
        process.resume(result)
        if isinstance(process, Worker) and isinstance(process.effect, AwaitTask):
            takes_time = self.scenario.slow and process.steps_left > 0
            process.due = self.clock.seconds + process.effect.seconds if takes_time else 0.0
        if process.ended:
            self._end(process)

    def _end(self, process: Process) -> None:
        """A loop is over by itself. Its workers finish what they have in hand; an unfinished command is typed again."""
        self.processes.remove(process)
        self.dead.add(process.identity.pid)
        if not isinstance(process, Job):
            return
        process.alive = False
        ended = isinstance(process.result, BackfillEnd | SchedulerEnd)
        ending = process.result.ending if ended else Ending.JUDGED
        self.record(process.name, "ENDS", ending)
        again = process.command if ending not in _DONE else typed_again(self, process)
        if again is not None:
            self.commands.append(again)

    def _crash(self, process: Process, effect: Effect[Any], when: str) -> None:
        self.disruptions += 1
        self.record(process.name, "CRASH", f"{when} {type(effect).__name__}")
        self._lose(process)

    def _lose(self, process: Process) -> None:
        """A process ends in the middle of things; a job's workers go with it, or outlive it."""
        self._kill(process)
        if isinstance(process, Job):
            process.alive = False
            callers = [each for each in self.processes if isinstance(each, Caller) and each.job is process]
            for worker in (*self.workers_of(process), *callers):
                if not self.chooser.chance("a worker outlives its job", self.faults.orphaned):
                    self.record(worker.name, "DIES", "with its job")
                    self._kill(worker)
            self.commands.append(process.command)
        elif isinstance(process, Worker) and process.job.alive:
            if not self.chooser.chance("nobody notices", self.faults.lost_report):
                process.job.worker_lost = True
            self.start_worker(process.job)
        elif isinstance(process, Caller) and process.job.alive:
            self.start_caller(process.job)

    def _kill(self, process: Process) -> None:
        self.processes.remove(process)
        self.dead.add(process.identity.pid)
        process.loop.close()
        self.performer.is_gone(process)

    def heal(self) -> None:
        """From here on nothing goes wrong any more: an executor, too, ignores what it has in hand already."""
        self.healed = True
        self.faults = type(self.faults)()
        for process in self.processes:
            if isinstance(process, Job):
                process.queue[:] = dict.fromkeys(process.queue)
        self.release_lock()
