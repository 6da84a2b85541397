"""The checks: each looks at one row of history in the world as it was then. ``audit`` runs them all."""

from collections.abc import Iterator

from tailrace.audit.records import AuditRecords, HistoryRecord, Violation
from tailrace.audit.replay import Replay, decides_over, differences, key_of, name_of
from tailrace.audit.rules import FAIL, SKIP, outcome
from tailrace.model.states import FINISHED, OCCUPYING, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause, backfill_may, dag_run_may, task_instance_may

_BAD = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)


def audit(records: AuditRecords) -> tuple[Violation, ...]:
    """Everything in this history that must never be; nothing means that it is sound."""
    replay = Replay(records)
    claimed: set[tuple[object, int | None]] = set()
    tokens: dict[object, int] = {}
    found: list[Violation] = []
    for row in records.history:
        if row.kind == "refused":
            continue  # a late result that changed nothing; were it merged, the chain below would break
        if row.kind == "task_instance":
            found += _task_instance(replay, row)
            found += _claims(row, claimed, tokens)
            replay.task_states[key_of(row)] = TaskInstanceState(row.after)
            found += _limits(replay, row)
        elif row.kind == "dag_run":
            found += _run(replay, row)
            replay.run_states[row.dag_id, row.run_id or ""] = DagRunState(row.after)
            found += _run_limit(replay, row)
        elif row.backfill_id is not None:
            found += _backfill(replay, row)
            replay.backfill_states[row.backfill_id] = row.after
    found += differences(replay)
    return tuple(found)


def _task_instance(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    key = key_of(row)
    was = replay.task_states.get(key)
    if was != row.before:
        yield Violation("chain", name_of(row), f"it was {was}, the row says {row.before} → {row.after}", row.id)
    if row.before is not None:
        step = (TaskInstanceState(row.before), TaskInstanceState(row.after), Actor(row.actor), Cause(row.cause))
        if not task_instance_may(*step):
            text = f"{row.before} → {row.after} by {row.actor} for {row.cause}"
            yield Violation("transition", name_of(row), text, row.id)
    if row.cause == Cause.TRIGGER_RULE:
        yield from _justified_by_rule(replay, row)
    if row.cause == Cause.BRANCH:
        yield from _justified_by_branch(replay, row)


def _justified_by_rule(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    dag = replay.records.dags.get(row.dag_id)
    task = None if dag is None else dag.by_id.get(row.task_id or "")
    if task is None:
        return
    states = replay.upstream_states(key_of(row), task)
    expected = {TaskInstanceState.SKIPPED: SKIP, TaskInstanceState.UPSTREAM_FAILED: FAIL}[TaskInstanceState(row.after)]
    verdict = outcome(task.trigger_rule, states)
    if verdict != expected:
        text = f"{row.after} under {task.trigger_rule} over {', '.join(states)}, which gives {verdict}"
        yield Violation("trigger rule", name_of(row), text, row.id)


def _justified_by_branch(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    dag = replay.records.dags.get(row.dag_id)
    if dag is None:
        return
    states = replay.run_of(key_of(row))
    followed = {ti.task_id: ti.followed for ti in replay.records.task_instances if ti.run_id == row.run_id}
    for decider in dag.tasks:
        chose = followed.get(decider.task_id)
        decided = states.get(decider.task_id) is TaskInstanceState.SUCCESS and chose is not None
        if decided and decides_over(dag, decider, row.task_id or "") and row.task_id not in (chose or ()):
            return
    yield Violation("branch", name_of(row), "skipped by a branch, and no branch above excluded it", row.id)


def _claims(
    row: HistoryRecord, claimed: set[tuple[object, int | None]], tokens: dict[object, int]
) -> Iterator[Violation]:
    if row.cause != Cause.CLAIMED:
        return
    key = key_of(row)
    if (key, row.try_number) in claimed:
        yield Violation("claim", name_of(row), f"try {row.try_number} was claimed a second time", row.id)
    claimed.add((key, row.try_number))
    if row.token is None or row.token <= tokens.get(key, 0):
        text = f"token {row.token} does not grow beyond {tokens.get(key, 0)}"
        yield Violation("token", name_of(row), text, row.id)
    tokens[key] = row.token or 0


def _limits(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    if row.after != TaskInstanceState.QUEUED:
        return
    pools, dags = replay.occupied()
    for name, taken in pools.items():
        slots = replay.records.pools.get(name)
        if slots is not None and slots != -1 and taken > slots:
            yield Violation("pool", name_of(row), f"{taken} of {slots} slots of pool {name} taken", row.id)
    dag = replay.records.dags.get(row.dag_id)
    if dag is None:
        return
    if dags.get(row.dag_id, 0) > dag.max_active_tasks:
        text = f"{dags[row.dag_id]} active tasks, the limit is {dag.max_active_tasks}"
        yield Violation("max_active_tasks", name_of(row), text, row.id)
    task = dag.by_id.get(row.task_id or "")
    limit = None if task is None else task.max_active_tis_per_dag
    active = sum(
        state in OCCUPYING and (key[0], key[2]) == (row.dag_id, row.task_id)
        for key, state in replay.task_states.items()
    )
    if limit is not None and active > limit:
        yield Violation("max_active_tis_per_dag", name_of(row), f"{active} active, the limit is {limit}", row.id)


def _run(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    was = replay.run_states.get((row.dag_id, row.run_id or ""))
    if was != row.before:
        yield Violation("chain", name_of(row), f"it was {was}, the row says {row.before} → {row.after}", row.id)
    if row.before is not None:
        before, after = DagRunState(row.before), DagRunState(row.after)
        if not dag_run_may(before, after, Actor(row.actor), Cause(row.cause)):
            text = f"{before} → {after} by {row.actor} for {row.cause}"
            yield Violation("transition", name_of(row), text, row.id)
    if row.cause == Cause.JUDGED:
        yield from _verdict(replay, row)


def _verdict(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    dag = replay.records.dags.get(row.dag_id)
    if dag is None:
        return
    states = replay.run_of(key_of(row))
    unfinished = sorted(task_id for task_id, state in states.items() if state not in FINISHED)
    if row.after == DagRunState.DEADLOCKED:
        doomed = replay.doomed(dag, row.run_id or "")
        free = [task_id for task_id in unfinished if not doomed.get(task_id, False)]
        if free or not unfinished:
            text = f"{', '.join(free) or 'nothing'} could still run"
            yield Violation("false deadlock", name_of(row), text, row.id)
        return
    if unfinished:
        yield Violation("verdict", name_of(row), f"{row.after} while {', '.join(unfinished)} is unfinished", row.id)
        return
    failed = any(states.get(leaf) in _BAD for leaf in dag.leaves)
    expected = DagRunState.FAILED if failed else DagRunState.SUCCESS
    if row.after != expected:
        yield Violation("verdict", name_of(row), f"{row.after}, its leaves say {expected}", row.id)


def _run_limit(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    dag = replay.records.dags.get(row.dag_id)
    if row.after != DagRunState.RUNNING or dag is None:
        return
    running = replay.running_runs(row.dag_id)
    if running > dag.max_active_runs:
        text = f"{running} runs are running, the limit is {dag.max_active_runs}"
        yield Violation("max_active_runs", name_of(row), text, row.id)


def _backfill(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    was = replay.backfill_states.get(row.backfill_id or 0)
    if was != row.before:
        yield Violation("chain", name_of(row), f"it was {was}, the row says {row.before} → {row.after}", row.id)
    if row.before is not None:
        before, after = BackfillState(row.before), BackfillState(row.after)
        if not backfill_may(before, after, Actor(row.actor), Cause(row.cause)):
            text = f"{before} → {after} by {row.actor} for {row.cause}"
            yield Violation("transition", name_of(row), text, row.id)
