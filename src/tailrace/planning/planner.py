"""``plan(snapshot) -> Plan``: the whole decision of one step, from one consistent read and nothing else.

Order of thought: take over what nobody owns, settle what was lost, decide every idle task instance in topological
order (a skip decided here is seen by the tasks below it), give out the room there is, judge the runs, open the window.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct

from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.spec import TaskSpec
from tailrace.model.states import CLAIMED, CLOSED, IDLE, OCCUPYING, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.awaiting import NO_WAITS, waits_of
from tailrace.planning.board import Board
from tailrace.planning.capacity import Capacity
from tailrace.planning.circles import stuck_waits
from tailrace.planning.deadlines import late_runs, next_deadlines
from tailrace.planning.evaluation import Evaluation, evaluate_task_instance, pool_of
from tailrace.planning.expanding import Numbers
from tailrace.planning.failures_in_a_row import pause_for
from tailrace.planning.fairness import FairShare, pool_resource, runs_resource, tasks_resource
from tailrace.planning.losses import loss
from tailrace.planning.plan import (
    Decision,
    Dependency,
    DependencyStatus,
    Expansion,
    LookBack,
    Plan,
    RunActivation,
    RunAdoption,
    RunStop,
    RunTakeover,
    RunVerdict,
    TaskTransition,
    Verdict,
)
from tailrace.planning.reasons import BackfillPaused
from tailrace.planning.requeueing import yields
from tailrace.planning.run_stops import ends_of, stop_text, time_is_up, to_stop
from tailrace.planning.snapshot import (
    BackfillSnapshot,
    OrphanTry,
    PreviousRun,
    RunSnapshot,
    Snapshot,
    TaskInstanceSnapshot,
)
from tailrace.planning.verdicts import judge_backfill, judge_run

#: A queued try that nobody claimed for this long is offered to the executor again.
RESUBMIT_AFTER = timedelta(seconds=10)

#: What may be queued; and what goes away with its task, once that is no longer in the DAG.
_MAY_GO = IDLE | {TaskInstanceState.UP_FOR_RESCHEDULE}

_AFTER = {Verdict.SKIP: TaskInstanceState.SKIPPED, Verdict.FAIL_UPSTREAM: TaskInstanceState.UPSTREAM_FAILED}


class _Ready(Struct, frozen=True):
    """A task instance whose every dependency is met, waiting for room."""

    board: Board
    task: TaskSpec
    ti: TaskInstanceSnapshot
    evaluation: Evaluation


@dataclass(slots=True)
class _Draft:
    """The plan being written; lives inside one call of ``plan``."""

    snapshot: Snapshot
    transitions: list[TaskTransition] = field(default_factory=list)
    expansions: list[Expansion] = field(default_factory=list)
    stops: list[RunStop] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    ready: list[_Ready] = field(default_factory=list)
    resubmit: list[TryKey] = field(default_factory=list)
    wakes: list[datetime] = field(default_factory=list)


def plan(snapshot: Snapshot) -> Plan:
    """Decide everything that follows from ``snapshot``. Pure: the same snapshot gives the same plan, always."""
    draft = _Draft(snapshot)
    waits = waits_of(snapshot.awaiting) if snapshot.awaiting else NO_WAITS
    boards = [
        Board(run, snapshot.dag, snapshot.previous_runs(run), snapshot.pools, waits, snapshot.max_map_length)
        for run in snapshot.runs
    ]
    _settle_orphans(draft, snapshot.orphans)
    going_on = [board for board in boards if not _stopping(draft, board)]
    for board in going_on:
        _settle_occupied(draft, board)
        _decide_idle(draft, board)
    fair_share = FairShare(snapshot, _held(snapshot, boards))
    _give_room(draft, boards, fair_share)
    stopping = {stop.id for stop in draft.stops}
    stuck = stuck_waits(snapshot, boards, waits) if waits else None
    if stuck is not None:
        draft.decisions = stuck.settled(boards, draft.decisions)
    judged = (judge_run(board, snapshot.dag_version, stuck) for board in boards if board.run.id not in stopping)
    verdicts = tuple(verdict for verdict in judged if verdict is not None)
    backfill = snapshot.backfill
    pause = pause_for(snapshot, verdicts)
    activations = () if pause and backfill is None else tuple(_activations(snapshot, verdicts, fair_share))
    draft.wakes += next_deadlines(snapshot)
    starting = {ready.board.run.id for ready in draft.ready} | {expansion.run for expansion in draft.expansions}
    return Plan(
        dag=snapshot.dag,
        job_id=snapshot.job_id,
        transitions=tuple(draft.transitions),
        expansions=tuple(draft.expansions),
        stops=tuple(draft.stops),
        late=tuple(late_runs(snapshot)),
        pause=pause,
        activations=activations,
        yields=tuple(yields(snapshot, going_on, starting)),
        adoptions=tuple(
            RunAdoption(board.run.id, board.run.run_id, missing)
            for board in boards
            if (missing := board.missing_tasks())
        ),
        takeovers=tuple(
            RunTakeover(run.id, run.run_id, run.owner_job_id, shared=run.owner_alive)
            for run in snapshot.runs
            if run.owner_job_id != snapshot.job_id
        ),
        run_verdicts=verdicts,
        backfill_start=backfill.id if backfill and backfill.state is BackfillState.QUEUED else None,
        backfill_verdict=judge_backfill(backfill, snapshot.dag) if backfill else None,
        resubmit=tuple(draft.resubmit),
        decisions=tuple(draft.decisions),
        wake_at=min(draft.wakes, default=None),
        due_later=len(draft.wakes),
        activation_limit=snapshot.dag.max_active_runs,
        waits=fair_share.changes(),
        waiting=fair_share.waiting,
        lane=0 if backfill is None else backfill.id,
    )


def _stopping(draft: _Draft, board: Board) -> bool:
    """Whether the run is stopped, by now or by this plan: then nothing of it goes on, and what is left is ended."""
    now, up = draft.snapshot.now, time_is_up(board)
    stop = to_stop(board, now)
    if stop is not None:
        draft.stops.append(stop)
    elif board.run.stopped_by is None:
        draft.wakes += () if up is None else (up,)
        return False
    _settle_lost(draft, board)
    for ti, step in ends_of(board):
        draft.transitions.append(step)
        board.decide(ti, step.after)
    return True


def _settle_lost(draft: _Draft, board: Board) -> None:
    """Lost tries get their successor."""
    for ti in board.run.task_instances:
        if ti.state in CLAIMED and (ti.lease_expired or ti.id in draft.snapshot.lost):
            _lose(draft, board, ti)


def _settle_occupied(draft: _Draft, board: Board) -> None:
    """Lost tries get their successor; queued ones that nobody claimed are offered again."""
    _settle_lost(draft, board)
    for ti in board.run.task_instances:
        if ti.state is TaskInstanceState.QUEUED and ti.queued_at is not None:
            due = ti.queued_at + RESUBMIT_AFTER
            if due <= draft.snapshot.now:
                draft.resubmit.append(TryKey(_key(board, ti), ti.try_number))
            else:
                draft.wakes.append(due)


def _lose(draft: _Draft, board: Board, ti: TaskInstanceSnapshot) -> None:
    """The holder of a try is gone: its group was killed here, or its lease ran out by the metastore's clock."""
    step = loss(draft.snapshot, board.run.id, _key(board, ti), ti, stop_text(board.run, ti))
    draft.transitions.append(step)
    board.decide(ti, step.after)


def _settle_orphans(draft: _Draft, orphans: Iterable[OrphanTry]) -> None:
    """Stopping tries of runs that nobody drives any more: those that are lost give their slots back."""
    for orphan in orphans:
        if orphan.ti.lease_expired or orphan.ti.id in draft.snapshot.lost:
            draft.transitions.append(loss(draft.snapshot, orphan.run, orphan.key, orphan.ti))


def _decide_idle(draft: _Draft, board: Board) -> None:
    snapshot = draft.snapshot
    numbers = Numbers(board)
    for task in board.dag.tasks:
        if not board.part.holds(task.task_id):
            continue
        number = numbers.of(task, partial(_leans_on, draft, board))
        for ti in board.by_task.get(task.task_id, ()):
            if ti.state not in _MAY_GO:
                continue
            found = evaluate_task_instance(board, task, ti, snapshot.pools, snapshot.now)
            if number is not None:
                found = number.joined(found)
            verdict = found.decision.verdict
            if verdict is Verdict.RUN:
                draft.ready.append(_Ready(board, task, ti, found))
                continue
            draft.decisions.append(found.decision)
            if verdict is not Verdict.WAIT:
                looks_back = task if verdict is Verdict.SKIP else None
                _transition(draft, board, ti, _AFTER[verdict], found.cause, found.reason, looks_back=looks_back)
            elif found.decision.doomed:
                board.doomed[ti.id] = found.decision
            elif ti.retry_at is not None and ti.retry_at > snapshot.now:
                draft.wakes.append(ti.retry_at)
        draft.expansions += number.expansions if number is not None else ()
    for ti in board.run.task_instances:
        if ti.task_id not in snapshot.dag.by_id and ti.state in _MAY_GO and board.part.holds(ti.task_id):
            reason = f"task {ti.task_id} is no longer in the DAG"
            _transition(draft, board, ti, TaskInstanceState.REMOVED, Cause.REMOVED_FROM_DAG, reason)


def _held(snapshot: Snapshot, boards: Iterable[Board]) -> Mapping[str, int]:
    """What the lane holds of everything that lanes share."""
    held: Counter[str] = Counter({runs_resource(snapshot.dag.dag_id): len(snapshot.runs)})
    for board in boards:
        for ti in board.run.task_instances:
            task = snapshot.dag.by_id.get(ti.task_id)
            if ti.state in OCCUPYING and task is not None:
                held[tasks_resource(snapshot.dag.dag_id)] += 1
                held[pool_resource(pool_of(board, task))] += task.pool_slots
    return held


def _give_room(draft: _Draft, boards: Iterable[Board], fair_share: FairShare) -> None:
    """Queue what is ready, by priority, then run, then topological order, as far as the limits have room.

    A full limit holds back only the task instances that need it; the others behind it go on.
    """
    capacity = Capacity(draft.snapshot, fair_share)
    for board in boards:
        for ti in board.run.task_instances:
            if ti.state in OCCUPYING:
                capacity.note_occupied(board.run.id, ti.task_id)
    backfill = draft.snapshot.backfill
    paused = backfill is not None and backfill.paused
    for ready in sorted(draft.ready, key=lambda ready: -ready.task.priority_weight):  # stable: keeps run order
        decision = ready.evaluation.decision
        if paused:
            full: DependencyStatus | None = DependencyStatus(Dependency.BACKFILL_RUNS, False, BackfillPaused())
        else:
            full = capacity.take(ready.board, ready.task)
        if full is not None:
            statuses = (*decision.statuses, full)
            draft.decisions.append(Decision(decision.key, decision.state, Verdict.WAIT, statuses))
            continue
        draft.decisions.append(decision)
        resumes = ready.ti.state is TaskInstanceState.UP_FOR_RESCHEDULE
        _transition(
            draft,
            ready.board,
            ready.ti,
            TaskInstanceState.QUEUED,
            ready.evaluation.cause,
            ready.evaluation.resumed_by,
            try_number=ready.ti.try_number + (not resumes),
            looks_back=None if resumes else ready.task,
        )


def _transition(
    draft: _Draft,
    board: Board,
    ti: TaskInstanceSnapshot,
    after: TaskInstanceState,
    cause: Cause,
    reason: str,
    *,
    try_number: int | None = None,
    looks_back: TaskSpec | None = None,
) -> None:
    """Write the step into the plan; ``looks_back`` is its task where its previous run had a say in it."""
    versions, looked_back = _leans_on(draft, board, looks_back)
    draft.transitions.append(
        TaskTransition(
            id=ti.id,
            run=board.run.id,
            key=_key(board, ti),
            before=ti.state,
            before_try=ti.try_number,
            after=after,
            try_number=ti.try_number if try_number is None else try_number,
            cause=cause,
            reason=reason,
            versions=versions,
            looked_back=looked_back,
        )
    )
    board.decide(ti, after)


def _leans_on(
    draft: _Draft, board: Board, looks_back: TaskSpec | None
) -> tuple[tuple[tuple[int, int], ...], LookBack | None]:
    """The versions of the runs that a step leans on, and what it took from the past."""
    own = (board.run.id, board.run.version)
    if looks_back is None or not looks_back.looks_back_at or board.run.options.ignore_depends_on_past:
        return (own,), None
    previous = board.previous.get(looks_back.task_id)
    looked_back = LookBack(draft.snapshot.dag_version, None if previous is None else previous.run_id)
    return (own,) if previous is None else (own, (previous.id, previous.version)), looked_back


def _key(board: Board, ti: TaskInstanceSnapshot) -> TaskInstanceKey:
    return TaskInstanceKey(board.dag.dag_id, board.run.run_id, ti.task_id, ti.map_index)


def _activations(snapshot: Snapshot, closing: Sequence[RunVerdict], fair_share: FairShare) -> Iterable[RunActivation]:
    """Slide the window: as many queued runs as there is room for, runs that this very plan closes counted out.

    A run that looks at its previous run goes only after that one is active or closed, so that the window cannot
    fill up with runs that wait for one outside it.
    """
    backfill = snapshot.backfill
    if snapshot.schedule_paused:
        return
    if backfill is not None and (backfill.paused or _stops(backfill, closing)):
        return
    resource, size = runs_resource(snapshot.dag.dag_id), snapshot.dag.max_active_runs
    active = snapshot.dag_active_runs - len(closing)
    fair_share.give_back(resource, len(closing))
    own_room = size
    if backfill is not None and backfill.max_active_runs is not None:
        own_room = backfill.max_active_runs - (backfill.active_runs - len(closing))
    opened: set[int] = set()
    for run in snapshot.candidates:
        if own_room <= 0:
            return
        if _waits_for_previous(snapshot, run, opened):
            continue
        if active >= size:
            fair_share.wait_for(resource, active)
            return
        if fair_share.keep(resource, size, active) is not None:
            return
        fair_share.take(resource)
        opened.add(run.id)
        active += 1
        own_room -= 1
        yield RunActivation(run.id, run.run_id, run.version)


def _stops(backfill: BackfillSnapshot, closing: Sequence[RunVerdict]) -> bool:
    """Whether a run has failed, were it by this very plan, after which the backfill begins no other."""
    failing = any(verdict.state is not DagRunState.SUCCESS for verdict in closing)
    return backfill.has_stopped or (backfill.stop_on_failure and failing)


def held_back_by(snapshot: Snapshot) -> tuple[RunSnapshot, PreviousRun] | None:
    """The first run of a backfill of which nothing goes on, and an open run, not one of its own, that it depends on.

    Only whoever drives that run lets it go on, which may be nobody: a person has to know of it.
    """
    backfill = snapshot.backfill
    if backfill is None or backfill.active_runs > len(snapshot.runs) or not snapshot.dag.depends_on_past:
        return None  # other jobs may be at work
    ours = (*snapshot.runs, *snapshot.candidates)
    under_way = OCCUPYING | {TaskInstanceState.UP_FOR_RETRY, TaskInstanceState.UP_FOR_RESCHEDULE}
    if not ours or any(ti.state in under_way for run in snapshot.runs for ti in run.task_instances):
        return None
    first, own = ours[0], {run.id for run in ours}
    if first.options.ignore_depends_on_past:
        return None
    for previous in snapshot.previous_runs(first).values():
        waits = previous.state not in CLOSED if snapshot.runs else previous.state is DagRunState.QUEUED
        if waits and previous.id not in own:
            return first, previous
    return None


def _waits_for_previous(snapshot: Snapshot, run: RunSnapshot, opened: set[int]) -> bool:
    """Whether a run that one of its tasks looks at has yet to begin."""
    if run.options.ignore_depends_on_past:
        return False
    found = snapshot.previous_runs(run).values()
    return any(previous.state is DagRunState.QUEUED and previous.id not in opened for previous in found)
