"""The product in simulated worlds: many seeds, the thread's world exhaustively, and one seed twice."""

import os
import subprocess
import sys

import pytest

from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import TASK_INSTANCE_TRANSITIONS, Actor, Cause
from tailrace.simulator.choices import Replayed, Seeded
from tailrace.simulator.exploring import every, one, seeds
from tailrace.simulator.history import Judgement
from tailrace.simulator.scenario import always_succeeds, linear, random_scenario

#: Seeds that once failed, each with the bug it found.
ONCE_FAILED = {
    4: "a repeated claim was answered with the refusal of its repetition",
    175: "the same",
    199: "the same",
    219: "the same",
}


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_seed_that_once_failed(seed: int) -> None:
    history = one(random_scenario(seed), Seeded(seed))
    assert history.judgement is Judgement.WELL, history.findings


@pytest.fixture(scope="module")
def occurred() -> set[tuple[str, str, str, str]]:
    return set()


def test_the_product_over_many_seeds(occurred: set[tuple[str, str, str, str]]) -> None:
    for found in seeds(1000, 220):
        assert found.history.judgement is Judgement.WELL, (found.seed, found.history.findings)
        occurred |= found.history.causes


def test_what_a_backfill_can_do_does_happen_somewhere(occurred: set[tuple[str, str, str, str]]) -> None:
    """Sometimes-events: a transition that no seed ever makes is not tested by any of them."""
    deferring = {TaskInstanceState.UP_FOR_RESCHEDULE, TaskInstanceState.DEFERRED, TaskInstanceState.STOPPING}
    never = {
        (row.before, row.after, row.cause)
        for row in TASK_INSTANCE_TRANSITIONS
        if row.actor is not Actor.PERSON
        and not {row.before, row.after} & deferring
        and row.cause not in ("reprocess", "removed_from_dag")
        and (row.before, row.after, row.actor, row.cause) not in occurred
    }
    # A retry that finds its upstreams changed needs a person who clears them; a worker reports its own try as lost
    # only when somebody ends it; and a world has fewer faults than a task instance has lost tries.
    needs_a_person = {step for step in never if step[0] is TaskInstanceState.UP_FOR_RETRY or step[2] is Cause.LOST}
    assert never - needs_a_person == set()
    assert (TaskInstanceState.RUNNING, TaskInstanceState.UP_FOR_RETRY, Actor.PLANNER, Cause.LOST) in occurred


def test_the_threads_world_exhaustively() -> None:
    """A → B with the worker going first anywhere: the product never calls it deadlocked, in no interleaving."""
    histories = list(every(always_succeeds(linear()), preemptions=2))
    assert len(histories) > 50
    assert [history.findings for history in histories if history.judgement is not Judgement.WELL] == []


def test_a_trace_replays_its_history() -> None:
    scenario = random_scenario(7)
    first = one(scenario, Seeded(7))
    again = one(scenario, Replayed(first.trace))
    assert again.digest == first.digest


def test_one_seed_is_one_history_under_any_hash_seed() -> None:
    code = "from tailrace.simulator.exploring import seeds;print([found.history.digest for found in seeds(50, 4)])"
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
