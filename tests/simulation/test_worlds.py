"""The product in simulated worlds: many seeds, the thread's world exhaustively, and one seed twice."""

import os
import subprocess
import sys

import pytest

from tailrace.model.transitions import TASK_INSTANCE_TRANSITIONS, Actor, Cause
from tailrace.simulator.choices import Replayed, Seeded
from tailrace.simulator.exploring import every, one, seeds
from tailrace.simulator.history import Judgement
from tailrace.simulator.scenario import linear, random_scenario
from tailrace.simulator.searching import Search

#: Steps that no backfill makes today: nothing yet defers, stops, reschedules or removes a task, or changes what is
#: above one that waits for its retry.
_LATER = ("up_for_reschedule", "deferred", "stopping", "removed")


@pytest.fixture(scope="module")
def occurred() -> set[tuple[str, str, str, str]]:
    return set()


def test_the_product_over_many_seeds(occurred: set[tuple[str, str, str, str]]) -> None:
    for found in seeds(1000, 220):
        assert found.history.judgement is Judgement.WELL, (found.seed, found.history.findings)
        occurred |= found.history.causes


def test_what_a_backfill_can_do_does_happen_somewhere(occurred: set[tuple[str, str, str, str]]) -> None:
    """Sometimes-events: a transition that no seed ever makes is not tested by any of them."""
    if not occurred:
        pytest.skip("needs what the seeds above did")
    never = {
        f"{row.before} → {row.after} by {row.actor} for {row.cause}"
        for row in TASK_INSTANCE_TRANSITIONS
        if row.actor is not Actor.PERSON
        and row.cause is not Cause.REPROCESS
        and not {row.before, row.after}.intersection(_LATER)
        and (row.before, row.after, row.actor, row.cause) not in occurred
    }
    assert never - {"running → failed by worker for lost"} == {  # a third loss, and that one by Ctrl-C: too rare
        "up_for_retry → skipped by planner for trigger_rule",
        "up_for_retry → upstream_failed by planner for trigger_rule",
        "up_for_retry → skipped by planner for branch",
    }


@pytest.mark.parametrize(
    ("jobs", "preemptions", "crashes", "states"),
    [(1, 3, 0, 500), (1, 0, 1, 450), (2, 0, 0, 300)],
    ids=["one job", "a crash", "two jobs"],
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
    again = one(scenario, Replayed(first.trace))
    assert again.digest == first.digest


def test_a_trace_of_a_search_replays_its_history() -> None:
    for history in every(linear(crash=True), Search(1, 1)):
        again = one(linear(crash=True), Replayed(history.trace))
        assert again.story[: len(history.story)] == history.story
        if "CRASH" in history.story[-1]:
            return
    raise AssertionError("nothing crashed")


def test_one_seed_is_one_history_under_any_hash_seed() -> None:
    code = (
        "from tailrace.simulator.exploring import every, seeds\n"
        "from tailrace.simulator.scenario import linear\n"
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
