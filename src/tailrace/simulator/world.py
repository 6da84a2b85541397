"""A world: one metastore, one false clock, backfill jobs with their workers, and a chooser that says who goes next.

The loops are the product's; the executor between them is simulated, with submissions and reports that may be late,
lost, doubled or false. A crash takes an actor away before or after the effect it is at; SIGSTOP does so for longer than
a lease; somebody may sit on the metastore's lock. What ended unfinished is typed again, sooner or later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Self

from tailrace.effects.requests import ApplyPlan, AwaitTask, Effect, Note, RenewLease, ReportOutcome, Wait
from tailrace.errors import TailraceError
from tailrace.jobs.backfill import BackfillEnd, backfill_loop
from tailrace.jobs.scheduler import SchedulerEnd
from tailrace.jobs.stepping import Ending
from tailrace.metastore.store import LOCK_WAIT
from tailrace.simulator.actors import Actor, Job, Worker
from tailrace.simulator.beginning import Crash, set_pool, type_command, typed_again
from tailrace.simulator.breaking import StuckTransaction
from tailrace.simulator.choices import Chooser, Option
from tailrace.simulator.coverage import refusals
from tailrace.simulator.fingerprint import fingerprint
from tailrace.simulator.performing import UNSEEN, WRITING, Performer
from tailrace.simulator.person import Person
from tailrace.simulator.scenario import LEASE_SECONDS, Scenario
from tailrace.simulator.telling import words
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
        Person(self, self.performer.commanded)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.performer.close()
        self.let_go()

    # --- time and choice -----------------------------------------------------------------------------------

    def step(self) -> None:
        """Let somebody go: perform the effect an actor is at, or deliver something late, or let a fault happen."""
        self.chooser.arrive(partial(fingerprint, self))
        able = [actor for actor in self.actors if self._able(actor)]
        options = [
            Option(actor.name) if actor.pressing else Option(actor.name, pressing=False, weight=_IDLE_WEIGHT)
            for actor in able
        ]
        if self.late:
            options.append(Option("network"))
        if self.commands and self.stuck is None:
            options.append(Option("person", pressing=not self.put_off, weight=_IDLE_WEIGHT))
        if self.errands and self.stuck is None:
            options.append(Option("errand", weight=1.0 if self._bad_moment() else self.scenario.hurry))
        if not any(option.pressing for option in options):
            self._pass_time()
        if not options:
            return
        chosen = self.chooser.pick(options)
        if chosen < len(able):
            self._act(able[chosen])
            while able[chosen] in self.actors and self._unseen(able[chosen]):
                self._act(able[chosen])
        elif options[chosen].name == "network":
            to, submission = self.late.pop(0)
            to.append(submission)
        else:
            with _noticing("person"):
                if options[chosen].name == "errand":
                    self.errands.pop(0)()
                else:
                    type_command(self, self.commands.pop(0), self.performer.create)
        if self.mishap("clock jump", self.faults.clock_jump):
            self.clock.advance(LEASE_SECONDS * 1.5)
            self.tell("clock", "jumps", "a lease and a half goes by")
        if self.stuck is None and self.mishap("a transaction is left open", self.faults.open_transaction):
            seconds = _STUCK_SECONDS[self.drawn("how long", len(_STUCK_SECONDS) - 1)]
            self.stuck = StuckTransaction.begun(self.file, self.clock.seconds + seconds)
            self.tell("somebody", "HOLDS", f"the metastore's write lock, for {seconds:g} s")

    def _bad_moment(self) -> bool:
        """Whether somebody has just decided that something is over."""
        plans = [actor.effect.plan for actor in self.actors if isinstance(actor.effect, ApplyPlan)]
        return any(plan.run_verdicts or plan.backfill_verdict for plan in plans)

    def _unseen(self, actor: Actor) -> bool:
        """Whether a search takes the effect that an actor is at together with the one before."""
        if not self.chooser.merges:
            return False
        at_once = isinstance(actor, Worker) and actor.steps_left == 0 and not self.faults.interrupt
        return isinstance(actor.effect, UNSEEN) or (at_once and isinstance(actor.effect, AwaitTask))

    def _able(self, actor: Actor) -> bool:
        """Whether an actor can go: it is not stopped, does not wait for a lock, and is not a worker without work."""
        if actor.stopped_until > self.clock.seconds:
            return False
        if isinstance(actor, Worker) and actor.due > self.clock.seconds and not actor.terminated:
            return False
        if self.stuck is not None and isinstance(actor.effect, WRITING):
            if actor.waiting_since is None:
                actor.waiting_since = self.clock.seconds
            return False
        return isinstance(actor, Job) or actor.pressing

    def _pass_time(self) -> None:
        """Nobody can do anything but wait: the clock moves on to when the first of them goes on, or later."""
        now, self.put_off = self.clock.seconds, False
        able = [actor for actor in self.actors if self._able(actor)]
        moments = [now + actor.effect.seconds for actor in able if isinstance(actor.effect, Wait)]
        moments += [actor.stopped_until for actor in self.actors if actor.stopped_until > now]
        moments += [actor.due for actor in self.actors if isinstance(actor, Worker) and actor.due > now]
        moments += [] if self.stuck is None else [self.stuck.until]
        self.clock.advance(max(min(moments, default=now) - now, 0.1, self.scenario.patience))
        self._look_at_the_lock()

    def _look_at_the_lock(self) -> None:
        """Whoever has waited too long for it gives up, as the product does: with an error, and the process ends."""
        if self.stuck is None:
            return
        until = min(self.clock.seconds, self.stuck.until)
        for actor in list(self.actors):
            if actor in self.actors and actor.waiting_since is not None and until - actor.waiting_since >= LOCK_WAIT:
                self.tell(actor.name, "GIVES UP", f"the metastore was locked for {LOCK_WAIT:g} s")
                self._lose(actor)
        if self.clock.seconds >= self.stuck.until:
            self.let_go()
            for actor in self.actors:
                actor.waiting_since = None

    def _act(self, actor: Actor) -> None:
        effect = actor.effect
        assert effect is not None, "an actor whose loop is over still acts"
        may_crash = self.faults.fragile if isinstance(effect, AwaitTask) else self.faults.crash
        if self._unseen(actor) or self.mishaps >= self.faults.most_mishaps:
            may_crash = 0.0
        if self.chooser.chance(f"{actor.name} crashes before", may_crash):
            self._crash(actor, effect, "before")
            return
        # Most of all just before it writes what it is entitled to by a lease that will be over.
        stopped = self.faults.stopped * (15 if isinstance(effect, (RenewLease, ReportOutcome)) else 1)
        if self.mishap(f"{actor.name} is stopped", stopped):
            leases = _STOPPED_LEASES[self.drawn("how many leases", len(_STOPPED_LEASES) - 1)]
            actor.stopped_until = self.clock.seconds + LEASE_SECONDS * leases
            self.tell(actor.name, "SIGSTOP", f"before {type(effect).__name__}, for longer than its lease")
            return
        self.clock.advance(self.scenario.tick)
        try:
            answer = self.performer.perform(actor, effect)
        except TailraceError as error:
            raise Crash(f"{actor.name} at {type(effect).__name__}: {error}") from error
        self.refused.update(refusals(effect, answer))
        if not isinstance(effect, Note) or effect.text:
            self.tell(actor.name, type(effect).__name__, words(effect, answer, self._several))
        if self.chooser.chance(f"{actor.name} crashes after", may_crash):
            self._crash(actor, effect, "after")
            return
        actor.answer(answer)
        if isinstance(actor, Worker) and isinstance(actor.effect, AwaitTask):
            takes_time = self.scenario.slow and actor.steps_left > 0
            actor.due = self.clock.seconds + actor.effect.seconds if takes_time else 0.0
        if actor.ended:
            self._end(actor)

    def _end(self, actor: Actor) -> None:
        """A loop is over by itself. Its workers finish what they have in hand; an unfinished command is typed again."""
        self.actors.remove(actor)
        self.dead.add(actor.identity.pid)
        if not isinstance(actor, Job):
            return
        actor.alive = False
        ended = isinstance(actor.result, BackfillEnd | SchedulerEnd)
        ending = actor.result.ending if ended else Ending.JUDGED
        self.tell(actor.name, "ENDS", ending)
        again = actor.command if ending not in _DONE else typed_again(self, actor)
        if again is not None:
            self.commands.append(again)

    def _crash(self, actor: Actor, effect: Effect[Any], when: str) -> None:
        self.mishaps += 1
        self.tell(actor.name, "CRASH", f"{when} {type(effect).__name__}")
        self._lose(actor)

    def _lose(self, actor: Actor) -> None:
        """A process ends in the middle of things; a job's workers go with it, or outlive it."""
        self._kill(actor)
        if isinstance(actor, Job):
            actor.alive = False
            for worker in self.workers_of(actor):
                if not self.chooser.chance("a worker outlives its job", self.faults.orphaned):
                    self.tell(worker.name, "DIES", "with its job")
                    self._kill(worker)
            self.commands.append(actor.command)
        elif isinstance(actor, Worker) and actor.job.alive:
            if not self.chooser.chance("nobody hears of it", self.faults.lost_report):
                actor.job.worker_lost = True
            self.start_worker(actor.job)

    def _kill(self, actor: Actor) -> None:
        self.actors.remove(actor)
        self.dead.add(actor.identity.pid)
        actor.loop.close()
        if isinstance(actor, Worker):
            self.performer.task_is_gone(actor)

    def heal(self) -> None:
        """From here on nothing goes wrong any more: an executor, too, ignores what it has in hand already."""
        self.healed = True
        self.faults = type(self.faults)()
        for actor in self.actors:
            if isinstance(actor, Job):
                actor.queue[:] = dict.fromkeys(actor.queue)
        self.let_go()
