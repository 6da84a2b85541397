"""A person's commands: read what each is about, decide, write unless it is only tried; again when it was stale."""

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandFacts, CommandPlan, CommandScope
from tailrace.planning.marking import MarkRequest, plan_mark_runs, plan_mark_tasks
from tailrace.planning.messages import Action, Advised, Refused, Remedy, Typed
from tailrace.planning.resizing import ResizePlan, plan_resize
from tailrace.runtime.opening import new_write_id
from tailrace.service.dag_lookup import find_dag
from tailrace.service.dagfiles import load_with
from tailrace.service.reason_structs import Coded, coded, no_backfill, sentences
from tailrace.service.scopes import RunsNamed, scope_of
from tailrace.service.stores import Stores

#: So often may others change what a command is about between its reading and its writing.
_ATTEMPTS = 50
_RESTLESS = "others keep changing what this command is about; try it again when they are done"

_Scoped = Callable[[Metastore], CommandScope]
_Planned = Callable[[CommandFacts], CommandPlan]


class ChangedTask(Struct, frozen=True):
    """What becomes of one task instance; ``before`` is None for one that is created, ``stopping_to`` where it ends."""

    run_id: str
    task_id: str
    map_index: int
    before: TaskInstanceState | None
    after: TaskInstanceState
    stopping_to: TaskInstanceState | None


class ChangedRun(Struct, frozen=True):
    """What becomes of one run."""

    run_id: str
    before: DagRunState
    after: DagRunState


class ChangeResult(Struct, frozen=True, kw_only=True):
    """What a command changes, or has changed; ``writes`` says whether there is anything to write."""

    schema: int = 1
    command: str
    dag_id: str
    backfill_id: int | None
    changed: bool
    task_instances: tuple[ChangedTask, ...]
    runs: tuple[ChangedRun, ...]
    notices: tuple[str, ...]
    notice_codes: tuple[Coded, ...]
    writes: bool


def clear(stores: Stores, named: RunsNamed, request: ClearRequest, *, dry_run: bool) -> ChangeResult:
    """Have these task instances of the runs done again."""
    return _on_runs(stores, named, partial(plan_clear, request=request), dry_run)


def mark_tasks(stores: Stores, named: RunsNamed, request: MarkRequest, *, dry_run: bool) -> ChangeResult:
    """Give these task instances of the runs an outcome without running them."""
    return _on_runs(stores, named, partial(plan_mark_tasks, request=request), dry_run)


def mark_runs(stores: Stores, named: RunsNamed, state: DagRunState, *, dry_run: bool) -> ChangeResult:
    """Give the runs a verdict without running anything."""
    return _on_runs(stores, named, partial(plan_mark_runs, state=state), dry_run)


def cancel(stores: Stores, backfill_id: int, *, dry_run: bool) -> ChangeResult:
    """End the backfill; what only it wants is stopped."""
    return _on_backfill(stores, backfill_id, plan_cancel, dry_run)


def pause(stores: Stores, backfill_id: int, *, paused: bool, dry_run: bool = False) -> ChangeResult:
    """Let nothing more of the backfill start, or let it go on."""
    return _on_backfill(stores, backfill_id, partial(plan_pause, paused=paused), dry_run)


def _on_runs(stores: Stores, named: RunsNamed, planned: _Planned, dry_run: bool) -> ChangeResult:
    return _command(stores, lambda metastore: scope_of(metastore, named), planned, named.dag_id, dry_run)


def _on_backfill(stores: Stores, backfill_id: int, planned: _Planned, dry_run: bool) -> ChangeResult:
    def scoped(metastore: Metastore) -> CommandScope:
        if metastore.show_backfill(backfill_id) is None:
            raise Refused(no_backfill(backfill_id))
        return CommandScope(backfill_id=backfill_id)

    return _command(stores, scoped, planned, f"backfill {backfill_id}", dry_run)


def _command(stores: Stores, scoped: _Scoped, planned: _Planned, about: str, dry_run: bool) -> ChangeResult:
    """Raises CommandError for a command that is refused, EnvironmentBroken when it is stale too often."""
    metastore = stores.reading() if dry_run else stores.existing()
    if metastore is None:
        raise CommandError(f"nothing has run here yet, so there is nothing of {about} to change")
    scope = scoped(metastore)
    for _ in range(_ATTEMPTS):
        plan = planned(metastore.command_facts(scope))
        if plan.refusals:
            raise Refused(*plan.refusals)
        if dry_run or not plan.writes or isinstance(metastore.command(plan, new_write_id()), Done):
            return _shown(plan, dry_run, stores.typed)
    raise EnvironmentBroken(_RESTLESS)


def _shown(plan: CommandPlan, dry_run: bool, typed: Typed) -> ChangeResult:
    changed = [
        ChangedTask(key.run_id, key.task_id, key.map_index, step.before, step.after, step.stopping_to)
        for step in plan.task_instances
        for key in (step.key,)
    ]
    changed += [
        ChangedTask(key.run_id, key.task_id, key.map_index, None, new.state, None)
        for new in plan.created
        for key in (new.key,)
    ]
    runs = [each for each in plan.runs if each.after is not each.before]
    return ChangeResult(
        command=str(plan.kind),
        dag_id=plan.dag_id,
        backfill_id=None if plan.backfill is None else plan.backfill.id,
        changed=plan.writes and not dry_run,
        task_instances=tuple(changed),
        runs=tuple(ChangedRun(each.run_id, each.before, each.after) for each in runs),
        notices=sentences(plan.notices, typed),
        notice_codes=coded(plan.notices),
        writes=plan.writes,
    )


# --- pools and DAGs -----------------------------------------------------------------------------------------


def set_pool(stores: Stores, name: str, slots: int, description: str | None) -> ResizePlan:
    """Create the pool or change it; returns what landed. Raises as a command does."""
    return resize_pool(stores.opened(), name, slots, description)


def resize_pool(metastore: Metastore, name: str, slots: int, description: str | None) -> ResizePlan:
    """The same over this metastore."""
    for _ in range(_ATTEMPTS):
        plan = plan_resize(metastore.resize_facts(name), name, slots, description)
        if plan.refusals:
            raise Refused(*plan.refusals)
        if not isinstance(metastore.resize(plan, new_write_id()), MetastoreStale):
            return plan
    raise EnvironmentBroken(_RESTLESS)


def delete_pool(stores: Stores, name: str) -> None:
    """Delete a pool that nothing uses. Raises CommandError for any other."""
    metastore = stores.existing()
    known = () if metastore is None else tuple(pool.name for pool in metastore.list_pools())
    if metastore is None or name not in known:
        if guess := did_you_mean(name, known):
            raise CommandError(f"no pool {name!r}{guess}")
        raise Refused(Advised((f"no pool {name!r}; ", Remedy(Action.LIST_POOLS), " lists them")))
    metastore.delete_pool(name, new_write_id())


def pause_dag(stores: Stores, dag_id: str, notify: Callable[[str], None], *, paused: bool) -> None:
    """Pause the DAG's schedule, or let it go on. One that is not known is looked for in the DAG files.

    Raises CommandError or AuthoringError for one that is not there either. ``notify`` is called as files load.
    """
    metastore = stores.existing()
    if metastore is not None and metastore.set_paused(dag_id, paused, new_write_id()):
        return
    stores.close()  # before the process that loads them is forked
    report, path = load_with(dag_id, stores.settings, notify)
    find_dag(report, dag_id, path)
    metastore = stores.opened()
    metastore.store_loaded(report.to_keep, new_write_id(), paused=stores.settings.dags_are_paused_at_creation)
    metastore.set_paused(dag_id, paused, new_write_id())
