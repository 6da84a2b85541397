"""A smaller world that fails in the same way: fewer dates, commands, faults, tasks, and less said of each task.

Each cut is tried by itself and kept where the world still fails by the same check, until none is left that is.
"""

from collections.abc import Iterator

from msgspec.structs import asdict, replace

from tailrace.model.spec import BranchKind, DagSpec, Over, TaskSpec, Together, XComRef
from tailrace.simulator.canaries import Canary
from tailrace.simulator.choices import Seeded
from tailrace.simulator.exploring import PRODUCT, SeedHistory, one, world
from tailrace.simulator.history import Judgement
from tailrace.simulator.scenario import Faults, Scenario

#: So many seeds of choices are tried of each cut: what is found in most interleavings is soon found again.
_CHOICES = 3
_UNSAID = TaskSpec("")


def smallest(
    seed: int, variant: Canary = PRODUCT, worlds: str | None = None, *, attempts: int = 600
) -> tuple[Scenario, SeedHistory]:
    """The smallest world that was found, and its history with the seed of its choices; of a seed that fails."""
    scenario = world(seed, variant, worlds)
    found = SeedHistory(one(scenario, Seeded(seed), variant), seed)
    if found.history.judgement is Judgement.WELL:
        return scenario, found
    cut = True
    while cut:
        cut = False
        for smaller in _cuts(scenario):
            for choices in range(found.seed, found.seed + _CHOICES):
                attempts -= 1
                tried = one(smaller, Seeded(choices), variant)
                if tried.problem == found.history.problem:
                    scenario, found, cut = smaller, SeedHistory(tried, choices), True
                    break
            if cut or attempts <= 0:
                break
    return scenario, found


def _cuts(scenario: Scenario) -> Iterator[Scenario]:
    """Everything that can be left out of a world, the largest parts first."""
    if len(scenario.dag.tasks) > 1:
        for task in reversed(scenario.dag.tasks):
            acts = tuple(act for act in scenario.acts if act.task_id != task.task_id)
            yield replace(scenario, dag=without(scenario.dag, task.task_id), acts=acts)
    plainer = {"faults": Faults(), "acts": (), "workers": 1, "slow": False, "disable_retry": False}
    yield from (
        replace(scenario, **{name: value}) for name, value in plainer.items() if getattr(scenario, name) != value
    )
    if len(scenario.commands) > 1:
        for at in range(len(scenario.commands)):
            yield replace(scenario, commands=(*scenario.commands[:at], *scenario.commands[at + 1 :]))
    if any(command.days > 1 for command in scenario.commands):
        yield replace(
            scenario,
            commands=tuple(replace(command, days=max(1, command.days - 1)) for command in scenario.commands),
        )
    for dag in _plainer_dags(scenario.dag):
        yield replace(scenario, dag=dag)


def without(dag: DagSpec, task_id: str) -> DagSpec:
    """The DAG without a task. What was expanded over it has two items instead."""
    tasks = (
        replace(
            task,
            upstream=tuple(each for each in task.upstream if each != task_id),
            downstream=tuple(each for each in task.downstream if each != task_id),
            mapped_over=None
            if task.mapped_over is None
            else tuple(_instead(each, task_id) for each in task.mapped_over),
        )
        for task in dag.tasks
        if task.task_id != task_id
    )
    groups = (replace(group, tasks=tuple(each for each in group.tasks if each != task_id)) for group in dag.groups)
    return replace(dag, tasks=tuple(tasks), groups=tuple(groups))


def _instead(over: Over, task_id: str) -> Over:
    if isinstance(over, XComRef):
        return 2 if over.task_id == task_id else over
    if isinstance(over, Together):
        return Together(over.how, tuple(_instead(each, task_id) for each in over.of))
    return over


def _plainer_dags(dag: DagSpec) -> Iterator[DagSpec]:
    """The DAG with one thing less said of one of its tasks."""
    for at, task in enumerate(dag.tasks):
        for name, value in asdict(task).items():
            unsaid = BranchKind.NOTHING if name == "decides" else getattr(_UNSAID, name)
            if name in ("task_id", "operator", "upstream", "downstream") or value == unsaid:
                continue
            if name == "mapped_over" and task.mapped_group:
                continue  # it is the group's
            plainer = replace(task, **{name: unsaid})
            yield replace(dag, tasks=(*dag.tasks[:at], plainer, *dag.tasks[at + 1 :]))
