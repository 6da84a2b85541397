"""Decides what a backfill command means: which runs to create, await, reprocess or leave.

Reprocessing is decided here, per task instance, and stored with the run: what happens between creation and the run's
turn changes nothing about it. In-flight work is awaited, never reset.
"""

from collections.abc import Container, Iterable, Mapping, Sequence

from msgspec.structs import replace

from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType, run_id_for, task_to_clear, to_clear
from tailrace.model.parts import WHOLE, BackfillPart, RunPart, begun, part_of, restricted
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, FINISHED, IDLE, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning import notices
from tailrace.planning.backfills import (
    BackfillCreation,
    BackfillFacts,
    BackfillRequest,
    DateAction,
    DatePlan,
    PastFacts,
    Reprocess,
)
from tailrace.planning.dependencies import UNLIMITED
from tailrace.planning.failed_tasks import FailedTasks, failed_tasks
from tailrace.planning.joining import (
    Say,
    awaits_more,
    joined,
    left_as,
    not_succeeded,
    say_of,
    waits_differently,
)
from tailrace.planning.messages import Message
from tailrace.planning.refusals import (
    BackwardsWithPast,
    OtherBackfill,
    OtherOptions,
    PoolUnknown,
    TaskTooLarge,
)
from tailrace.planning.run_stops import STOPPED
from tailrace.planning.snapshot import RunOptions, RunSnapshot, TaskInstanceSnapshot

_FAILURES = frozenset({TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED})


def plan_backfill(
    dag: DagSpec, request: BackfillRequest, intervals: Sequence[DataInterval], facts: BackfillFacts
) -> BackfillCreation:
    """Decide every date of the range. ``intervals`` are all points of the schedule in it that have ended, in order."""
    scope = restricted(dag, request.part)
    refusals: list[Message] = [*_pool_refusals(scope, request, facts)]
    if request.backwards and dag.depends_on_past:
        tasks = tuple(task.task_id for task in dag.tasks if task.depends_on_past or task.wait_for_downstream)
        refusals.append(BackwardsWithPast(dag.dag_id, tasks))
    part = None if request.part is None else part_of(dag, request.part)
    dates = [_date(dag, part, request, interval, facts, first=interval is intervals[0]) for interval in intervals]
    refusals += _conflicts(request, dates, facts)
    ordered = tuple(reversed(dates)) if request.backwards else tuple(dates)
    continues = None if request.new else facts.open_with_fingerprint
    done_by = None
    if not (request.new or continues or refusals) and all(date.action is DateAction.LEAVE for date in dates):
        done_by = facts.done_with_fingerprint
    done = () if done_by is None else (notices.DoneAlready(done_by),)
    told = (*done, *_notices(scope, request, dates, facts))
    return BackfillCreation(request, ordered, continues, done_by, tuple(refusals), told)


def options_for(request: BackfillRequest, date: DatePlan) -> RunOptions:
    """The outcome-affecting options a run of this backfill is stored with."""
    return RunOptions(request.disable_retry, request.mark_success, date.ignore_depends_on_past, request.pool)


def _date(
    dag: DagSpec,
    part: BackfillPart | None,
    request: BackfillRequest,
    interval: DataInterval,
    facts: BackfillFacts,
    first: bool,
) -> DatePlan:
    ignore_past = request.ignore_first_depends_on_past and first and dag.depends_on_past
    existing = facts.existing.get(interval.start)
    if existing is None:
        return _created(dag, part, request, interval, ignore_past=ignore_past)
    scope = None if part is None else frozenset(part.tasks)
    clear, unfinished = _to_do(dag, request.reprocess, existing, scope)
    held = () if existing.state is not DagRunState.RUNNING else clear
    if existing.state not in CLOSED:
        action, reason = DateAction.AWAIT, f"its run is {existing.state}"
        clear = existing.to_clear if existing.state is DagRunState.RUNNING else clear
    elif clear or unfinished or (part is None and existing.state is DagRunState.CANCELLED):  # it has no verdict yet
        action = DateAction.REPROCESS
        parts = [f"{len(clear)} to do again"] if clear else []
        parts += [f"{unfinished} without an outcome"] if unfinished else []
        reason = ": ".join([f"its run is {existing.state}", *([", ".join(parts)] if parts else [])])
    elif part is not None:
        action, reason = (
            DateAction.LEAVE,
            f"its run is {existing.state}, and nothing of the part is {request.reprocess}",
        )
    else:
        action, reason = DateAction.LEAVE, f"its run is {existing.state} and nothing of it is {request.reprocess}"
        if request.reprocess is Reprocess.MISSING:
            inside = _failed_inside(existing)
            reason = f"its run is {existing.state} already" + (f", {inside.named}" if inside else "")
    say = say_of(existing, None if request.new else facts.open_with_fingerprint)
    stored = existing.to_clear if scope is None or not say.free else ()
    clear = tuple(dict.fromkeys((*stored, *clear)))
    queued = existing.state is DagRunState.QUEUED
    takes_conf = request.conf is not None and (queued or action is DateAction.REPROCESS)
    date = DatePlan(
        interval,
        action,
        reason,
        existing.run_id,
        existing_id=existing.id,
        expected_version=existing.version,
        to_run=0 if action is DateAction.LEAVE else _to_run(dag, existing, clear, scope),
        clear=clear,
        conf=request.given_conf if takes_conf else existing.conf,
        ignore_depends_on_past=ignore_past,
        stored=existing.data_interval,
    )
    date = _with_part(dag, part, date, existing, held, say)
    return replace(date, must_be_queued=queued and _gives_something(request, date, existing))


def _created(
    dag: DagSpec, part: BackfillPart | None, request: BackfillRequest, interval: DataInterval, *, ignore_past: bool
) -> DatePlan:
    scope = None if part is None else frozenset(part.tasks)
    return DatePlan(
        interval,
        DateAction.CREATE,
        "no run yet",
        run_id_for(RunType.BACKFILL, interval.start),
        to_run=len(dag.tasks if part is None else part.tasks),
        conf=request.given_conf,
        ignore_depends_on_past=ignore_past,
        part=None if part is None else RunPart(tuple(sorted(part.tasks)), begun(dag, WHOLE, scope, part.tasks)),
        left_out=() if part is None else tuple(not_succeeded(dag, scope, None, part.tasks)),
    )


def _with_part(
    dag: DagSpec,
    part: BackfillPart | None,
    date: DatePlan,
    run: RunSnapshot,
    held: Iterable[str],
    say: Say,
) -> DatePlan:
    """What the date's run does from now on. ``held``: what would be cleared in it if it were not running."""
    scope = None if part is None else frozenset(part.tasks)
    if date.action is DateAction.LEAVE:
        return replace(date, part=run.part, left_as=None if part is None else left_as(part, run))
    after, again = joined(dag, scope, run, date.clear, say)
    refused: list[str] = []
    if say.others and waits_differently(dag, scope, run, again):
        refused.append("--tasks")
    if run.part is not None and any(not run.part.holds(task_to_clear(each)) for each in held):
        refused.append("--reprocess")
    return replace(
        date,
        part=after,
        left_out=tuple(not_succeeded(dag, scope, run, again)),
        must_be_open=run.state is DagRunState.RUNNING and after != run.part,
        refused=tuple(refused),
        awaits_more=awaits_more(dag, scope, run, after),
    )


def _gives_something(request: BackfillRequest, date: DatePlan, run: RunSnapshot) -> bool:
    """Whether a queued run is another one with this backfill than without it."""
    other_options = not run.wanted_by and options_for(request, date) != run.options
    return bool(date.clear) or date.conf != run.conf or date.part != run.part or other_options


def _to_run(dag: DagSpec, run: RunSnapshot, clear: Iterable[str], scope: Container[str] | None) -> int:
    """Task instances that are not finished, or will not be once these tasks are cleared."""
    again = frozenset(clear)
    there = {ti.task_id for ti in run.task_instances}
    tasks = [task.task_id for task in dag.tasks if scope is None or task.task_id in scope]
    counted = frozenset(tasks)
    unfinished = sum(ti.task_id in counted and _runs(ti, again) for ti in run.task_instances)
    return unfinished + sum(task_id not in there for task_id in tasks)


def _runs(ti: TaskInstanceSnapshot, again: Container[str]) -> bool:
    """Whether it has no outcome, or none any more once this is cleared."""
    return ti.state not in FINISHED or ti.task_id in again or to_clear(ti.task_id, ti.map_index) in again


def _to_do(
    dag: DagSpec, reprocess: Reprocess, run: RunSnapshot, scope: Container[str] | None
) -> tuple[tuple[str, ...], int]:
    """What to clear (see ``to_clear``), and how many task instances have no outcome yet; in ``scope``, if any."""
    known = {ti.task_id for ti in run.task_instances}
    if run.state not in CLOSED and not known:
        return (), 0  # never activated: everything is still to do, nothing to clear
    tasks = [task for task in dag.tasks if scope is None or task.task_id in scope]
    counted = {task.task_id for task in tasks}
    missing = len(counted - known)
    idle = IDLE | {TaskInstanceState.UP_FOR_RESCHEDULE}
    missing += sum(ti.state in idle and ti.task_id in counted for ti in run.task_instances)
    # A mapped task that has fewer instances by now is there all the same.
    there_of: dict[str, set[int]] = {}
    for ti in run.task_instances:
        if ti.state is not TaskInstanceState.REMOVED:
            there_of.setdefault(ti.task_id, set()).add(ti.map_index)
    back = known - there_of.keys()
    if reprocess is Reprocess.ALL:
        return tuple(task.task_id for task in tasks if task.task_id in known), missing
    single = _failed_and_caused(dag, run) if reprocess is Reprocess.FAILED else {}
    again: list[str] = []
    for task in tasks:
        indexes = single.get(task.task_id, [])
        left = there_of.get(task.task_id, set()).difference(indexes)
        if task.task_id in back or (indexes and not left):
            again.append(task.task_id)
        else:
            again += (to_clear(task.task_id, index) for index in indexes)
    return tuple(again), missing


def _failed_inside(run: RunSnapshot) -> FailedTasks:
    if run.state is not DagRunState.SUCCESS:
        return FailedTasks()
    return failed_tasks((ti.task_id, ti.state, 1) for ti in run.task_instances)


def _failed_and_caused(dag: DagSpec, run: RunSnapshot) -> Mapping[str, list[int]]:
    """What failed, and what was skipped below a failure or as its run was stopped: by task, the map indexes."""
    failed = {ti.task_id for ti in run.task_instances if ti.state in _FAILURES}
    below = {task_id for failure in failed for task_id in dag.descendants.get(failure, ())}
    found: dict[str, list[int]] = {}
    for ti in run.task_instances:
        by_rule = ti.cause is Cause.TRIGGER_RULE and ti.task_id in below
        caused = ti.state is TaskInstanceState.SKIPPED and (by_rule or ti.cause in STOPPED)
        if caused or ti.state in _FAILURES:
            found.setdefault(ti.task_id, []).append(ti.map_index)
    return found


def _needed_slots(dag: DagSpec, request: BackfillRequest) -> Mapping[str, int]:
    """The most slots that a task needs of each pool, by pool name."""
    needed: dict[str, int] = {}
    for task in dag.tasks:
        name = request.pool or task.pool
        needed[name] = max(needed.get(name, 0), task.pool_slots)
    return needed


def _pool_refusals(dag: DagSpec, request: BackfillRequest, facts: BackfillFacts) -> Iterable[Message]:
    for name, slots in sorted(_needed_slots(dag, request).items()):
        size = facts.pools.get(name)
        if size is None:
            yield PoolUnknown(name, tuple(sorted(facts.pools)))
        elif size not in (UNLIMITED, 0) and slots > size:
            yield TaskTooLarge(name, size, slots)


def _conflicts(request: BackfillRequest, dates: Iterable[DatePlan], facts: BackfillFacts) -> Iterable[Message]:
    """Whoever wants one open run must agree about all that affects its outcome: other backfills, its schedule.

    What nobody wants takes the options of this backfill, unless it is running: then none that is given may differ.
    """
    found: dict[tuple[RunType | None, tuple[int, ...], tuple[str, ...]], list[str]] = {}
    for date in dates:
        run = facts.existing.get(date.interval.start)
        if run is None or run.state in CLOSED:
            continue
        others = [id for id in run.wanted_by if id != facts.open_with_fingerprint or request.new]
        mine = facts.open_with_fingerprint in run.wanted_by and not request.new
        free = not others and run.run_type is RunType.BACKFILL
        if mine or (free and run.state is DagRunState.QUEUED and not date.refused):
            continue  # what was settled at creation stays; what nobody else wants may change
        if differing := tuple(dict.fromkeys((*date.refused, *_differing(request, date, run, only_given=free)))):
            found.setdefault((None if others else run.run_type, tuple(others), differing), []).append(run.run_id)
    for (asked_by, backfills, differing), runs in found.items():
        first = runs[0], len(runs), differing
        yield OtherBackfill(*first, backfills[0], backfills) if asked_by is None else OtherOptions(*first, asked_by)


def _takes_conf(run: RunSnapshot) -> bool:
    """Whether a run takes a conf that it does not have: nobody who wants it gave it one, and it has not begun."""
    triggered_with_one = run.run_type is RunType.MANUAL and run.conf is not None
    return run.state is DagRunState.QUEUED and not run.conf_given_by and not triggered_with_one


def _differing(request: BackfillRequest, date: DatePlan, run: RunSnapshot, *, only_given: bool) -> Iterable[str]:
    """The options by which this backfill would give the run another outcome."""
    wanted, has = options_for(request, date), run.options
    if request.conf is not None and request.given_conf != run.conf and not _takes_conf(run):
        yield "--conf"
    for option, mine, its in (
        ("--disable-retry", wanted.disable_retry, has.disable_retry),
        ("--mark-success", wanted.mark_success, has.mark_success),
        ("--ignore-first-depends-on-past", wanted.ignore_depends_on_past, has.ignore_depends_on_past),
    ):
        if mine != its and (mine or not only_given):
            yield option
    if request.pool is not None and request.pool != has.pool:
        yield "--pool"
    if any(each not in run.to_clear and task_to_clear(each) not in run.to_clear for each in date.clear):
        yield "--reprocess"


def _notices(
    dag: DagSpec, request: BackfillRequest, dates: Sequence[DatePlan], facts: BackfillFacts
) -> Iterable[Message]:
    if facts.dag_paused:
        yield notices.DagPaused(dag.dag_id)
    for name, slots in sorted(_needed_slots(dag, request).items()):
        if facts.pools.get(name) == 0:
            yield notices.PoolWithoutSlots(name, slots)
    if dates and facts.past is not None and dag.depends_on_past:
        yield from _past_notices(dag, request, dates, facts.past)
    if request.max_active_runs is not None and request.max_active_runs > dag.max_active_runs:
        yield notices.LimitOnlyLowers(dag.max_active_runs)
    kept = [date for date in dates if date.data_interval != date.interval and date.action is not DateAction.LEAVE]
    if kept:
        first = kept[0]
        yield notices.KeepsInterval(first.run_id, len(kept), first.data_interval.start, first.data_interval.end)
    left = [date for date in dates if date.action is DateAction.LEAVE]
    failed = [date for date in left if _left_as(date, facts) is not DagRunState.SUCCESS]
    yield from _conf_notices(request, dates, facts)
    if more := [date.run_id for date in dates if date.awaits_more]:
        yield notices.PartWaits(more[0], len(more))
    yield from notices.left_out(date.left_out for date in dates)
    created = sum(date.action is DateAction.CREATE for date in dates)
    if created and request.part is not None and dag.has_schedule:
        yield notices.PartCreates(created)
    if failed:
        yield notices.FailedAreLeft(len(failed))


def _left_as(date: DatePlan, facts: BackfillFacts) -> DagRunState:
    return date.left_as or facts.existing[date.interval.start].state


def _past_notices(
    dag: DagSpec, request: BackfillRequest, dates: Sequence[DatePlan], past: PastFacts
) -> Iterable[Message]:
    """What the first date looks back at, where that is not the run before it; what looks back at this range."""
    without = [task.task_id for task in dag.looking_back if task.task_id not in past.before]
    if without and not request.ignore_first_depends_on_past:
        first, some = dates[0].interval.start, len(without) < len(dag.looking_back)
        yield notices.NothingBeforeSome(first, tuple(without)) if some else notices.NothingBefore(first)
    if past.undriven is not None and not request.ignore_first_depends_on_past:
        looks_at = tuple(sorted(set(past.before.values())))
        yield notices.PastIsAnother(past.undriven, looks_at) if looks_at else notices.PastIsUndriven(past.undriven)
    filled = [place for place, date in enumerate(dates) if date.action in (DateAction.CREATE, DateAction.REPROCESS)]
    left = [date.run_id for date in dates[filled[0] :] if date.action is DateAction.LEAVE] if filled else []
    done = len(left) + past.done_after if filled else 0
    if done:
        run_id = left[0] if left else past.first_after or ""
        yield notices.DoneLooksBack(run_id) if done == 1 else notices.DoneLookBack(run_id, done)


def _conf_notices(request: BackfillRequest, dates: Sequence[DatePlan], facts: BackfillFacts) -> Iterable[Message]:
    """What becomes of the conf of runs that exist and have one."""
    existing = [(date, facts.existing[date.interval.start]) for date in dates if date.interval.start in facts.existing]
    with_one = [(date, run) for date, run in existing if run.conf and date.action is not DateAction.LEAVE]
    kept = sum(date.conf == run.conf for date, run in with_one)
    if kept and request.conf is None:
        yield notices.ConfKept(kept)
    if kept < len(with_one):
        changed = len(with_one) - kept
        yield notices.ConfTaken(changed) if request.given_conf is None else notices.ConfReplaced(changed)
