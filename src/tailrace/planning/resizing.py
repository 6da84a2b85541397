"""Decides what changing a pool's slots does: runs that were deadlocked for want of them open again.

A pool of 0 slots is frozen by a person: what needs it waits, however many slots it needs, until it has some again.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct, field

from tailrace.model.names import label_error
from tailrace.model.plain_text import LONGEST_TEXT, visible_line
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Cause
from tailrace.planning.commands import CommandFacts, CommandKind, CommandPlan, DeadlockedRun, RunChange
from tailrace.planning.dependencies import UNLIMITED
from tailrace.planning.messages import Message
from tailrace.planning.notices import GoAgain, PoolStandsStill
from tailrace.planning.refusals import BadPoolName, BadSlots
from tailrace.planning.reopening import drivers, freed_runs
from tailrace.planning.snapshot import RunSnapshot

_REASON = "the pool that it needs was changed"


class ResizeFacts(Struct, frozen=True):
    """What the metastore knows of a pool: its slots (None: it does not exist), and who is deadlocked for a pool.

    ``dags`` are the facts of each DAG with such a run, ``deadlocked`` the versions of these runs, by row.
    """

    slots: int | None = None
    dags: tuple[CommandFacts, ...] = ()
    deadlocked: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))


class ResizePlan(Struct, frozen=True):
    """Everything that creating or changing a pool writes, as a whole or not at all. ``before`` is as in the facts."""

    name: str
    slots: int
    description: str | None = None  # None: it stays as it is
    before: int | None = None
    deadlocked: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    reopens: tuple[CommandPlan, ...] = ()
    notices: tuple[Message, ...] = ()  # for the person
    refusals: tuple[Message, ...] = ()


def plan_resize(facts: ResizeFacts, name: str, slots: int, description: str | None = None) -> ResizePlan:
    """Everything that giving the pool so many slots (-1: no limit) writes. Refused for a bad name or size."""
    refusal: Message | None = None
    if slots < UNLIMITED:
        refusal = BadSlots(name, slots)
    elif facts.slots is None and (wrong := label_error(name)):
        refusal = BadPoolName(wrong)
    if refusal is not None:
        return ResizePlan(name, slots, refusals=(refusal,))
    reopens = tuple(plan for dag in facts.dags if (plan := _reopen(dag, name, slots)) is not None)
    return ResizePlan(
        name,
        slots,
        None if description is None else visible_line(description, LONGEST_TEXT),
        facts.slots,
        facts.deadlocked,
        reopens,
        notices=tuple(_notices(name, slots, reopens)),
    )


def _reopen(facts: CommandFacts, name: str, slots: int) -> CommandPlan | None:
    """The runs of one DAG that were deadlocked for the pool and may go on, with those that they deadlocked."""
    dag = facts.dag
    if dag is None:
        return None
    cause = Cause.RESIZED
    named: list[tuple[RunSnapshot, RunChange]] = []
    for found in facts.deadlocked:
        if _is_let_go(dag, found, name, slots):
            run, before, after = found.run, DagRunState.DEADLOCKED, DagRunState.QUEUED
            to_schedulers = not run.wanted_by
            change = RunChange(
                run.id, run.run_id, run.version, before, after, cause, _REASON, to_schedulers=to_schedulers
            )
            named.append((run, change))
    if not named:
        return None
    touched = {found.run.id: frozenset(found.blocked) for found in facts.deadlocked}
    touched = {run.id: touched[run.id] for run, _ in named}
    named += freed_runs(facts, dag, touched, cause)
    return CommandPlan(
        CommandKind.RESIZE,
        facts.dag_id,
        runs=tuple(change for _, change in named),
        structure=facts.structure,
        wanted={run.id: run.wanted_by for run, _ in named},
        deadlocked={found.run.id: found.run.version for found in facts.deadlocked},
        notices=tuple(drivers(facts, (run for run, _ in named))),
    )


def _is_let_go(dag: DagSpec, found: DeadlockedRun, name: str, slots: int) -> bool:
    """Whether a task that was blocked by this pool fits into it now."""
    for task_id in found.by_pool:
        task = dag.by_id.get(task_id)
        if (
            task is not None
            and (found.run.options.pool or task.pool) == name
            and (slots == UNLIMITED or task.pool_slots <= slots)
        ):
            return True
    return False


def _notices(name: str, slots: int, reopens: tuple[CommandPlan, ...]) -> Iterator[Message]:
    if slots == 0:
        yield PoolStandsStill(name)
    for plan in reopens:
        yield GoAgain(plan.dag_id, len(plan.runs))
        yield from plan.notices
