"""A world: one metastore, one false clock, a backfill job, workers, and a chooser that says who goes next.

The loops are the product's; the executor between them is simulated, with submissions and reports that may be late,
lost, doubled or false. A crash takes an actor away before or after the effect it is at; then somebody types the same
command again.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from tailrace.effects.asks import Effect, NextTry, Wait
from tailrace.effects.tries import Submission
from tailrace.errors import InternalError, TailraceError
from tailrace.execution.worker import worker_loop
from tailrace.jobs.backfill import backfill_loop
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import ProcessIdentity
from tailrace.model.spec import DagSpec
from tailrace.planning.backfills import BackfillRequest
from tailrace.planning.creation import plan_backfill
from tailrace.simulator.actors import Actor, Job, Worker
from tailrace.simulator.choices import Chooser
from tailrace.simulator.performing import Performer
from tailrace.simulator.scenario import Scenario
from tailrace.simulator.stage import stage as _stage

LEASE_SECONDS = 20.0
_DAY = timedelta(days=1)

JobLoop = Callable[[int, DagSpec, int], Any]


class Crash(Exception):
    """A product error that reached the top of an actor: the history ends here."""


class World:
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
        self.scenario = scenario
        self.chooser = chooser
        self._stage = _stage(lock_wait)
        self.clock = self._stage.clock
        self.job_loop = job_loop
        self.faults = scenario.faults
        self.crashes = 0
        self.actors: list[Actor] = []
        self.queue: list[Submission] = []  # with the executor; any worker may take the first
        self.late: list[Submission] = []  # on their way
        self.dead: set[int] = set()  # pids of processes that are gone
        self.story: list[str] = []
        self.backfill_id = 0
        self._pids = 100
        self._writes = 0
        self.file = self._stage.file
        self.metastore = self._stage.set()
        self.performer = performer(self)
        for name, slots in scenario.pools:
            self.metastore.set_pool(name, slots, "", self.write_id())
        self.start_job()
        for _ in range(scenario.workers):
            self.start_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.performer.close()
        self.metastore.close()

    @property
    def over(self) -> bool:
        """Whether the last job has ended by itself."""
        return not any(isinstance(actor, Job) for actor in self.actors)

    def write_id(self) -> str:
        """The next write id of this world."""
        self._writes += 1
        return f"write-{self._writes}"

    def identity(self) -> ProcessIdentity:
        """A process that did not exist before."""
        self._pids += 1
        return ProcessIdentity("simulated", "simulated", self._pids, self._pids)

    # --- actors --------------------------------------------------------------------------------------------

    def start_job(self) -> None:
        """Somebody types the command: the backfill is created or continued, and a job begins."""
        dag, dates = self.scenario.dag, self.scenario.logical_dates()
        request = BackfillRequest(dag.dag_id, dates[0], dates[-1])
        intervals = [DataInterval(date, date + _DAY) for date in dates]
        creation = plan_backfill(dag, request, intervals, self.metastore.backfill_facts(dag, request, intervals))
        if creation.refusals:
            raise InternalError(f"the scenario is refused: {creation.refusals[0]}")
        created = self.metastore.create_backfill(dag, creation, "simulated", self.write_id())
        if not isinstance(created, int):
            raise InternalError("nobody else writes, yet the creation was stale")
        self.backfill_id = created
        identity = self.identity()
        id = self.metastore.start_job("backfill", identity, dag.dag_id, created, LEASE_SECONDS, self.write_id())
        loop = self.job_loop(id, dag, created)
        self._begin(Job(f"job {id}", loop, identity, id=id, idle_polls=self.scenario.idle_polls or 0))

    def start_worker(self) -> None:
        """A worker process begins."""
        identity = self.identity()
        self._begin(Worker(f"worker {identity.pid}", worker_loop(LEASE_SECONDS), identity))

    def _begin(self, actor: Actor) -> None:
        actor.begin()
        self.actors.append(actor)

    # --- time and choice -----------------------------------------------------------------------------------

    def step(self) -> None:
        """Let somebody go: perform the effect an actor is at, or deliver something late, or let a fault happen."""
        able = [actor for actor in self.actors if self._able(actor)]
        options = [actor.name for actor in able] + (["network"] if self.late else [])
        if not options:
            self._pass_time()
            return
        chosen = self.chooser.pick(options)
        if chosen == len(able):
            self.queue.append(self.late.pop(0))
            return
        self._act(able[chosen])
        # A jump costs each running try its lease. Together with crashes there are fewer than a task's lost tries.
        if self.crashes < self.faults.most_crashes and self.chooser.chance("clock jump", self.faults.clock_jump):
            self.crashes += 1
            self.clock.advance(LEASE_SECONDS * 1.5)
            self.tell("clock", "jumps", "a lease and a half goes by")

    def _able(self, actor: Actor) -> bool:
        if isinstance(actor.effect, NextTry):
            return bool(self.queue)
        if isinstance(actor.effect, Wait) and isinstance(actor, Job):
            pressing = actor.effect.seconds == 0 or bool(actor.hints) or actor.worker_lost
            return pressing or self.scenario.idle_polls is None or actor.idle_polls > 0
        return True

    def _pass_time(self) -> None:
        """Nobody can do anything but wait: the clock moves on to when the job wants to be woken."""
        job = next(actor for actor in self.actors if isinstance(actor, Job))
        assert isinstance(job.effect, Wait)
        job.idle_polls += 1
        self.clock.advance(max(job.effect.seconds, 0.1))

    def _act(self, actor: Actor) -> None:
        effect = actor.effect
        assert effect is not None
        may_crash = self.faults.crash if self.crashes < self.faults.most_crashes else 0.0
        if self.chooser.chance(f"{actor.name} crashes before", may_crash):
            self._crash(actor, effect, "before")
            return
        self.clock.advance(0.01)
        try:
            answer = self.performer.perform(actor, effect)
        except TailraceError as error:
            raise Crash(f"{actor.name} at {type(effect).__name__}: {error}") from error
        self.tell(actor.name, type(effect).__name__, self.performer.words(effect, answer))
        if self.chooser.chance(f"{actor.name} crashes after", may_crash):
            self._crash(actor, effect, "after")
            return
        actor.answer(answer)
        if actor.ended:
            self.actors.remove(actor)

    def _crash(self, actor: Actor, effect: Effect[Any], when: str) -> None:
        self.crashes += 1
        self.actors.remove(actor)
        self.dead.add(actor.identity.pid)
        actor.loop.close()
        self.tell(actor.name, "CRASH", f"{when} {type(effect).__name__}")
        if isinstance(actor, Job):
            self.queue.clear()  # its executor dies with it
            self.late.clear()
            self.start_job()
            return
        for job in self.actors:
            if isinstance(job, Job) and not self.chooser.chance("nobody hears of it", self.faults.lost_report):
                job.worker_lost = True
        self.start_worker()

    def heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.faults = type(self.faults)()

    def tell(self, who: str, what: str, seen: str) -> None:
        """A line of the story."""
        self.story.append(f"{self.clock.seconds:8.2f}  {who:<12} {what:<14} {seen}")

    def all_wait(self) -> bool:
        """Whether nobody has anything to do but wait."""
        return not self.late and all(isinstance(actor.effect, Wait) or not self._able(actor) for actor in self.actors)
