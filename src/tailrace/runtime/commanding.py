"""Carries out a person's command on the metastore: reads what it is about, decides, writes; again when it was stale."""

from collections.abc import Callable

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.planning.commands import CommandFacts, CommandPlan, CommandScope
from tailrace.planning.resizing import ResizePlan, plan_resize
from tailrace.runtime.driver import new_write_id

#: So often may others change what a command is about between its reading and its writing.
ATTEMPTS = 50
_RESTLESS = "others keep changing what this command is about; try it again when they are done"


def decide(metastore: Metastore, scope: CommandScope, planned: Callable[[CommandFacts], CommandPlan]) -> CommandPlan:
    """What the command would write now. Raises CommandError for one that is refused."""
    plan = planned(metastore.command_facts(scope))
    if plan.refusals:
        raise CommandError("\n".join(plan.refusals))
    return plan


def carry_out(metastore: Metastore, scope: CommandScope, planned: Callable[[CommandFacts], CommandPlan]) -> CommandPlan:
    """Write the command; answers what landed. Raises CommandError, and EnvironmentBroken when it is stale too often."""
    for _ in range(ATTEMPTS):
        plan = decide(metastore, scope, planned)
        if not plan.writes or isinstance(metastore.command(plan, new_write_id()), Done):
            return plan
    raise EnvironmentBroken(_RESTLESS)


def resize_pool(metastore: Metastore, name: str, slots: int, description: str | None) -> ResizePlan:
    """Create the pool or change it; answers what landed. Raises as ``carry_out`` does."""
    for _ in range(ATTEMPTS):
        plan = plan_resize(metastore.resize_facts(name), name, slots, description)
        if plan.refusals:
            raise CommandError("\n".join(plan.refusals))
        if not isinstance(metastore.resize(plan, new_write_id()), MetastoreStale):
            return plan
    raise EnvironmentBroken(_RESTLESS)
