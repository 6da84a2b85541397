"""Worlds that are not drawn: the thread's of 2016, and those in which one thing must happen."""

from datetime import timedelta

from msgspec.structs import replace

from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import BranchKind, TaskSpec
from tailrace.planning.backfills import Reprocess
from tailrace.simulator.acts import Act, ActKind
from tailrace.simulator.scenario import FIRST_DATE, Command, Faults, Scenario, TryResult, daily


def linear(*, crash: bool = False, jobs: int = 1) -> Scenario:
    """The thread's world of 2016: A → B, one date, one worker, both succeed.

    ``crash`` lets disruptions happen, as many as whoever explores allows; ``jobs`` is how many drive the one backfill.
    """
    chain = (TaskSpec("a", downstream=("b",)), TaskSpec("b", upstream=("a",)))
    faults = Faults(crash=0.5, fragile=0.5, max_disruptions=1, orphaned=0.5) if crash else Faults()
    still = Scenario(
        0,
        daily("thread", chain),
        faults,
        (Command(),) * jobs,
        workers=1,
        found_running=0,
        tick=0.0,
        poll_interval=6.0,
    )
    return _always_succeeds(still)


def _always_succeeds(scenario: Scenario) -> Scenario:
    """The same world under a seed in which every first try of every task succeeds."""
    for seed in range(10_000):
        tried = replace(scenario, seed=seed)
        endings = (tried.ending(task.task_id, date, 1) for task in tried.dag.tasks for date in tried.logical_dates())
        if all(ending == TryResult(OutcomeKind.SUCCESS) for ending in endings):
            return tried
    raise ValueError("no seed lets every task succeed")


def second_thoughts(decides: BranchKind) -> Scenario:
    """A → B; B fails and waits for its retry while somebody clears A alone, which now leads to B no more.

    Either A branches elsewhere, or (it decides nothing) it is skipped.
    """
    first = TaskSpec("a", downstream=("b",), decides=decides)
    second = TaskSpec("b", upstream=("a",), retries=1, retry_delay=timedelta(minutes=1))
    clears = Act(ActKind.CLEAR, task_id="a", relatives=False)
    world = Scenario(0, daily("second_thoughts", (first, second)), Faults(), acts=(clears,), hurry=0.04, fickle=True)
    for seed in range(10_000):
        tried = replace(world, seed=seed)
        went, failed, turned = (
            tried.ending(*each) for each in (("a", FIRST_DATE, 1), ("b", FIRST_DATE, 1), ("a", FIRST_DATE, 2))
        )
        leads_there = went[0] is OutcomeKind.SUCCESS and went[1] in (None, ("b",))
        leads_elsewhere = turned[1] == () if decides is BranchKind.BRANCH else turned[0] is OutcomeKind.SKIPPED
        if leads_there and failed[0] is OutcomeKind.FAILED and leads_elsewhere:
            return tried
    raise ValueError("no seed lets A have second thoughts")


def reopened_by_another() -> Scenario:
    """One task; whenever a verdict is about to be written somebody decides to reprocess what it is over.

    A backfill created between the last look and the write of another's verdict opens a run that both want, and does
    not touch the other backfill as a clear does: only the run itself shows that the verdict came too late.
    """
    again = Act(ActKind.REPROCESS, state=Reprocess.ALL)
    task = daily("reopened_by_another", (TaskSpec("a"),))
    commands = (Command(0, 1), Command(0, 2))
    return _always_succeeds(Scenario(0, task, Faults(), commands=commands, acts=(again,) * 3, hurry=0.0))
