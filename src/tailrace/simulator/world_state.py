"""What a world holds, and what everything in it may use: clock, choices, faults, late messages, the record."""

import os
from collections.abc import Callable
from typing import Any

from tailrace.effects.tries import Submission
from tailrace.execution.workers.callback_loop import callback_loop
from tailrace.execution.workers.loop import worker_loop
from tailrace.model.keys import ProcessIdentity
from tailrace.model.spec import DagSpec
from tailrace.simulator.breaking import Break, StuckTransaction
from tailrace.simulator.choices import Chooser, Option
from tailrace.simulator.confs import Confs
from tailrace.simulator.ledger import Ledger
from tailrace.simulator.processes import Caller, Job, Process, Worker
from tailrace.simulator.scenario import LEASE_SECONDS, Command, Scenario
from tailrace.simulator.stage import stage as _stage
from tailrace.simulator.story import line

#: Of two broken connections whose write has not landed, one's lands after all.
_LANDS_LATER = 0.5
#: So many jobs make every kind of trouble there is; more make the same again, slowly.
_JOBS_ENOUGH = 5

JobLoop = Callable[[int, DagSpec, int], Any]


class WorldState:
    """One world between two steps; ``World`` takes the steps."""

    def __init__(
        self,
        scenario: Scenario,
        chooser: Chooser,
        *,
        job_loop: JobLoop,
        lock_wait: float = 30.0,
    ) -> None:
        self.scenario = scenario
        self.chooser = chooser
        self._stage = _stage(lock_wait, os.getpid())
        self.clock = self._stage.clock
        self.job_loop = job_loop
        self.faults = scenario.faults
        self.disruptions = 0
        self.healed = False
        self.processes: list[Process] = []
        self.commands: list[Command] = list(scenario.commands)  # to be typed, once more or for the first time
        self.postponed = False  # the last one was refused until later
        self.pending: list[Callable[[], None]] = []  # what else somebody means to do, in this order
        self.late: list[tuple[list[Submission], Submission]] = []  # messages on their way, with where they arrive
        self.dead: set[int] = set()  # pids of processes that are gone
        self.stuck: StuckTransaction | None = None
        self.broken = 0  # how often a connection broke
        self.ledger = Ledger()
        self.refused: set[str] = set()  # kinds of refusal that occurred
        self.story: list[str] = []
        self._typed_for_held_slots = False
        self._pids = 100
        self._writes = 0
        self._several = len(scenario.logical_dates()) > 1
        self.file = self._stage.file
        self.confs = Confs(self.file)
        self.metastore = self._stage.set(self._break)

    @property
    def over(self) -> bool:
        """Whether every command has done what it was typed for, and nobody has a try in hand any more."""
        return not self.processes and not self.commands and not self.pending

    def type_again_for_held_slots(self) -> bool:
        """Whether somebody comes back, once, and types the commands again: a slot was still held when all had ended.

        A worker that outlived its job may die with a stopping try when nobody is there to see it. The next job must.
        """
        if self._typed_for_held_slots or not any(pool.running + pool.queued for pool in self.metastore.list_pools()):
            return False
        self._typed_for_held_slots = True
        self.type_again(all_over=True)
        return True

    def write_id(self) -> str:
        """The next write id of this world."""
        self._writes += 1
        return f"write-{self._writes}"

    def identity(self, of: Process | None = None) -> ProcessIdentity:
        """A process that did not exist before: anybody's, or one that a process has had ready."""
        if of is not None:
            of.parked += 1
            pid = of.identity.pid * 1000 + of.parked
        else:
            self._pids += 1
            pid = self._pids
        return ProcessIdentity("simulated", "simulated", pid, pid)

    def workers_of(self, job: Job) -> list[Worker]:
        """The workers of a job's executor."""
        return [process for process in self.processes if isinstance(process, Worker) and process.job is job]

    def busy(self, job: Job) -> int:
        """How many tries a job's executor has in hand."""
        return sum(worker.submission is not None for worker in self.workers_of(job)) + len(job.queue)

    def type_again(self, *, schedulers: bool = False, all_over: bool = False) -> None:
        """Something is open again, or left to ``schedulers``: the commands for it are typed once more.

        Where there are jobs enough, only those that nobody is at; ``all_over``: whoever is at one is about to end.
        """
        at = {process.command for process in self.processes if isinstance(process, Job)}
        for command in dict.fromkeys(self.scenario.commands):
            jobs = len(self.commands) + sum(isinstance(process, Job) for process in self.processes)
            needed = all_over or jobs < _JOBS_ENOUGH or command not in {*at, *self.commands}
            if needed and command.scheduler >= schedulers:
                self.commands.append(command)

    def choose_up_to(self, name: str, most: int) -> int:
        """A number from none to ``most``."""
        return self.chooser.pick([Option(f"{name}: {number}") for number in range(most + 1)]) if most else 0

    def send_late(self, to: list[Submission], submission: Submission) -> None:
        """Let a message arrive at some other time."""
        self.late.append((to, submission))

    def start_worker(self, job: Job) -> None:
        """One more worker of a job's executor."""
        identity = self.identity()
        self.enter(Worker(f"worker {identity.pid}", worker_loop(LEASE_SECONDS), identity, job=job))

    def start_caller(self, job: Job) -> None:
        """One more process beside a job's workers that calls back, where there is something to be called."""
        if self.scenario.dag.calls_back:
            identity = self.identity()
            self.enter(Caller(f"caller {identity.pid}", callback_loop(LEASE_SECONDS), identity, job=job))

    def enter(self, process: Process) -> None:
        """A process begins, and runs to its first effect."""
        process.begin()
        self.processes.append(process)

    def disrupt(self, name: str, probability: float) -> bool:
        """Whether one of the faults happens that may cost each running try its life; there are only so many."""
        if self.disruptions >= self.faults.max_disruptions or not self.chooser.chance(name, probability):
            return False
        self.disruptions += 1
        return True

    def release_lock(self) -> None:
        """End the transaction that was left open, if there is one."""
        if self.stuck is not None:
            self.stuck.end()
            self.stuck = None
            self.record("somebody", "LETS GO", "of the metastore's write lock")

    def _break(self) -> Break:
        """What becomes of the next write."""
        chosen = self._choose_break()
        self.broken += chosen is not Break.NONE
        return chosen

    def _choose_break(self) -> Break:
        if self.chooser.chance("the acknowledgement of a commit is lost", self.faults.unacknowledged):
            return Break.LANDED
        if not self.chooser.chance("the connection breaks before a commit lands", self.faults.broken):
            return Break.NONE
        return Break.LANDS_LATER if self.chooser.chance("it lands later", _LANDS_LATER) else Break.LOST

    def record(self, who: str, what: str, seen: str) -> None:
        """A line of the story."""
        self.story.append(line(self.clock.seconds, who, what, seen))
