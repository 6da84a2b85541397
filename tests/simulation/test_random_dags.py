"""Random DAGs: what is written is what is compiled, they are as mixed as they are said to be, and get smaller."""

from collections import Counter
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tailrace.audit.records import AuditRecords
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import BranchKind, Together, XComRef
from tailrace.simulator import history
from tailrace.simulator.canaries import CANARIES
from tailrace.simulator.choices import Seeded
from tailrace.simulator.drawn_dags import drawn_dag
from tailrace.simulator.exploring import one, world
from tailrace.simulator.history import Judgement
from tailrace.simulator.random_dags import RandomDag, random_dag_scenario
from tailrace.simulator.scenario import Scenario
from tailrace.simulator.smaller import smallest, without
from tailrace.simulator.world_text import lines_of
from tailrace.simulator.written_dags import Kind, WrittenDag, WrittenGroup, WrittenTask, compiled, differences, edges_of

SEEDS = range(700)


def features_of(scenario: Scenario) -> Iterator[str]:
    """What a world has, by names."""
    dag = scenario.dag
    yield f"{len(dag.tasks)} tasks"
    yield f"{len(scenario.logical_dates())} dates"
    yield from (name for name in ("fail_fast", "dagrun_timeout", "groups", "calls") if getattr(dag, name))
    yield "two jobs" if len(scenario.commands) > 1 else "one job"
    yield "one range" if scenario.one_range else "overlapping ranges"
    yield from (["narrow pool"] if scenario.narrowed else [])
    yield from (["schedulers"] if any(command.scheduler for command in scenario.commands) else [])
    yield from (str(act.kind) for act in scenario.acts)
    for task in dag.tasks:
        yield from (f"rule {task.trigger_rule}", f"{task.retries} retries", f"decides {task.decides}", task.operator)
        for name in ("depends_on_past", "wait_for_downstream", "execution_timeout", "retry_policy", "calls"):
            yield from [name] if getattr(task, name) else []
        yield from [f"pool {task.pool}"]
        over = task.mapped_over or ()
        yield from (f"over {type(each).__name__}" for each in over)
        yield from ["mapped group", f"mapped group, decides {task.decides}"] if task.mapped_group else []
        yield from (f"over {each.how}" for each in over if isinstance(each, Together))
        yield from (f"over key {each.key}" for each in over if isinstance(each, XComRef))
        yield from ["product"] if len(over) > 1 else []
        yield from ["over a mapped one"] if {ref.task_id for ref in task.length_sources} & mapped_of(scenario) else []


def mapped_of(scenario: Scenario) -> set[str]:
    return {task.task_id for task in scenario.dag.mapped}


def test_what_is_written_is_compiled_and_every_feature_occurs() -> None:
    """The scenario of each seed says by itself where its DAG is not what was written."""
    found: Counter[str] = Counter()
    for seed in SEEDS:
        scenario = random_dag_scenario(seed)
        assert scenario.miscompiled == ()
        assert isinstance(scenario, RandomDag)
        found.update(set(features_of(scenario)))
        found.update({"soft_fail" for waiting in scenario.waiting.values() if waiting.soft_fail})
        found.update({"reschedules" for waiting in scenario.waiting.values() if waiting.reschedules})
    wanted = {f"{number} tasks" for number in (2, 3, 4, 5, 6, 7, 8, 10, 12)} | {"2 dates", "3 dates", "4 dates"}
    wanted |= {f"rule {rule}" for rule in TriggerRule} | {f"decides {kind}" for kind in BranchKind}
    wanted |= {"fail_fast", "dagrun_timeout", "groups", "calls", "one job", "two jobs", "one range"}
    wanted |= {"overlapping ranges", "narrow pool", "schedulers", "clears", "pauses", "0 retries", "1 retries"}
    wanted |= {"2 retries", "depends_on_past", "wait_for_downstream", "execution_timeout", "retry_policy"}
    wanted |= {"pool small", "pool endless", "over int", "over XComRef", "over shortest", "over longest", "over sum"}
    wanted |= {
        "over key k",
        "product",
        "over a mapped one",
        "soft_fail",
        "reschedules",
        "PythonSensor",
        "EmptyOperator",
    }
    wanted |= {"mapped group", *(f"mapped group, decides {kind}" for kind in BranchKind)}
    assert wanted - {name for name, count in found.items() if count >= 5} == set()


@pytest.mark.parametrize("kind", OutcomeKind)
def test_every_end_of_a_try_is_drawn(kind: OutcomeKind) -> None:
    """But for the losses, which are faults, and what gives its worker back."""
    ends = (
        scenario.ending(task.task_id, scenario.logical_dates()[0], 1).kind
        for scenario in map(random_dag_scenario, range(60))
        for task in scenario.dag.tasks
    )
    assert (kind in ends) == (kind not in (OutcomeKind.LOST, OutcomeKind.LOST_TOGETHER, OutcomeKind.RESCHEDULED))


def test_the_oracle_is_asked_of_most_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that no clock decides; a check that is never made finds nothing."""
    asked: list[int] = []
    ends = history._unexpected

    def counted(scenario: Scenario, records: AuditRecords) -> Iterator[str]:
        asked.append(scenario.seed)
        return ends(scenario, records)

    monkeypatch.setattr(history, "_unexpected", counted)
    for seed in range(10):
        assert one(random_dag_scenario(seed), Seeded(seed)).judgement is Judgement.WELL
    assert len(asked) >= 7


def test_relations_of_groups_and_outputs_come_to_edges() -> None:
    """The second way of working them out, against what is easily seen."""
    dag = WrittenDag(
        "d",
        (
            WrittenTask("a"),
            WrittenTask("b", group="g"),
            WrittenTask("c", group="h", over=(XComRef("b"),)),
            WrittenTask("d", group="h"),
            WrittenTask("e", takes=("a",)),
        ),
        (WrittenGroup("g"), WrittenGroup("h", parent="g")),
        relations=(("a", "g"), ("g", "e"), ("b", "h")),
    )
    assert edges_of(dag) == {("a", "b"), ("b", "c"), ("b", "d"), ("c", "e"), ("d", "e"), ("a", "e")}
    assert list(differences(dag, compiled(dag))) == []
    other = replace(dag, relations=dag.relations[1:])
    assert next(differences(other, compiled(dag))) == "compiled: downstream of a is ('e', 'g.b') instead of ('e',)"


def test_a_mapped_group_comes_after_what_it_is_expanded_over() -> None:
    """Each task that is given its item does."""
    dag = WrittenDag(
        "d",
        (WrittenTask("a"), WrittenTask("b", group="g"), WrittenTask("c", group="g", item=True), WrittenTask("d")),
        (WrittenGroup("g", over=(XComRef("a"), 2)),),
        relations=(("b", "c"), ("g", "d")),
    )
    assert edges_of(dag) == {("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")}
    spec = compiled(dag)
    assert list(differences(dag, spec)) == []
    assert {task.task_id for task in spec.mapped_groups["g"]} == {"g.b", "g.c"}
    other = replace(dag, groups=(replace(dag.groups[0], over=(XComRef("a"), 3)),))
    assert any("mapped_over of g.b" in each for each in differences(other, spec))


def test_what_is_wrong_in_the_authors_file_is_told() -> None:
    wrong = WrittenDag("d", (WrittenTask("a", kind=Kind.BRANCH),))
    with pytest.raises(ValueError, match="it decides between tasks, and has none downstream"):
        compiled(wrong)


def test_a_failing_world_gets_smaller() -> None:
    """Twelve tasks on four dates, of which one task and two dates are enough."""
    canary, seed = CANARIES["policy-unread"], 11
    large = world(seed, canary)
    scenario, found = smallest(seed, canary)
    assert found.history.problem == one(large, Seeded(seed), canary).problem
    assert (len(large.dag.tasks), len(scenario.dag.tasks)) == (12, 1)
    assert len(lines_of(scenario)) < len(lines_of(large)) / 2


def test_a_seed_that_is_well_stays_as_it_is() -> None:
    scenario, found = smallest(3, worlds="dags")
    assert (scenario, found.history.judgement) == (random_dag_scenario(3), Judgement.WELL)


def test_a_task_is_left_out_everywhere() -> None:
    dag = drawn_dag(8)
    spec = compiled(dag)
    smaller = without(spec, "t0")
    assert "t0" not in {name for task in smaller.tasks for name in (task.task_id, *task.upstream, *task.downstream)}
    assert all(ref.task_id != "t0" for task in smaller.tasks for ref in task.length_sources)
