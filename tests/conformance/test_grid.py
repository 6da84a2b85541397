"""The states of a DAG's tasks over its runs: a letter for each, of a mapped task the worst of its instances."""

from datetime import timedelta

from msgspec.structs import replace

from tailrace.metastore.views.runs import RunFilter
from tailrace.model.outcomes import OutcomeKind
from tests.conformance.mapped import Mapped
from tests.conformance.stories import Drive
from tests.conformance.worlds import FIRST, World, dag

PLAIN = dag("a>b>c")
OF_DAG = RunFilter(PLAIN.dag_id)


def test_each_task_of_each_run_by_date(world: World) -> None:
    Drive(world, PLAIN, world.backfill(PLAIN, 2), {}).go()
    Drive(world, PLAIN, world.backfill(PLAIN, 1, FIRST + timedelta(days=2)), {("b", 1): OutcomeKind.FAILED}).go()
    world.backfill(PLAIN, 1, FIRST + timedelta(days=3))
    found = world.store.grid(PLAIN, OF_DAG, 10)
    assert (found.tasks, found.mapped, found.more) == (("a", "b", "c"), (), False)
    assert [(run.logical_date.day, run.state, run.cells) for run in found.runs] == [
        (1, "success", "SSS"),
        (2, "success", "SSS"),
        (3, "failed", "SFU"),
        (4, "queued", "   "),
    ]
    assert {found.letters[letter] for letter in "SFU"} == {"success", "failed", "upstream_failed"}


def test_the_newest_of_those_that_are_asked_for(world: World) -> None:
    Drive(world, PLAIN, world.backfill(PLAIN, 5), {}).go()
    found = world.store.grid(PLAIN, OF_DAG, 2, ("c", "a"))
    assert ([run.logical_date.day for run in found.runs], found.more, found.tasks) == ([4, 5], True, ("a", "c"))
    until = replace(OF_DAG, last=FIRST + timedelta(days=1))
    found = world.store.grid(PLAIN, until, 2)
    assert ([run.logical_date.day for run in found.runs], found.more) == ([1, 2], False)


def test_a_task_that_the_dag_has_no_more_stands_below(world: World) -> None:
    Drive(world, PLAIN, world.backfill(PLAIN, 1), {}).go()
    less = dag("a>c")
    Drive(world, less, world.backfill(less, 2), {}).go()
    found = world.store.grid(less, OF_DAG, 10)
    assert found.tasks == ("a", "c", "b")
    assert [run.cells for run in found.runs] == ["SSS", "SS "]


def test_the_worst_instance_stands_for_a_mapped_task(world: World) -> None:
    mapped = Mapped(world)
    mapped.leaves([1, 2, 3])
    mapped.step()
    for index, kind in enumerate((OutcomeKind.SUCCESS, OutcomeKind.SKIPPED)):
        mapped.ends("m", index, kind)
    found = world.store.grid(mapped.spec, OF_DAG, 10)
    assert (found.tasks, found.mapped) == (("a", "m", "z"), ("m",))
    assert found.runs[0].cells in ("SQ.", "S..")
    mapped.ends("m", 2, OutcomeKind.FAILED)
    assert world.store.grid(mapped.spec, OF_DAG, 10).runs[0].cells == "SF."
