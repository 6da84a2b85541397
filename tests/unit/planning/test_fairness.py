"""Where room is short each lane gets its share, and what cannot be shared out evenly is taken in turn."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.model.spec import DagSpec
from tailrace.model.states import BackfillState, DagRunState
from tailrace.planning.fairness import PATIENCE, no_waits
from tailrace.planning.plan import CapacityWait, Plan, Verdict, WaitChanges
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import BackfillSnapshot, Contender, PoolSnapshot, Snapshot
from tests.unit.planning.builders import NOW, dag, run, snapshot, task_instances

POOL = "pool:default_pool"
#: Ten tasks, all ready.
WIDE = dag(" ".join(f"t{n}" for n in range(10)))
LONG_AGO = NOW - timedelta(minutes=1)


def other(job: int = 2, lane: int = 9, resource: str = POOL, **more: Any) -> Contender:
    return Contender(job, lane, resource, **{"since": LONG_AGO, **more})


def scene(slots: int, taken: int, *contenders: Contender, mine: int = 0, spec: DagSpec = WIDE, **more: Any) -> Snapshot:
    """A lane with ten ready tasks, ``mine`` of them queued, and a pool of which ``taken`` slots are taken in all."""
    busy = run(spec, tis=task_instances(spec, 100, **{f"t{n}": "queued" for n in range(mine)}))
    pools = {"default_pool": PoolSnapshot("default_pool", slots, taken)}
    return snapshot(
        spec, busy, pools=pools, dag_active_tasks=mine, **{"contended": True, "contenders": contenders, **more}
    )


def queued(decided: Plan) -> int:
    return sum(step.takes_slot for step in decided.transitions)


def reasons(decided: Plan) -> set[str]:
    return {each.failed[-1].dependency for each in decided.decisions if each.verdict is Verdict.WAIT}


def test_a_lane_alone_takes_everything_and_records_nothing() -> None:
    decided = plan(scene(4, 0, contended=False))
    assert (queued(decided), decided.waits, decided.waiting) == (4, None, False)


def test_a_lane_that_holds_everything_itself_has_nobody_to_wait_for() -> None:
    decided = plan(scene(4, 4, mine=4))
    assert (queued(decided), decided.waits, decided.waiting) == (0, None, False)


def test_what_a_step_takes_itself_is_no_reason_to_wait() -> None:
    assert plan(scene(4, 0)).waits is None


def test_a_lane_that_others_leave_no_room_says_that_it_waits() -> None:
    decided = plan(scene(4, 4))
    assert decided.waits == WaitChanges(begun=(CapacityWait(POOL, 0.0),))
    assert decided.waiting
    assert reasons(decided) == {"Pool Slots Available"}


def test_two_lanes_get_half_each() -> None:
    decided = plan(scene(8, 0, other()))
    assert queued(decided) == 4
    assert reasons(decided) == {"Fair Share"}
    assert decided.waits is not None
    assert [wait.resource for wait in decided.waits.begun] == [POOL]
    assert queued(plan(scene(8, 4, other(occupied=4)))) == 4, "each has its half"


def test_what_a_lane_holds_that_wants_no_more_is_not_shared() -> None:
    assert queued(plan(scene(8, 4, other()))) == 2


def test_the_last_slot_goes_to_who_has_less_than_its_share() -> None:
    assert queued(plan(scene(8, 7, other(occupied=0), mine=7))) == 0
    assert queued(plan(scene(8, 7, other(occupied=7)))) == 1


def test_nobody_below_its_share_is_asked_to_be_patient() -> None:
    assert queued(plan(scene(8, 7, other(occupied=0, since=NOW), mine=7))) == 0


def test_one_slot_goes_to_who_has_taken_less() -> None:
    mine = Contender(1, 1, POOL, LONG_AGO, taken=5.0)
    assert queued(plan(scene(1, 0, mine, other(taken=4.0)))) == 0
    assert queued(plan(scene(1, 0, mine, other(taken=6.0)))) == 1


def test_who_has_taken_as_much_goes_by_time() -> None:
    mine = Contender(1, 1, POOL, LONG_AGO)
    assert queued(plan(scene(1, 0, mine, other(since=LONG_AGO - timedelta(seconds=1))))) == 0
    assert queued(plan(scene(1, 0, mine, other(since=LONG_AGO + timedelta(seconds=1))))) == 1
    assert queued(plan(scene(1, 0, other()))) == 0, "who comes new goes behind"


def test_room_is_not_handed_over_before_the_patience_has_passed() -> None:
    assert queued(plan(scene(1, 0, other(since=NOW - PATIENCE / 2)))) == 1
    assert queued(plan(scene(1, 0, other(since=NOW - PATIENCE)))) == 0


def test_a_turn_taken_is_recorded() -> None:
    mine = Contender(1, 1, POOL, LONG_AGO, taken=1.0)
    decided = plan(scene(1, 0, mine, other(taken=2.0)))
    assert decided.waits == WaitChanges(renewed=(CapacityWait(POOL, 3.0),)), "one slot at a weight of one half"


def test_what_is_no_longer_waited_for_ends() -> None:
    mine = Contender(1, 1, POOL, LONG_AGO)
    decided = plan(scene(16, 0, mine))
    assert (queued(decided), decided.waits) == (10, WaitChanges(ended=(POOL,)))


def test_who_comes_new_starts_with_what_the_least_served_has() -> None:
    decided = plan(scene(1, 0, other(taken=7.0), other(job=3, taken=9.0)))
    assert decided.waits == WaitChanges(begun=(CapacityWait(POOL, 7.0),))


def test_live_runs_and_all_backfills_together_weigh_the_same() -> None:
    backfills = [other(job=job, lane=job) for job in range(2, 6)]
    assert queued(plan(scene(8, 0, *backfills, backfill=None))) == 4
    live = other(job=2, lane=0)
    assert queued(plan(scene(8, 0, live, other(job=3), other(job=4), other(job=5)))) == 1


def test_the_weight_of_backfills_can_be_set() -> None:
    live = other(lane=0)
    assert queued(plan(scene(8, 0, live, backfill_weight=3.0))) == 6
    assert queued(plan(scene(8, 0, live, backfill_weight=1 / 3))) == 2
    assert queued(plan(scene(8, 0, other(), backfill=None, backfill_weight=1 / 3))) == 6


def test_waits_for_other_resources_change_nothing() -> None:
    assert queued(plan(scene(8, 0, other(resource="pool:other"), other(resource="runs:other")))) == 8


def test_active_tasks_of_the_dag_are_shared_as_well() -> None:
    spec = replace(WIDE, max_active_tasks=6)
    decided = plan(scene(128, 0, other(resource="tasks:dag"), spec=spec))
    assert (queued(decided), reasons(decided)) == (3, {"Fair Share"})
    decided = plan(replace(scene(128, 6, spec=spec), dag_active_tasks=6))
    assert decided.waits == WaitChanges(begun=(CapacityWait("tasks:dag", 0.0),))


def test_a_place_is_not_kept_while_something_else_is_lacking() -> None:
    """Seed 279: two lanes, each first for what the other lacked beside it, gave way to one another for ever."""
    spec = replace(WIDE, max_active_tasks=6)
    waiting = Contender(1, 1, "tasks:dag", LONG_AGO)
    decided = plan(replace(scene(4, 4, waiting, spec=spec), dag_active_tasks=4))
    assert decided.waits == WaitChanges(begun=(CapacityWait(POOL, 0.0),), ended=("tasks:dag",))


def _candidates(running: int, active: int, *contenders: Contender, **more: Any) -> Snapshot:
    """A lane with ``running`` of the DAG's ``active`` runs, and ten more that could begin; at most four may run."""
    spec = dag("a", _dag={"max_active_runs": 4})
    runs = [run(spec, id) for id in range(1, running + 1)]
    queue = [run(spec, id, day=id, state=DagRunState.QUEUED, tis=()) for id in range(20, 30)]
    view = BackfillSnapshot(1, BackfillState.RUNNING, 1, open_runs=running + 10, active_runs=running)
    fields: dict[str, Any] = {"backfill": view, "contended": True, **more}
    return snapshot(spec, *runs, candidates=tuple(queue), dag_active_runs=active, contenders=contenders, **fields)


def test_active_runs_are_shared_as_well() -> None:
    waiting = other(resource="runs:dag")
    assert len(plan(_candidates(0, 0, waiting)).activations) == 2
    assert len(plan(_candidates(3, 3, waiting)).activations) == 0, "the last run slot is the other's"
    assert len(plan(_candidates(1, 3, replace(waiting, occupied=2))).activations) == 1
    full = plan(_candidates(1, 4))
    assert full.waits == WaitChanges(begun=(CapacityWait("runs:dag", 0.0),))


def test_a_backfill_never_keeps_the_last_run_slot_from_live_runs_nor_the_reverse() -> None:
    live, backfill = other(lane=0, resource="runs:dag"), other(lane=9, resource="runs:dag")
    assert plan(_candidates(3, 3, live)).activations == ()
    assert plan(_candidates(3, 3, backfill, backfill=None)).activations == ()


def test_a_lane_that_stops_waits_no_more() -> None:
    assert no_waits(scene(8, 0, other())) is None
    assert no_waits(scene(8, 0, other(), Contender(1, 1, POOL, LONG_AGO))) == WaitChanges(ended=(POOL,))


@pytest.mark.parametrize("lanes", [2, 3, 4])
@pytest.mark.parametrize("size", range(1, 9))
def test_of_lanes_whose_tasks_need_more_than_a_share_one_begins(lanes: int, size: int) -> None:
    """Each had left the free slots to the other (seed 905867), for ever."""
    for slots in range(1, size + 1):
        spec = dag("a", a={"pool_slots": slots})
        waiting = [other(job=job, lane=job, since=LONG_AGO + timedelta(seconds=job)) for job in range(1, lanes + 1)]
        begun = []
        for mine in waiting:
            backfill = BackfillSnapshot(mine.lane, BackfillState.RUNNING, 1, open_runs=1, active_runs=1)
            begun.append(
                queued(plan(replace(scene(size, 0, *waiting, spec=spec, backfill=backfill), job_id=mine.job_id)))
            )
        assert begun[0] == 1, f"{lanes} lanes, {slots} of {size} slots"
        assert sum(begun) * slots <= size or sum(begun) == 1


@st.composite
def lanes_that_wait(draw: st.DrawFn) -> tuple[int, float, list[Contender], list[int]]:
    """A pool's slots, the weight of backfills, lanes that hold nothing and wait for it, and what each needs next."""
    size = draw(st.integers(1, 8))
    jobs = range(1, draw(st.integers(2, 5)) + 1)
    lanes = [
        other(
            job=job,
            lane=draw(st.sampled_from([0, job])),
            since=LONG_AGO + timedelta(seconds=draw(st.integers(0, 3))),
            taken=draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 1 / 3, 7.25])),
        )
        for job in jobs
    ]
    return size, draw(st.sampled_from([0.1, 0.4, 1.0, 3.0])), lanes, [draw(st.integers(1, size)) for _ in jobs]


@given(lanes_that_wait())
@example((3, 1.0, [other(1, 0, taken=2.0), other(2, 2, taken=1.0), other(3, 3, taken=1.0)], [2, 1, 1]))
@example((3, 0.4, [other(1, 0), other(2, 2)], [3, 1]))
def test_of_lanes_that_nothing_else_hinders_one_begins(
    scene_of: tuple[int, float, list[Contender], list[int]],
) -> None:
    """Else they would leave the room to each other for ever: what each decides by does not change."""
    size, weight, lanes, needs = scene_of
    begun = []
    for mine, slots in zip(lanes, needs, strict=True):
        spec = dag("a", a={"pool_slots": slots})
        backfill = None if mine.lane == 0 else BackfillSnapshot(mine.lane, BackfillState.RUNNING, 1, open_runs=1)
        seen = scene(size, 0, *lanes, spec=spec, backfill=backfill, backfill_weight=weight)
        begun.append(queued(plan(replace(seen, job_id=mine.job_id))))
    assert any(begun)
