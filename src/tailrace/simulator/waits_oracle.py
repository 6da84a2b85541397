"""What a world whose DAGs wait for each other must come to: all that can happen happens, and the rest is a deadlock.

Every task is decided as soon as what is known lets it be; what is never decided stays as it is, for ever.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from tailrace.audit.records import AuditRecords
from tailrace.audit.structure import Structure
from tailrace.model.keys import UNMAPPED
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.simulator.oracle import Run, run_state, try_out, undisturbed
from tailrace.simulator.scenario import FIRST_DATE, Scenario
from tailrace.simulator.sensing import Sensor

_NONE = TaskInstanceState.NONE

RunPlace = tuple[str, datetime]


def unexpected_waits(scenario: Scenario, records: AuditRecords) -> Iterator[str]:
    """Where a history did not end in the oracle's final states."""
    lost = {
        (row.run_id, row.task_id)
        for row in records.history
        if row.kind == "task_instance" and row.cause == Cause.LOST and row.after == TaskInstanceState.FAILED
    }
    right = _expected(scenario, {(task_id or "", _date(run_id or "")) for run_id, task_id in lost})
    found = {(run.dag_id, _date(run.run_id)): run.state for run in records.runs}
    states = {(ti.dag_id, _date(ti.run_id), ti.task_id): ti.state for ti in records.task_instances}
    for (dag_id, date), run in sorted(right.items()):
        expects = _state(scenario, dag_id, run)
        if found.get((dag_id, date)) != expects:
            yield f"oracle: run of {dag_id} of {date.date()}: expected {expects}, found {found.get((dag_id, date))}"
        for (task_id, _), state in sorted(run.states.items()):
            there = states.get((dag_id, date, task_id))
            if there != state:
                yield f"oracle: {task_id} of {date.date()}: expected {state}, found {there}"


def _expected(scenario: Scenario, lost: set[tuple[str, datetime]]) -> Mapping[RunPlace, Run]:
    runs: dict[RunPlace, Run] = {}
    for command in scenario.commands:
        dag = scenario.dags[command.dag]
        for date in scenario.dates_of(command):
            runs[dag.dag_id, date] = Run({(task.task_id, UNMAPPED): _NONE for task in dag.tasks})
    sensors = {each.task_id: each for each in scenario.sensors}
    structures = {dag.dag_id: Structure(dag) for dag in scenario.dags}
    goes_on = True
    while goes_on:
        goes_on = False
        for (dag_id, date), run in runs.items():
            for task in structures[dag_id].dag.tasks:
                place = task.task_id, UNMAPPED
                before = run.states[place]
                if before in FINISHED:
                    continue
                state = undisturbed(scenario, structures[dag_id], task, run, None)
                if state is None:
                    state = TaskInstanceState.FAILED
                    if (task.task_id, date) not in lost:
                        state = _tried(scenario, runs, run, task.task_id, date, sensors.get(task.task_id))
                if state is not before:
                    run.states[place] = state
                    goes_on = True
    return runs


def _tried(
    scenario: Scenario,
    runs: Mapping[RunPlace, Run],
    run: Run,
    task_id: str,
    date: datetime,
    sensor: Sensor | None,
) -> TaskInstanceState:
    if sensor is not None:
        return _looked(scenario, runs, sensor, date)
    tried = Run({(task_id, UNMAPPED): TaskInstanceState.FAILED})
    task = next(each for dag in scenario.dags for each in dag.tasks if each.task_id == task_id)
    try_out(scenario, task, date, tried, (task_id, UNMAPPED))
    run.followed |= tried.followed
    return tried.states[task_id, UNMAPPED]


def _looked(scenario: Scenario, runs: Mapping[RunPlace, Run], sensor: Sensor, date: datetime) -> TaskInstanceState:
    """How the sensor ends, or that it waits: only states that will not change count."""
    awaited = sensor.awaits(date)
    on = awaited.logical_dates[0]
    if on < FIRST_DATE:
        return TaskInstanceState.SUCCESS
    other = runs[awaited.dag_id, on]
    if awaited.is_of_runs:
        states: list[str] = [_state(scenario, awaited.dag_id, other)]
    else:
        states = [other.states[task_id, UNMAPPED] for task_id in awaited.task_ids]
    if any(state in awaited.failed_states for state in states):
        return TaskInstanceState.FAILED
    done = all(state in awaited.allowed_states for state in states)
    return TaskInstanceState.SUCCESS if done else TaskInstanceState.UP_FOR_RESCHEDULE


def _state(scenario: Scenario, dag_id: str, run: Run) -> DagRunState:
    dag = next(each for each in scenario.dags if each.dag_id == dag_id)
    return run_state(Structure(dag), run)


def _date(run_id: str) -> datetime:
    return datetime.fromisoformat(run_id.split("__")[-1])
