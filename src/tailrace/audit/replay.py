"""Replays history row by row into states: the world as it was at each moment, for the checks to look at."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tailrace.audit.records import AuditRecords, HistoryRecord, Violation
from tailrace.audit.rules import FAIL, RUN, SKIP, WAIT, outcome
from tailrace.model.spec import DagSpec, Decides, TaskSpec
from tailrace.model.states import CLOSED, FINISHED, OCCUPYING, DagRunState, TaskInstanceState

Key = tuple[str, str, str, int]


@dataclass(slots=True)
class Replay:
    """States after some prefix of history."""

    records: AuditRecords
    task_states: dict[Key, TaskInstanceState] = field(default_factory=dict)
    run_states: dict[tuple[str, str], DagRunState] = field(default_factory=dict)
    backfill_states: dict[int, str] = field(default_factory=dict)

    def run_of(self, key: Key) -> dict[str, TaskInstanceState]:
        """The states of that run's tasks, by task id."""
        return {task_id: state for (dag, run, task_id, _), state in self.task_states.items() if (dag, run) == key[:2]}

    def upstream_states(self, key: Key, task: TaskSpec) -> list[TaskInstanceState]:
        """The states of the direct upstreams; a missing one has none."""
        states = self.run_of(key)
        return [states.get(task_id, TaskInstanceState.NONE) for task_id in task.upstream]

    def occupied(self) -> tuple[dict[str, int], dict[str, int]]:
        """Slots taken by pool, and task instances active by DAG."""
        pools: dict[str, int] = {}
        dags: dict[str, int] = {}
        for ti in self.records.task_instances:
            key = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
            if self.task_states.get(key) in OCCUPYING:
                pools[ti.pool] = pools.get(ti.pool, 0) + ti.pool_slots
                dags[ti.dag_id] = dags.get(ti.dag_id, 0) + 1
        return pools, dags

    def running_runs(self, dag_id: str) -> int:
        """How many of the DAG's runs are running."""
        return sum(dag == dag_id and state is DagRunState.RUNNING for (dag, _), state in self.run_states.items())

    def doomed(self, dag: DagSpec, run_id: str) -> dict[str, bool]:
        """For each unfinished task of the run, whether it can never run as things stand; a least fixpoint."""
        states = self.run_of((dag.dag_id, run_id, "", 0))
        found: dict[str, bool] = {}
        for task in dag.tasks:
            state = states.get(task.task_id, TaskInstanceState.NONE)
            if state not in FINISHED:
                idle = state is TaskInstanceState.NONE
                found[task.task_id] = idle and self._can_never(dag, run_id, task, states, found)
        return found

    def _can_never(
        self, dag: DagSpec, run_id: str, task: TaskSpec, states: dict[str, TaskInstanceState], doomed: dict[str, bool]
    ) -> bool:
        for decider in dag.tasks:
            undecided = states.get(decider.task_id, TaskInstanceState.NONE) not in FINISHED
            if undecided and decides_over(dag, decider, task.task_id):
                return doomed.get(decider.task_id, False)
        verdict = outcome(task.trigger_rule, [states.get(each, TaskInstanceState.NONE) for each in task.upstream])
        if verdict in (SKIP, FAIL):
            return False
        if verdict == WAIT:
            pending = [each for each in task.upstream if states.get(each, TaskInstanceState.NONE) not in FINISHED]
            return bool(pending) and all(doomed.get(each, False) for each in pending)
        return verdict == RUN and (self._past_is_shut(dag, run_id, task) or self._pool_is_small(dag, run_id, task))

    def _past_is_shut(self, dag: DagSpec, run_id: str, task: TaskSpec) -> bool:
        if not (task.depends_on_past or task.wait_for_downstream):
            return False
        run = next(run for run in self.records.runs if (run.dag_id, run.run_id) == (dag.dag_id, run_id))
        if run.previous is None or run.ignore_depends_on_past:
            return False
        if self.run_states.get((dag.dag_id, run.previous)) not in CLOSED:
            return False
        past = self.run_of((dag.dag_id, run.previous, "", 0))
        needed = (task.task_id, *(task.downstream if task.wait_for_downstream else ()))
        fine = (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED)
        return any(past.get(each) not in fine for each in needed)

    def _pool_is_small(self, dag: DagSpec, run_id: str, task: TaskSpec) -> bool:
        run = next(run for run in self.records.runs if (run.dag_id, run.run_id) == (dag.dag_id, run_id))
        slots = self.records.pools.get(run.pool or task.pool)
        return slots is None or (slots != -1 and task.pool_slots > slots)


def decides_over(dag: DagSpec, decider: TaskSpec, task_id: str) -> bool:
    """Whether ``decider`` may exclude the task: a branch over its direct downstream, a short circuit over all below."""
    if decider.decides is Decides.NOTHING:
        return False
    if task_id in decider.downstream:
        return True
    return decider.decides is Decides.SHORT_CIRCUIT and below(dag, decider.task_id, task_id)


def below(dag: DagSpec, upper: str, lower: str) -> bool:
    """Whether a path leads from ``upper`` down to ``lower``."""
    seen, front = set(), [upper]
    while front:
        for task_id in dag.by_id[front.pop()].downstream:
            if task_id == lower:
                return True
            if task_id not in seen:
                seen.add(task_id)
                front.append(task_id)
    return False


def key_of(row: HistoryRecord) -> Key:
    """The task instance a row is about."""
    return (row.dag_id, row.run_id or "", row.task_id or "", -1 if row.map_index is None else row.map_index)


def name_of(row: HistoryRecord) -> str:
    """What a row is about, for people."""
    if row.kind == "backfill":
        return f"backfill {row.backfill_id}"
    return " / ".join(part for part in (row.dag_id, row.run_id, row.task_id) if part)


def differences(replay: Replay) -> Iterator[Violation]:
    """Rows whose state is not where their history led."""
    for ti in replay.records.task_instances:
        key = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        led = replay.task_states.get(key)
        if led != ti.state:
            yield Violation("final state", " / ".join(key[:3]), f"history leads to {led}, the row says {ti.state}")
    for run in replay.records.runs:
        led_run = replay.run_states.get((run.dag_id, run.run_id))
        if led_run != run.state:
            about = f"{run.dag_id} / {run.run_id}"
            yield Violation("final state", about, f"history leads to {led_run}, the row says {run.state}")
