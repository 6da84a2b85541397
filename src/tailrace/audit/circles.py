"""Whether tries that wait for runs of any DAG can never go on, since they wait for each other: a second opinion.

As the world stood at one moment. Written from what it means to wait, not from the planner: the waits that lead back
are followed, and those that may still end by themselves are taken away, until none does.
"""

from collections.abc import Iterator, Mapping, Set

from tailrace.audit.dependencies import doomed
from tailrace.audit.past import is_gone
from tailrace.audit.records import Evidence, HistoryRecord, Violation
from tailrace.audit.replay import Instance, Place, Replay, Run, RunKey, name_of
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState

#: A wait: its run, and its place there.
Wait = tuple[RunKey, Place]

_BAD_RUNS = (DagRunState.FAILED, DagRunState.DEADLOCKED, DagRunState.CANCELLED)


def stuck_places(replay: Replay, key: RunKey, evidence: Evidence | None) -> Set[Place]:
    """The tries of a run that wait and can never go on; where a run of the circle is gone, those that it names."""
    if evidence is None or not evidence.waits:
        return set()
    if any(is_gone(replay, *each.run) for each in evidence.circle):
        return {place for place, instance in replay.runs[key].instances.items() if instance.row_id in evidence.waits}
    stuck = set(_waits_from(replay, key))
    while True:
        never = {
            run: doomed(replay, structure, run, stuck={place for of_run, place in stuck if of_run == run})
            for run in {of_run for of_run, _ in stuck}
            if (structure := replay.structure_of(run)) is not None
        }
        left = {each for each in stuck if _never_ends(replay, each, stuck, never)}
        if left == stuck:
            return {place for run, place in stuck if run == key}
        stuck = left


def check_circle(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """What a verdict says of the circle that it leans on is what was there."""
    evidence = row.evidence
    if evidence is None:
        return
    yield from _check_tokens(replay.run(row), evidence.waits, row)
    for each in evidence.circle:
        if is_gone(replay, *each.run):
            continue
        run, name = replay.runs[each.run], " / ".join(each.run)
        if run.state != each.state:
            yield _found(row, f"it names {name} as {each.state}, it was {run.state}")
        there = {instance.row_id or 0: str(instance.state) for instance in run.instances.values()}
        if each.assumed and there != each.assumed:
            yield _found(row, f"task instances of {name} were not as it names them")
        yield from _check_tokens(run, each.tokens, row)


def _check_tokens(run: Run, tokens: Mapping[int, int], row: HistoryRecord) -> Iterator[Violation]:
    held = {instance.row_id: instance.token for instance in run.instances.values()}
    for id, token in sorted(tokens.items()):
        if held.get(id) != token:
            yield _found(row, f"it names token {token} of task instance {id}, which had {held.get(id)}")


def _waits_from(replay: Replay, key: RunKey) -> Iterator[Wait]:
    """Every wait of this run, and of the running runs that these lead to."""
    seen, front = {key}, [key]
    while front:
        of_run = front.pop()
        for place, instance in replay.runs[of_run].instances.items():
            if not _waits(instance):
                continue
            yield of_run, place
            for other in _leads_to(replay, instance):
                if other not in seen and replay.runs[other].state is DagRunState.RUNNING:
                    seen.add(other)
                    front.append(other)


def _waits(instance: Instance) -> bool:
    waits = instance.state is TaskInstanceState.UP_FOR_RESCHEDULE and instance.awaits is not None
    return waits and instance.awaits is not None and not instance.awaits.goes_on


def _leads_to(replay: Replay, instance: Instance) -> Iterator[RunKey]:
    assert instance.awaits is not None
    for date in instance.awaits.logical_dates:
        run_id = replay.run_of_date(instance.awaits.dag_id, date)
        if run_id is not None and (instance.awaits.dag_id, run_id) in replay.runs:
            yield instance.awaits.dag_id, run_id


def _never_ends(replay: Replay, wait: Wait, stuck: Set[Wait], never: Mapping[RunKey, Mapping[str, bool]]) -> bool:
    """Whether nothing can end it: what would is there, unfinished, and stuck itself."""
    key, place = wait
    instance = replay.runs[key].instances[place]
    awaits = instance.awaits
    assert awaits is not None
    others = tuple(_leads_to(replay, instance))
    all_there = len(others) == len(awaits.logical_dates)
    open_ways: list[bool] = []
    for other in others:
        run = replay.runs[other]
        if awaits.is_of_runs:
            bad = DagRunState.FAILED in awaits.failed_states and run.state in _BAD_RUNS
            if bad or run.state in (*awaits.failed_states, *awaits.skipped_states):
                return False
            if run.state not in awaits.allowed_states:
                open_ways.append(not _run_is_stuck(run, never.get(other, {})))
            continue
        named = awaits.task_ids or replay.tasks_of_group(awaits.dag_id, awaits.task_group_id or "")
        for where, each in run.instances.items():
            if where[0] not in named or each.state in (None, TaskInstanceState.REMOVED):
                continue
            if each.state in (*awaits.failed_states, *awaits.skipped_states):
                return False
            if each.state not in awaits.allowed_states:
                open_ways.append(not _is_stuck(run, each, (other, where), stuck, never.get(other, {})))
        all_there = all_there and set(awaits.task_ids) <= {task_id for task_id, _ in run.instances}
    if awaits.failed_states or awaits.skipped_states:
        return all_there and bool(open_ways) and not any(open_ways)
    return not all(open_ways)


def _run_is_stuck(run: Run, never: Mapping[str, bool]) -> bool:
    """``never`` has every task of a running run that is unfinished."""
    return run.state is DagRunState.DEADLOCKED or (bool(never) and all(never.values()))


def _is_stuck(run: Run, instance: Instance, where: Wait, stuck: Set[Wait], never: Mapping[str, bool]) -> bool:
    if run.state is DagRunState.DEADLOCKED:
        return instance.state not in FINISHED
    return where in stuck or (instance.state not in FINISHED and never.get(where[1][0], False))


def _found(row: HistoryRecord, text: str) -> Violation:
    return Violation("circle of waits", name_of(row), text, row.id)
