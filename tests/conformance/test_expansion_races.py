"""Of two that write about a mapped task at once one lands; what was changed in its history by hand is found."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.audit.checks import audit
from tailrace.audit.records import AuditRecords, HistoryRecord
from tailrace.effects.results import StaleKind
from tailrace.metastore.db.witness import Witness
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.model.keys import UNMAPPED
from tailrace.model.states import TaskInstanceState
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tests.conformance.interleaving import Beside, Pause, Scene, Write, done, has_won
from tests.conformance.mapped import Mapped
from tests.conformance.worlds import World


def test_of_two_jobs_one_expands_it(world: World, other: Metastore) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan = run.plan()
    assert len(plan.expansions) == 1
    assert world.store.apply(plan, world.write_id()).expanded == (1,)
    again = other.apply(plan, world.write_id())
    assert again.expanded == ()
    assert [stale.kind for stale in again.stale] == [StaleKind.EXPANSION]
    assert len(run.evidence()) == 2
    world.sound()


def test_repeated_under_its_id_it_has_landed_once(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan, id = run.plan(), world.write_id()
    assert world.store.apply(plan, id) == world.store.apply(plan, id)
    assert len(run.evidence()) == 2


def _cleared(run: Mapped) -> None:
    run.world.clear("a")


def _marked(run: Mapped) -> None:
    run.world.do(plan_mark_tasks(run.world.about(), MarkRequest(TaskInstanceState.SKIPPED, ("m",))))


@pytest.mark.parametrize("meanwhile", [_cleared, _marked])
def test_a_command_since_then_makes_it_stale(world: World, meanwhile: Callable[[Mapped], None]) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan = run.plan()
    meanwhile(run)
    assert world.store.apply(plan, world.write_id()).expanded == ()
    assert UNMAPPED in run.indexes()
    world.sound()


@pytest.mark.parametrize("changed", ["instances", "sources"])
def test_each_fact_that_it_stands_on_is_looked_at_again(world: World, changed: str) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan = run.plan()
    [part] = plan.expansions
    wrong = (
        replace(part, instances={})
        if changed == "instances"
        else replace(part, sources={run.id("a"): (TaskInstanceState.SUCCESS, 2)})
    )
    assert world.store.apply(replace(plan, expansions=(wrong,)), world.write_id()).expanded == ()
    assert run.indexes() == {UNMAPPED: "none"}


def test_an_expansion_since_then_makes_a_command_stale(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    mark = plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, ("m",)))
    run.step()
    assert isinstance(world.do(mark), MetastoreStale)
    assert run.indexes() == {0: "none", 1: "none"}


class _Contest(Scene):
    """An expansion that two jobs have decided, and commands that were decided in the same moment: only one may land."""

    def _set(self) -> None:
        self.run = Mapped(self.world)
        self.run.leaves([1, 2])

    def _planned(self) -> dict[str, Write]:
        decided, prize = self.run.plan(), frozenset({"the run as it was"})
        facts = self.world.about()
        clear = plan_clear(facts, ClearRequest(("a",)))
        mark = plan_mark_tasks(facts, MarkRequest(TaskInstanceState.SUCCESS, ("m",)))
        return {
            "expand": Write(lambda store, id: store.apply(decided, id), lambda done: bool(done.expanded), prize),
            "clear": Write(lambda store, id: store.command(clear, id), lambda done: isinstance(done, Done), prize),
            "mark": Write(lambda store, id: store.command(mark, id), lambda done: isinstance(done, Done), prize),
        }

    def _of_tries(self) -> dict[str, Write]:
        return {}

    _of_people = _of_jobs = _of_tries


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_an_expansion_paused_anywhere_with_another_write_inside(
    world: World, open_store: Callable[..., Metastore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Witness, "look", lambda witness, tx: None)  # a scene puts back what was there, again and again
    scene = _Contest(world)
    first, second, watcher = open_store(), open_store(), open_store()
    pause = Pause(first)
    for one, other in (("expand", "expand"), ("expand", "clear"), ("expand", "mark"), ("clear", "expand")):
        for _ in range(2):  # the first one also finds what the store then knows
            scene.back()
            pause.at(0, lambda: None)
            assert has_won(scene.writes[one], done(scene.writes[one], first, world.write_id()))
        for statement in range(2, pause.seen):
            scene.back()
            beside = Beside(scene.writes[other], second, watcher, world.write_id())
            pause.at(statement, beside.start)
            answers = done(scene.writes[one], first, world.write_id()), beside.finish()
            won = [has_won(scene.writes[name], answer) for name, answer in zip((one, other), answers, strict=True)]
            assert pause.happened and sum(won) == 1, f"{one}, paused after statement {statement}, {other} inside"
            world.sound()


def _without(*places: str) -> Callable[[AuditRecords], AuditRecords]:
    """No row of history tells of these instances."""

    def change(records: AuditRecords) -> AuditRecords:
        kept = tuple(row for row in records.history if f"{row.task_id}[{row.map_index}]" not in places)
        left = tuple(ti for ti in records.task_instances if f"{ti.task_id}[{ti.map_index}]" not in places)
        return replace(records, history=kept, task_instances=left)

    return change


def _with_evidence(**fields: Any) -> Callable[[AuditRecords], AuditRecords]:
    """Every row of the expansion says something else."""

    def one(row: HistoryRecord) -> HistoryRecord:
        if row.evidence is None or row.evidence.expanded is None:
            return row
        return replace(row, evidence=replace(row.evidence, expanded=replace(row.evidence.expanded, **fields)))

    return lambda records: replace(records, history=tuple(map(one, records.history)))


def _untold(records: AuditRecords) -> AuditRecords:
    history = tuple(replace(row, evidence=None) if row.cause == "expanded" else row for row in records.history)
    return replace(records, history=history)


def _twice(records: AuditRecords) -> AuditRecords:
    """The rows of the expansion come once more right behind it, as of instances that stand there already."""
    rows = [row for row in records.history if row.cause == "expanded"]
    again = [
        replace(row, before="none", evidence=replace(row.evidence, expanded=replace(row.evidence.expanded, was=None)))
        for row in rows
        if row.evidence is not None and row.evidence.expanded is not None
    ]
    place = records.history.index(rows[-1]) + 1
    return replace(records, history=(*records.history[:place], *again, *records.history[place:]))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_without("m[2]"), "was expanded into 3 instances, it has the indexes 0 to 1"),
        (_with_evidence(count=2), "it names 2 instances, the lengths say 3"),
        (_with_evidence(lengths=(2,)), "it names 3 instances, the lengths say 2"),
        (_with_evidence(lengths=(2,), count=2), "index 2 of 2 became none"),
        (_with_evidence(lengths=(3, 1)), "the task is mapped over"),
        (_with_evidence(sources={}), "it names try None of task instance 1"),
        (_with_evidence(sources={1: 2}), "it names try 2 of task instance 1, which was success in try 1"),
        (_untold, "nothing says from what"),
        (_twice, "expanded although its number stood"),
    ],
)
def test_what_an_expansion_is_changed_into_is_found(
    world: World, change: Callable[[AuditRecords], AuditRecords], found: str
) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    for index in range(3):
        run.ends("m", index)
    run.ends("z")
    run.step()
    world.sound()
    violations = audit(change(world.store.audit_records()))
    assert any(found in str(each) for each in violations), violations
