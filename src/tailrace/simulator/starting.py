"""What somebody types begins: a backfill that is created or continued, a scheduler, each a job with its workers."""

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from tailrace.jobs.scheduler import scheduler_loop
from tailrace.metastore.store import MetastoreStale
from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec
from tailrace.model.states import BACKFILL_CLOSED, JobKind
from tailrace.planning.backfills import BackfillCreation, BackfillRequest, Reprocess
from tailrace.planning.creation import plan_backfill
from tailrace.planning.refusals import OptionsDiffer, TaskTooLarge
from tailrace.planning.resizing import plan_resize
from tailrace.simulator.processes import Job
from tailrace.simulator.scenario import LEASE_SECONDS, Command
from tailrace.simulator.world_state import WorldState

_DAY = timedelta(days=1)
#: Who has so many still to type, and one of them the same, need not put another off.
_COMMANDS_ENOUGH = 8

#: Writes a creation under a write id; returns the backfill's id.
Create = Callable[[DagSpec, BackfillCreation, str], int]


class Crash(Exception):
    """A product error that reached the top of a process: the history ends here."""


def type_command(world: WorldState, command: Command, create: Create) -> None:
    """Somebody types the command: the backfill is created or continued, and a job with workers begins."""
    scenario = world.scenario
    if command.scheduler:
        _begin_job(world, command, None)
        return
    dag, dates = scenario.dags[command.dag], scenario.dates_of(command)
    request = BackfillRequest(
        dag.dag_id,
        dates[0],
        dates[-1],
        reprocess=Reprocess(command.reprocess),
        conf=command.conf,
        disable_retry=scenario.disable_retry,
        mark_success=scenario.mark_success,
        ignore_first_depends_on_past=scenario.ignore_first_depends_on_past,
        max_active_runs=command.max_active_runs,
        backwards=scenario.backwards,
        stop_on_failure=scenario.stop_on_failure and not command.goes_on,
        detached=command.detached,
        part=command.part,
    )
    intervals = [DataInterval(date, date + _DAY) for date in dates]
    creation = plan_backfill(dag, request, intervals, world.metastore.backfill_facts(dag, request, intervals))
    refused = creation.refusals[0] if creation.refusals else None
    if isinstance(refused, TaskTooLarge) and refused.pool == "small":
        world.record("person", "IS REFUSED", str(refused))
        set_pool(world, "small", max(task.pool_slots for task in dag.tasks))  # as the refusal says
        world.commands.append(command)
        return
    if isinstance(refused, OptionsDiffer):
        world.record("person", "IS REFUSED", str(refused))
        if len(world.commands) < _COMMANDS_ENOUGH or command not in world.commands:
            world.commands.append(command)  # as the refusal says: later
        world.postponed = True
        return
    if creation.refusals:
        raise Crash(f"a command is refused: {creation.refusals[0]}")
    before = world.confs.before(creation.continues) if scenario.gives_conf else {}
    created = create(dag, creation, world.write_id())
    if scenario.gives_conf:
        world.ledger.violations += world.confs.created(before, created, command.conf)
    if command.detached:
        world.record("person", "types", f"backfill {created}, left to the schedulers")
        world.type_again(schedulers=True)
        return
    _begin_job(world, command, created)


def set_pool(world: WorldState, name: str, slots: int) -> None:
    """Somebody gives a pool so many slots, with nobody in between."""
    plan = plan_resize(world.metastore.resize_facts(name), name, slots)
    if isinstance(world.metastore.resize(plan, world.write_id()), MetastoreStale):
        raise Crash("nobody wrote in between, yet the resizing was stale")


def _begin_job(world: WorldState, command: Command, created: int | None) -> None:
    """A job begins, with its workers: of a backfill, or (None) a scheduler."""
    scenario, identity = world.scenario, world.identity()
    kind, dag = (JobKind.SCHEDULER if created is None else JobKind.BACKFILL), scenario.dags[command.dag]
    of_dag = None if created is None else dag.dag_id
    id = world.metastore.start_job(kind, identity, of_dag, created, LEASE_SECONDS, world.write_id())
    what = "a scheduler," if created is None else f"backfill {created}, driven by"
    world.record("person", "types", f"{what} job {id}")
    loop = scheduler_loop(id, until_idle=True) if created is None else world.job_loop(id, dag, created)
    job = Job(f"job {id}", loop, identity, id=id, backfill_id=created, command=command)
    if command.ignores_owners:
        world.record(job.name, "IGNORES OWNERS", "it drives every run it wants, whoever owns it")
    world.enter(job)
    for _ in range(scenario.workers):
        world.start_worker(job)
    world.start_caller(job)


def typed_again(world: WorldState, job: Job) -> Command | None:
    """The command for what an ended job left, if it left anything.

    It may have ended just when there was something to do, or others wait for runs that it left behind its first
    failure: there the same command would stop again.
    """
    if job.backfill_id is None:
        return job.command if world.metastore.agenda(job.id).lanes else None
    left = world.metastore.snapshot(job.id, world.scenario.dags[job.command.dag], job.backfill_id)
    if left.backfill is None or left.backfill.paused:
        return None
    if left.backfill.state not in BACKFILL_CLOSED:
        return job.command
    awaited = bool(left.candidates) and any(isinstance(process, Job) for process in world.processes)
    return replace(job.command, goes_on=True) if awaited else None
