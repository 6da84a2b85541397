"""How jobs share the runs that one of them has opened."""

import itertools

import pytest

from tailrace.planning.planner import plan
from tailrace.planning.sharing import has_work_to_spare, runs_to_share
from tailrace.planning.snapshot import RunSnapshot
from tests.unit.planning.builders import dag, run, snapshot, task_instances

A = dag("a")


def owned(*owners: int) -> list[RunSnapshot]:
    return [run(A, id, owner_job_id=owner) for id, owner in enumerate(owners, 1)]


@pytest.mark.parametrize(
    ("own", "others", "taken"),
    [
        (0, owned(7, 7, 7, 7), (4, 3)),
        (0, owned(7), ()),
        (1, owned(7, 7), ()),
        (1, owned(7, 7, 7), (3,)),
        (0, owned(7, 7, 8, 8, 8, 8), (6, 5)),
        (0, owned(7, 8), ()),
        (3, [], ()),
    ],
)
def test_it_takes_the_last_runs_of_whoever_has_most(
    own: int, others: list[RunSnapshot], taken: tuple[int, ...]
) -> None:
    assert runs_to_share(own, others) == taken


@pytest.mark.parametrize("runs", range(1, 12))
def test_jobs_that_look_in_any_order_come_to_rest(runs: int) -> None:
    """No run goes back and forth: after a few looks nobody takes anything, and all have alike."""
    for order in itertools.permutations((1, 2, 3)):
        owner = dict.fromkeys(range(runs), 1)
        for job in order * 3:
            others = [run(A, id, owner_job_id=of) for id, of in owner.items() if of != job]
            for id in runs_to_share(sum(of == job for of in owner.values()), others):
                owner[id] = job
        counts = [sum(of == job for of in owner.values()) for job in (1, 2, 3)]
        assert max(counts) - min(counts) <= 1


def test_whoever_has_tries_waiting_has_enough() -> None:
    spec = dag("a b")
    assert has_work_to_spare(task_instances(spec, a="queued"))
    assert not has_work_to_spare(task_instances(spec, a="running", b="up_for_retry"))


def test_a_run_of_a_live_owner_is_taken_as_shared() -> None:
    spec = dag("a")
    alive = run(spec, 1, owner_job_id=2, owner_alive=True)
    dead = run(spec, 2, day=1, owner_job_id=3, owner_alive=False)
    assert [(each.id, each.shared) for each in plan(snapshot(spec, alive, dead)).takeovers] == [(1, True), (2, False)]
