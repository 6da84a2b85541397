"""A person at bad moments: clears, marks, pauses, cancels, triggers, cleans and resizes pools while everything runs.

A command is read and decided at one moment and written at another, like the product's own: between the two anybody may
go, and then it is stale and done again.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.metastore.store import Done, MetastoreStale
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.choosing import Choice
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandKind, CommandPlan, CommandScope
from tailrace.planning.marking import MarkRequest, plan_mark_runs, plan_mark_tasks
from tailrace.planning.resizing import ResizePlan, plan_resize
from tailrace.planning.triggering import TriggerPlan, TriggerRequest, plan_trigger
from tailrace.simulator.acts import Act, ActKind
from tailrace.simulator.coverage import TRIGGER_REFUSED
from tailrace.simulator.world_state import WorldState


class Person:
    """Does the acts of a scenario in their order, each in two steps: reads and decides, then writes."""

    def __init__(self, world: WorldState, commanded: Callable[[CommandPlan], None]) -> None:
        self._world, self._commanded = world, commanded
        world.pending += [self._pending(act) for act in world.scenario.acts]

    def _pending(self, act: Act) -> Callable[[], None]:
        return lambda: self._begin(act)

    def _begin(self, act: Act, *, resume: bool = False) -> None:
        """Read, decide, and mean to write."""
        world = self._world
        if act.kind is ActKind.POOL:
            self._begin_resize(act.slots)
            return
        if act.kind is ActKind.REPROCESS:
            command = next(each for each in world.scenario.commands if not each.scheduler)
            world.commands.append(replace(command, reprocess=act.state, conf=None))  # runs keep what they have
            return
        if act.kind is ActKind.TRIGGER:
            self._begin_trigger(act)
            return
        if act.kind is ActKind.CLEAN:
            self._clean(Cleaning(world.clock.wall()))
            return
        plan = self._decide(act, resume=resume)
        if plan.refusals or not plan.writes:
            world.record("person", "CANNOT", f"{act}: {(*plan.refusals, *plan.notices, 'nothing to do')[0]}")
            return
        world.record("person", "DECIDES", "resumes backfill" if resume else str(act))
        world.pending.insert(0, lambda: self._write(act, plan, resume=resume))

    def _begin_resize(self, slots: int) -> None:
        """Read and decide what resizing the pool opens again, and mean to write it; a frozen pool thaws some day."""
        world = self._world
        plan = plan_resize(world.metastore.resize_facts("small"), "small", slots)
        world.record("person", "DECIDES", f"small is to have {slots} slots")
        world.pending.insert(0, lambda: self._write_resize(plan))

    def _write_resize(self, plan: ResizePlan) -> None:
        """Resize it, or decide again."""
        world = self._world
        done = world.metastore.resize(plan, world.write_id())
        if isinstance(done, MetastoreStale):
            world.refused.add(f"command: {CommandKind.RESIZE}")
            world.record("person", "IS LATE", done.reason)
            world.pending.insert(0, lambda: self._begin_resize(plan.slots))
            return
        opened = sum(len(each.runs) for each in plan.reopens)
        world.record("person", "POOL", f"small has {plan.slots} slots now, {opened} runs go again")
        if plan.slots == 0:
            most = max(task.pool_slots for task in world.scenario.dag.tasks)
            world.pending.append(lambda: self._begin_resize(most))
        if opened:
            world.type_again()

    def _clean(self, cleaning: Cleaning) -> None:
        """Remove a piece of what is old, and mean to go on until nothing is left of it."""
        world = self._world
        removed = world.metastore.clean_some(cleaning, world.write_id())
        world.record("person", "CLEANS", ", ".join(f"{what}: {count}" for what, count in removed.items()) or "all done")
        if removed:
            world.pending.insert(0, lambda: self._clean(cleaning))

    def _begin_trigger(self, act: Act) -> None:
        """Read and decide what run there is to be, and mean to create it."""
        world, dag = self._world, self._world.scenario.dag
        request = TriggerRequest(self._date(act))
        wanted = plan_trigger(dag, request, world.clock.wall(), None)
        facts = world.metastore.trigger_facts(dag.dag_id, wanted.logical_date, wanted.run_id)
        plan = plan_trigger(dag, request, facts.now, facts)
        if plan.refusals:
            world.record("person", "CANNOT", f"{act}: {plan.refusals[0]}")
            return
        world.record("person", "DECIDES", str(act))
        world.pending.insert(0, lambda: self._write_trigger(act, plan))

    def _write_trigger(self, act: Act, plan: TriggerPlan) -> None:
        """Create the run, or decide again."""
        world = self._world
        done = world.metastore.trigger(world.scenario.dag, plan, world.write_id())
        if isinstance(done, MetastoreStale):
            world.refused.add(TRIGGER_REFUSED)
            world.record("person", "IS LATE", done.reason)
            world.pending.insert(0, lambda: self._begin(act))
            return
        world.record("person", "TRIGGERS", plan.run_id)
        world.type_again(schedulers=True)

    def _write(self, act: Act, plan: CommandPlan, *, resume: bool) -> None:
        """Write what was decided, or decide again."""
        world = self._world
        done = world.metastore.command(plan, world.write_id())
        if isinstance(done, MetastoreStale):
            world.refused.add(f"command: {plan.kind}")
            world.record("person", "IS LATE", done.reason)
            world.pending.insert(0, lambda: self._begin(act, resume=resume))
            return
        assert isinstance(done, Done), "a command is done or stale"
        world.record("person", "COMMANDS", f"{plan.kind}: {done.task_instances} task instances, {done.runs} runs")
        for change in plan.task_instances:
            if change.fresh:
                world.ledger.failures[change.id] = 0
        self._commanded(plan)
        if act.kind is ActKind.PAUSE and not resume:
            world.pending.append(lambda: self._begin(act, resume=True))
        else:  # the notices say which command drives what is open again; it is typed
            world.type_again(all_over=act.kind is ActKind.CANCEL)

    def _scope(self, act: Act) -> CommandScope:
        if act.kind in (ActKind.PAUSE, ActKind.CANCEL):
            return CommandScope(backfill_id=act.backfill)
        date = self._date(act)
        return CommandScope(self._world.scenario.dag.dag_id, first=date, last=date)

    def _date(self, act: Act) -> datetime:
        return self._world.scenario.logical_dates()[0] + timedelta(days=act.day, hours=act.hours)

    def _decide(self, act: Act, *, resume: bool) -> CommandPlan:
        facts = self._world.metastore.command_facts(self._scope(act))
        tasks = () if act.task_id is None else (act.task_id,)
        match act.kind:
            case ActKind.CLEAR if act.in_part:
                return plan_clear(facts, ClearRequest(choice=Choice(tasks, downstream=act.relatives)))
            case ActKind.CLEAR:
                return plan_clear(facts, ClearRequest(tasks, act.map_index, downstream=act.relatives))
            case ActKind.MARK_TASK:
                clears = not act.relatives and act.slots % 2 == 1 and act.state != TaskInstanceState.FAILED
                request = MarkRequest(
                    TaskInstanceState(act.state),
                    tasks,
                    act.map_index,
                    downstream=act.relatives,
                    downstream_failed=clears,
                )
                return plan_mark_tasks(facts, request)
            case ActKind.MARK_RUN:
                return plan_mark_runs(facts, DagRunState(act.state))
            case ActKind.CANCEL:
                return plan_cancel(facts)
            case _:
                return plan_pause(facts, not resume)
