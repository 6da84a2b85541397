"""Replays history row by row: the world as it was at each moment, for the checks to look at.

Counts are kept as rows go by, so that an audit costs the same for each row however long the history is. What is kept
in memory is the world, never the rows.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from tailrace.audit.parts import WHOLE, Part, ended, told_part
from tailrace.audit.records import (
    DELETED_POOL,
    BackfillRecord,
    Blocked,
    Expanded,
    HistoryRecord,
    Recorded,
    RunRecord,
    Violation,
)
from tailrace.audit.structure import Structure
from tailrace.model.awaited import Awaited
from tailrace.model.keys import UNMAPPED, index_suffix, task_to_clear
from tailrace.model.states import CLOSED, OCCUPYING, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

#: For what a run is stopped before its tasks have ended.
STOPS = frozenset({Cause.DAGRUN_TIMEOUT, Cause.FAIL_FAST})
_OWN_FAILURES = frozenset({Cause.OUTCOME, Cause.LOST, Cause.EXPANDED})

RunKey = tuple[str, str]
Place = tuple[str, int]


@dataclass(slots=True)
class Instance:
    """A task instance as it was: its state, its newest try, and what its budgets have paid for since it was cleared.

    ``held`` is the pool and the slots that its newest try was queued into, ``retries`` its budget, where known.
    """

    state: TaskInstanceState | None = None
    try_number: int = 0
    token: int = 0
    followed: tuple[str, ...] | None = None
    retried: int = 0
    lost: int = 0
    stopping_to: str | None = None  # while stopping: where the person who stopped it wants it to end
    awaits: Awaited | None = None  # while rescheduled: what has it go on
    reported: bool = False  # the newest claim of its newest try has an accepted outcome
    row_id: int | None = None
    cause: str = ""
    held: tuple[str, int] | None = None
    retries: int | None = None


@dataclass(slots=True)
class LastExpansion:
    """The newest expansion of a mapped task, and the places of whose rows were replayed.

    ``open`` while no other row of the task has: the rows of one expansion follow one another.
    """

    expanded: Expanded
    places: set[Place] = field(default_factory=set)
    open: bool = True


@dataclass(slots=True)
class Run:
    """A run as it was, with its task instances by (task id, map index), and the options of its newest activation."""

    state: DagRunState | None = None
    instances: dict[Place, Instance] = field(default_factory=dict)
    mapped: bool = False
    told: bool = False  # whether its activation says its options; rows of the first schema do not
    pool: str | None = None
    ignores_past: bool = False
    structure: int | None = None
    blocked: tuple[Blocked, ...] | None = None
    began: str = ""  # when it was activated last, as its row says it
    stopped_by: str | None = None  # why it was stopped since
    failed: set[Place] = field(default_factory=set)  # what has failed by itself since it was activated
    live: bool = False  # a person left it to schedulers
    to_clear: tuple[str, ...] = ()  # what it is to clear when it begins
    expansions: dict[str, LastExpansion] = field(default_factory=dict)  # by mapped task, once it has been expanded
    part: Part = WHOLE

    def of_task(self, task_id: str) -> list[Instance]:
        """The task's instances."""
        if not self.mapped:
            found = self.instances.get((task_id, UNMAPPED))
            return [] if found is None else [found]
        return [instance for (name, _), instance in self.instances.items() if name == task_id]

    def by_index(self, task_id: str) -> dict[int, Instance]:
        """The task's instances by map index."""
        return {index: instance for (name, index), instance in self.instances.items() if name == task_id}

    def goes_on(self, row: HistoryRecord) -> bool:
        """Whether this row of an expansion belongs to the same one as the row before it."""
        last = self.expansions.get(row.task_id or "")
        expanded = None if row.evidence is None else row.evidence.expanded
        if last is None or expanded is None or not last.open or place_of(row) in last.places:
            return False
        return replace(last.expanded, was=None) == replace(expanded, was=None)

    def states(self, task_id: str) -> list[TaskInstanceState]:
        """The states of the task's instances; one without any has none."""
        found = [instance.state or TaskInstanceState.NONE for instance in self.of_task(task_id)]
        return found or [TaskInstanceState.NONE]

    def upstream(self, task_ids: Iterable[str]) -> list[TaskInstanceState]:
        """The states of all instances of these tasks."""
        return [state for task_id in task_ids for state in self.states(task_id)]


class Replay:
    """Everything after some prefix of history."""

    def __init__(self, records: Recorded) -> None:
        self.runs: dict[RunKey, Run] = {}
        self.backfills: dict[int, BackfillState | None] = {}
        self.run_records: dict[RunKey, RunRecord] = {(run.dag_id, run.run_id): run for run in records.runs}
        self.keys_by_row: dict[int, RunKey] = {run.id: key for key, run in self.run_records.items()}
        self.running_runs: Counter[str] = Counter()
        self.pools: dict[str, int | None] = {}  # None: deleted; not in it: history has not told of it yet
        self.pool_slots: Counter[str] = Counter()
        self.active: Counter[tuple[str, ...]] = Counter()  # by (DAG), (DAG, task) and (DAG, task, run)
        self.cleaned = False
        self.is_empty = True  # whether no row has gone by
        self.schema: str | None = None  # by which the rows from here on were written; not told before 0003
        self.wanted_by: dict[RunKey, list[int]] = {}
        for backfill in records.backfills:
            for run_id in backfill.wanted:
                self.wanted_by.setdefault((backfill.dag_id, run_id), []).append(backfill.id)
        self._dates: dict[str, list[tuple[datetime, str]]] = {}
        for record in records.runs:
            self._dates.setdefault(record.dag_id, []).append((record.logical_date, record.run_id))
        for dates in self._dates.values():
            dates.sort()
        self.unless_cleaned: list[Violation] = []  # wrong, unless rows were cleaned away that would say otherwise
        self.untold: Counter[str] = Counter()  # what could not be judged strictly, and how often
        self.structures_are_damaged = bool(records.damaged)
        self._structures = {key: Structure(dag) for key, dag in records.structures.items()}
        self._parts: dict[tuple[int, Part], Structure] = {}
        self._versions = Counter(dag.dag_id for dag in records.structures.values())
        self._most_retries: Counter[tuple[str, str]] = Counter()
        for dag in records.structures.values():
            for task in dag.tasks:
                key = dag.dag_id, task.task_id
                self._most_retries[key] = max(self._most_retries[key], task.retries)

    def run_of_date(self, dag_id: str, date: datetime) -> str | None:
        """The id of the DAG's run of this logical date, if there is one."""
        dates = self._dates.get(dag_id, [])
        place = bisect_left(dates, (date, ""))
        return dates[place][1] if place < len(dates) and dates[place][0] == date else None

    def structure_of(self, key: RunKey) -> Structure | None:
        """What a run was activated with."""
        run = self.runs.get(key)
        return None if run is None or run.structure is None else self._structures.get(run.structure)

    def tasks_of_group(self, dag_id: str, group_id: str) -> Set[str]:
        """The tasks that a group has in any structure."""
        structures = (each.dag for each in self._structures.values() if each.dag.dag_id == dag_id)
        return {task_id for dag in structures for task_id in dag.members.get(group_id, ())}

    @property
    def tells_past(self) -> bool:
        """Whether rows say from here on which previous run they were decided by."""
        return self.schema is not None

    def earlier(self, key: RunKey) -> Iterator[str]:
        """The ids of the DAG's runs of earlier dates, the latest first, whether they exist at this moment or not."""
        record = self.run_records.get(key)
        if record is None:
            return
        dates = self._dates[key[0]]
        for place in range(bisect_left(dates, (record.logical_date, "")) - 1, -1, -1):
            yield dates[place][1]

    def is_earlier(self, dag_id: str, one: str, other: str) -> bool:
        """Whether the date of one run is before that of another; not if either is gone."""
        first, second = self.run_records.get((dag_id, one)), self.run_records.get((dag_id, other))
        return first is not None and second is not None and first.logical_date < second.logical_date

    def run(self, row: HistoryRecord) -> Run:
        """The run a row is about."""
        key = row.dag_id, row.run_id or ""
        found = self.runs.get(key)
        if found is None:
            found = self.runs[key] = Run()
        return found

    def instance(self, row: HistoryRecord) -> Instance:
        """The task instance a row is about."""
        run, place = self.run(row), place_of(row)
        expanded = None if row.evidence is None else row.evidence.expanded
        if expanded is not None and expanded.was is not None and place not in run.instances:
            moved = run.instances.pop((place[0], expanded.was), None)
            if moved is not None:
                run.instances[place], run.mapped = moved, True
        found = run.instances.get(place)
        if found is None:
            found = run.instances[place] = Instance()
            run.mapped = run.mapped or place[1] != UNMAPPED
        return found

    def structure(self, row: HistoryRecord) -> Structure | None:
        """The structure a row was decided by; None where that is not known.

        Rows from before history told it are judged by the one structure their DAG has had, if it is one.
        """
        if row.structure is not None:
            return self._of_run(row, row.structure)
        record = self.run_records.get((row.dag_id, row.run_id or ""))
        if record is None or record.structure is None or self._versions[row.dag_id] > 1:
            return None
        return self._of_run(row, record.structure)

    def _of_run(self, row: HistoryRecord, structure: int) -> Structure | None:
        """The structure as far as it counts in the run that the row is about."""
        run, whole = self.runs.get((row.dag_id, row.run_id or "")), self._structures.get(structure)
        if run is None or whole is None or run.part == WHOLE:
            return whole
        part = run.part.grown(whole.dag, {task_id: run.states(task_id) for task_id in whole.tasks})
        key = structure, part
        if key not in self._parts:
            self._parts[key] = Structure(whole.dag, part)
        return self._parts[key]

    def ended(self, backfill: BackfillRecord, run_id: str) -> DagRunState | None:
        """How a run that the backfill wants stands, as far as that is concerned."""
        run = self.runs.get((backfill.dag_id, run_id), Run())
        if backfill.part is None:
            return run.state
        places = ((task_id, each.state, each.stopping_to, each.cause) for (task_id, _), each in run.instances.items())
        return ended(backfill.part, run.state, places)

    def retries(self, row: HistoryRecord) -> int:
        """How often the task instance may be retried; the most its task ever had where that is not known."""
        known = self.instance(row).retries
        return self._most_retries[row.dag_id, row.task_id or ""] if known is None else known

    def pool_of(self, row: HistoryRecord, structure: Structure | None) -> tuple[str, int] | None:
        """The pool and slots that a task instance queued by this row takes; None where that is not known."""
        task = None if structure is None else structure.tasks.get(row.task_id or "")
        if task is None:
            return None
        return self.pool_of_run((row.dag_id, row.run_id or "")) or task.pool, task.pool_slots

    def pool_of_run(self, key: RunKey) -> str | None:
        """The pool that stands in for every task's own in this run, if one does."""
        run, record = self.runs.get(key), self.run_records.get(key)
        if run is not None and run.told:
            return run.pool
        return None if record is None else record.pool

    def take(self, row: HistoryRecord) -> None:
        """Let the row have happened."""
        self.is_empty = False
        if row.kind == "task_instance":
            self._take_task_instance(row)
        elif row.kind == "dag_run":
            self._take_run(row)
        elif row.kind == "backfill" and row.backfill_id is not None:
            self.backfills[row.backfill_id] = BackfillState(row.after)
        elif row.kind == "pool":
            self.pools[row.pool or ""] = slots_from(row.after)
        elif row.kind == "changed" and row.after == "dag_run":
            run = self.run(row)
            run.part = told_part(row, run.part)
        elif row.kind == "cleaned":
            self.cleaned = True
        elif row.kind == "schema":
            self.schema = row.after

    def _take_run(self, row: HistoryRecord) -> None:
        run, after = self.run(row), DagRunState(row.after)
        self.running_runs[row.dag_id] += (after is DagRunState.RUNNING) - (run.state is DagRunState.RUNNING)
        run.state, run.part = after, told_part(row, run.part)
        evidence = row.evidence
        run.blocked = None if evidence is None else evidence.blocked
        if row.cause == Cause.ACTIVATED:
            run.told = row.structure is not None
            run.structure = row.structure
            run.began = str(row.cells[0]) if row.cells else ""
            run.failed = set()
            run.pool = None if evidence is None else evidence.run_pool
            run.ignores_past = evidence is not None and evidence.ignores_past
        if row.cause in STOPS:
            run.stopped_by = row.cause
        elif row.cause != Cause.JUDGED:
            run.stopped_by = None
        run.live = run.live or (evidence is not None and evidence.live)
        if row.cause == Cause.REPROCESS:
            stored = () if evidence is None else evidence.clear or ()
            run.to_clear = tuple(map(task_to_clear, stored))
        elif row.cause == Cause.ACTIVATED or after in CLOSED:
            run.to_clear = ()

    def _take_task_instance(self, row: HistoryRecord) -> None:
        instance, after = self.instance(row), TaskInstanceState(row.after)
        self._take_expansion(row)
        occupied, occupies = instance.state in OCCUPYING, after in OCCUPYING
        if occupies and not occupied:
            instance.held = self.pool_of(row, self.structure(row))
        if occupies != occupied:
            change = occupies - occupied
            if instance.held is not None:
                self.pool_slots[instance.held[0]] += change * instance.held[1]
            for group in groups_of(row):
                self.active[group] += change
        instance.state, instance.cause = after, row.cause
        if after is TaskInstanceState.FAILED and row.cause in _OWN_FAILURES:
            self.run(row).failed.add(place_of(row))
        else:
            self.run(row).failed.discard(place_of(row))
        instance.stopping_to = None if row.evidence is None else row.evidence.stopping_to
        instance.awaits = None if row.evidence is None else row.evidence.awaits
        instance.reported = row.cause in (Cause.OUTCOME, Cause.RETRY, Cause.RESCHEDULED, Cause.AWAITS)
        instance.try_number = row.try_number if row.try_number is not None else instance.try_number
        instance.row_id = row.row_id if row.row_id is not None else instance.row_id
        if row.cause == Cause.CLAIMED:
            instance.token = row.token or 0
        elif row.cause == Cause.OUTCOME:
            instance.followed = None if row.evidence is None else row.evidence.followed
        elif row.cause == Cause.RETRY:
            instance.retried += 1
        elif row.cause in (Cause.RESCHEDULED, Cause.AWAITS):
            instance.lost = 0  # this claim ended well
        elif row.cause == Cause.LOST and row.before == TaskInstanceState.RUNNING:
            instance.lost += 1
        elif row.cause == Cause.MARKED:
            instance.followed = None
        begins = row.cause == Cause.EXPANDED and row.before in (None, TaskInstanceState.REMOVED)
        if begins or row.cause in (Cause.CREATED, Cause.CLEARED, Cause.REPROCESS):  # a fresh budget
            instance.followed, instance.retried, instance.lost = None, 0, 0
            structure = None if row.structure is None else self.structure(row)
            task = None if structure is None else structure.tasks.get(row.task_id or "")
            instance.retries = None if task is None else task.retries

    def _take_expansion(self, row: HistoryRecord) -> None:
        run, task_id = self.run(row), row.task_id or ""
        expanded = None if row.evidence is None else row.evidence.expanded
        if expanded is None:
            if task_id in run.expansions:
                run.expansions[task_id].open = False
            return
        if not run.goes_on(row):
            run.expansions[task_id] = LastExpansion(expanded)
        run.expansions[task_id].places.add(place_of(row))


def slots_from(text: str) -> int | None:
    """The slots that a pool's row says; None for one that is gone. Raises ValueError for anything else."""
    return None if text == DELETED_POOL else int(text)


def place_of(row: HistoryRecord) -> Place:
    """Where in its run the task instance of a row is."""
    return row.task_id or "", UNMAPPED if row.map_index is None else row.map_index


def groups_of(row: HistoryRecord) -> tuple[tuple[str, ...], ...]:
    """The groups with limits that the task instance of a row belongs to: its DAG, its task, its task in its run."""
    dag, run, task = row.dag_id, row.run_id or "", row.task_id or ""
    return (dag,), (dag, task), (dag, task, run)


def name_of(row: HistoryRecord) -> str:
    """What a row is about, for people."""
    if row.kind == "backfill":
        return f"backfill {row.backfill_id}"
    if row.kind == "pool":
        return f"pool {row.pool}"
    task = None if row.task_id is None else row.task_id + index_suffix(place_of(row)[1])
    return " / ".join(part for part in (row.dag_id, row.run_id, task) if part)
