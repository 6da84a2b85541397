"""The product in simulated worlds: many seeds, the thread's world exhaustively, and one seed twice."""

import os
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from tailrace.model.spec import BranchKind
from tailrace.simulator.choices import Replayed, Seeded, whole
from tailrace.simulator.coverage import REFUSALS, Step, missing, table
from tailrace.simulator.exploring import SeedHistory, every, explore, one
from tailrace.simulator.fixed_worlds import linear, reopened_by_another, second_thoughts
from tailrace.simulator.history import History, Judgement
from tailrace.simulator.holes import WORLDS, holes_scenario
from tailrace.simulator.mapped import expanded_and_deadlocked, fewer_and_more
from tailrace.simulator.rescheduled import paused_and_marked_while_it_waits
from tailrace.simulator.scenario import random_scenario
from tailrace.simulator.searching import Search
from tailrace.simulator.stopped_runs import paused_by_two
from tailrace.simulator.waiting import circle_of_two

#: Of the suite. `make simulate SEEDS=100000` is the same over more.
SEEDS = 420
#: Of worlds whose runs depend on the past and come into being in any order.
HOLES = 140
#: And in those in which tries are lost together.
ZYGOTES = 80
#: And in those with mapped tasks.
MAPPED = 150
#: And in those whose runs are stopped before their tasks have ended.
STOPPED = 130
#: And in those whose tasks have callbacks.
CALLING = 80
#: And in those whose tries give their workers back.
RESCHEDULED = 120
#: And in those whose DAGs have everything at once.
DAGS = 120
#: And in those whose backfills do parts of their DAG.
PARTS = 40
#: And in those of DAGs that wait for each other.
WAITING = 40


#: Seeds that once failed, each with what it found.
ONCE_FAILED = {
    948: "a worker stopped between claim and start began the code when another try ran: its deadline comes first now",
    1389: "the same after a jump of the clock",
    968: "a run that a person cleared found the window full of the run that waits for it",
    1245: "the same behind a cancelled run",
    3375: "a lost try ended as one person had wanted, though another had wanted it to run again since",
    4865: "somebody who was told to wait typed on and on, and no time went by (the simulator's fault)",
    6641: "a deadlock leaned on a try of the closed previous run that was still stopping",
    9996: "a stopping try whose worker died after the last job: whoever comes next must end it (the judge's fault)",
    19307: "a backfill waited for a run that another one, stopped at its first failure, had left (the person's fault)",
    20732: "a cancelled run deadlocked the next one, and ran after all later (the oracle's fault)",
    44162: "a step leaned on an outcome of the previous run that was cleared, as that run began, before it was written",
    61329: "a stopped backfill was typed again, with the same first failure, for ever (the person's fault)",
    94540: "a backfill that stopped was judged by a run that had been opened again and had ended otherwise",
    110122: "who was refused for another reason enlarged the pool, and no time went by (the person's fault)",
    405491: "a run waited for one behind it, which its backfill, stopped at a failure, would never begin",
    507098: "somebody with eight commands still to type took a refusal for the end (the person's fault)",
    905867: "two lanes left three free slots to each other for ever, as the next task of each needed two",
    802461: "a run gave its place back for one that a person had cleaned away by the audit (the audit's fault)",
    542524: "an executor took again what it had in hand, and its worker came to nothing else (the simulator's fault)",
}

#: The same of worlds with holes.
ONCE_FAILED_OF_HOLES = {
    2655: "a backfill did again what had failed by losses (the oracle's fault)",
    101898: "the date before was done again between two tries, and deadlocked (the oracle's fault)",
    109134: "what had failed was cleared and deadlocked, what had begun after it stood (the oracle's fault)",
    200270: "a run gave its place back for one that nobody would drive any more by then",
    108398: "the date before was done again behind a date under way, and deadlocked (the oracle's fault)",
}

#: Of a hundred thousand seeds the first to show something that is too rare for the suite's own: they belong to it.
ALSO_SHOWN = (481, 573, 1197, 1540, 2305, 3022, 3382, 3558, 3836, 4167, 6220, 530603)

#: The same of other worlds.
ALSO_SHOWN_OF = {"holes": (186,), "mapped": (161,), "rescheduled": (154, 157)}

#: A world's DAG keeps its tasks; and its processes are known to live, so nobody takes a live job for dead.
NEVER_REFUSED = {"adoption: the run is not as it was", "heartbeat: taken for dead"}


@dataclass
class Suite:
    """What the suite's seeds came to."""

    failures: list[tuple[str, SeedHistory]] = field(default_factory=list)
    steps: set[Step] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def add(self, history: History) -> None:
        """Take in what occurred in one history."""
        self.steps |= history.steps_made
        self.refused |= history.refused

    def judge(self, worlds: str, found: SeedHistory) -> None:
        """The same, and keep it where it failed."""
        if found.history.judgement is not Judgement.WELL:
            self.failures.append((worlds, found))
        self.add(found.history)


@pytest.fixture(scope="module")
def suite() -> Suite:
    suite = Suite()
    for worlds, seeds in (
        ("any", SEEDS),
        ("holes", HOLES),
        ("zygotes", ZYGOTES),
        ("mapped", MAPPED),
        ("stopped", STOPPED),
        ("calling", CALLING),
        ("rescheduled", RESCHEDULED),
        ("dags", DAGS),
        ("parts", PARTS),
        ("waiting", WAITING),
    ):
        for found in explore(0, seeds, worlds=worlds, processes=os.cpu_count() or 1):
            suite.judge(worlds, found)
    for seed in ALSO_SHOWN:
        suite.add(one(random_scenario(seed), Seeded(seed)))
    for worlds, also in ALSO_SHOWN_OF.items():
        for seed in also:
            suite.add(one(WORLDS[worlds](seed), Seeded(seed)))
    # In no random world: there, what is cleared ends as before.
    deliberate = [(second_thoughts(decides), 10) for decides in (BranchKind.BRANCH, BranchKind.NOTHING)]
    deliberate += [
        (reopened_by_another(), 60),
        (fewer_and_more(), 20),
        (expanded_and_deadlocked(), 60),
        (paused_by_two(), 40),
        (paused_and_marked_while_it_waits(), 60),
        (circle_of_two(), 30),
    ]  # else too rare
    for scenario, count in deliberate:
        for seed in range(count):
            suite.judge(scenario.dag.dag_id, SeedHistory(one(scenario, Seeded(seed)), seed))
    return suite


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_seed_that_once_failed(seed: int) -> None:
    history = one(random_scenario(seed), Seeded(seed))
    assert history.judgement is Judgement.WELL, history.findings


@pytest.mark.parametrize("seed", ONCE_FAILED_OF_HOLES)
def test_a_seed_of_holes_that_once_failed(seed: int) -> None:
    history = one(holes_scenario(seed), Seeded(seed))
    assert history.judgement is Judgement.WELL, history.findings


def test_the_product_over_many_seeds(suite: Suite) -> None:
    """`tailrace simulate --worlds … --seed …` shows one step by step, with `--smaller` in the smallest such world."""
    assert [(worlds, found.seed, found.history.findings) for worlds, found in suite.failures] == []


def test_every_row_of_the_tables_occurs_somewhere(suite: Suite) -> None:
    """Sometimes-events: a transition that no seed ever makes is not tested by any of them."""
    assert set(missing(suite.steps)) == set()


def test_nothing_occurs_that_is_no_row(suite: Suite) -> None:
    created = {step for step in suite.steps if not step[1]}
    assert {step[4] for step in created} == {"created", "expanded"}
    assert suite.steps - created <= table()


def test_every_refusal_occurs_somewhere(suite: Suite) -> None:
    """Stale plans, lost claims, refused reports: where two actors met, and one gave way."""
    assert REFUSALS - suite.refused <= NEVER_REFUSED
    assert suite.refused <= REFUSALS


@pytest.mark.parametrize(
    ("jobs", "preemptions", "crashes", "states"),
    [
        (1, 3, 0, 120),
        (1, 0, 1, 280),
        (2, 0, 0, 190),
        (2, 1, 0, 1000),
        pytest.param(1, 3, 1, 1900, marks=pytest.mark.soak),
        pytest.param(2, 3, 0, 3900, marks=pytest.mark.soak),
        pytest.param(2, 3, 1, 50_000, marks=pytest.mark.soak),
    ],
    ids=["one job", "a crash", "two jobs", "two jobs, preempted", "one job, all", "two jobs, all", "two jobs, a crash"],
)
def test_the_threads_world_exhaustively(jobs: int, preemptions: int, crashes: int, states: int) -> None:
    """A → B with anybody going first anywhere: never a deadlock, never stuck, in no interleaving."""
    search = Search(preemptions, crashes)
    for history in every(linear(crash=crashes > 0, jobs=jobs), search):
        assert history.judgement is Judgement.WELL, (history.findings, history.trace)
    assert len(search.states) > states
    assert search.trapped() == 0


def test_a_trace_replays_its_history() -> None:
    scenario = random_scenario(7)
    first = one(scenario, Seeded(7))
    again = one(scenario, Replayed(whole(first.trace)))
    assert again.digest == first.digest


def test_a_trace_of_a_search_replays_its_history() -> None:
    for history in every(linear(crash=True), Search(1, 1)):
        again = one(linear(crash=True), Replayed(whole(history.trace), merges=True))
        assert again.story[: len(history.story)] == history.story
        if "CRASH" in history.story[-1]:
            return
    raise AssertionError("nothing crashed")


def test_one_seed_is_one_history_under_any_hash_seed() -> None:
    code = (
        "from tailrace.simulator.exploring import every, seeds\n"
        "from tailrace.simulator.fixed_worlds import linear\n"
        "from tailrace.simulator.searching import Search\n"
        "print([found.history.digest for found in seeds(50, 6)])\n"
        "print([history.digest for history in every(linear(), Search(1, 0))])\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1
