"""Sets scenes: a clock that stands still, DAGs in a line, backfills, jobs and tries brought to where a test begins."""

import itertools
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Table, select

from tailrace.audit.checks import audit
from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, ClaimRequest, Refused, TryOutcome
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, history, task_instance
from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.plans.lookback import read_previous
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import ProcessIdentity, TaskInstanceKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind
from tailrace.model.states import CLOSED, BackfillState, DagRunState, JobKind, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import BackfillCreation, BackfillRequest, Reprocess
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandFacts, CommandPlan, CommandScope
from tailrace.planning.creation import plan_backfill
from tailrace.planning.plan import BackfillVerdict, LookBack, Plan, RunActivation, RunVerdict, TaskTransition
from tailrace.planning.planner import plan
from tailrace.planning.resizing import plan_resize
from tailrace.planning.retries import AfterTry, after_try
from tailrace.planning.snapshot import Snapshot
from tests.unit.planning.builders import dag as plain_dag

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LEASE = 20.0
PERSON = "ana@here"


class FalseClock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = datetime(2024, 5, 1, 12, tzinfo=UTC)
        self.seconds = 1000.0
        self.boot = "boot-1"

    def wall(self) -> datetime:
        return self.now

    def lease(self) -> float:
        return self.seconds

    def epoch(self) -> str:
        return self.boot

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)


def dag(edges: str, **of_tasks: Mapping[str, Any]) -> DagSpec:
    """A daily DAG from ``"a>b b>c d"``; ``a={"retries": 1}`` sets fields of task a, ``_dag`` the DAG's."""
    return replace(plain_dag(edges, **of_tasks), schedule=Schedule(ScheduleKind.CRON, "0 0 * * *"), start_date=FIRST)


def intervals(days: int, first: datetime = FIRST) -> tuple[DataInterval, ...]:
    """So many daily data intervals."""
    return tuple(DataInterval(first + n * DAY, first + (n + 1) * DAY) for n in range(days))


class World:
    """One metastore and the shortest way to a scene in it. Every write gets an id of its own."""

    def __init__(self, store: Metastore, clock: FalseClock) -> None:
        self.store = store
        self.clock = clock
        self._numbers = itertools.count(1)

    def write_id(self) -> str:
        return f"write-{next(self._numbers)}"

    def process(self, host: str = "here") -> ProcessIdentity:
        number = next(self._numbers)
        return ProcessIdentity(host, "boot", number, number)

    # --- backfills and jobs --------------------------------------------------------------------------------

    def decide(self, spec: DagSpec, days: int = 1, first: datetime = FIRST, **request: Any) -> BackfillCreation:
        """What a backfill command over so many days would write."""
        dates = intervals(days, first)
        request["reprocess"] = Reprocess(request.get("reprocess", "missing"))
        asked = BackfillRequest(spec.dag_id, dates[0].start, dates[-1].start, **request)
        return plan_backfill(spec, asked, dates, self.store.backfill_facts(spec, asked, dates))

    def backfill(self, spec: DagSpec, days: int = 1, first: datetime = FIRST, **request: Any) -> int:
        """Create (or continue) a backfill; its row."""
        creation = self.decide(spec, days, first, **request)
        assert creation.refusals == ()
        created = self.store.create_backfill(spec, creation, "typed", self.write_id())
        assert not isinstance(created, MetastoreStale), created.reason
        return created

    def job(self, spec: DagSpec, backfill: int, process: ProcessIdentity | None = None) -> int:
        identity = process or self.process()
        return self.store.start_job(JobKind.BACKFILL, identity, spec.dag_id, backfill, LEASE, self.write_id())

    def begun(self, spec: DagSpec, days: int = 1, **request: Any) -> tuple[int, int]:
        """A backfill with all its runs active; the rows of the backfill and of its job."""
        backfill = self.backfill(spec, days, **request)
        job = self.job(spec, backfill)
        applied = self.activate(spec, job, *(row.id for row in self.rows(dag_run) if row.state == "queued"))
        assert len(applied.activated) == days, applied.stale
        return backfill, job

    # --- plans ---------------------------------------------------------------------------------------------

    def apply(self, spec: DagSpec, job: int, store: Metastore | None = None, **parts: Any) -> Applied:
        """Apply a plan of these parts."""
        return (store or self.store).apply(Plan(spec, job, **parts), self.write_id())

    def step(self, spec: DagSpec, job: int, backfill: int, store: Metastore | None = None) -> Applied:
        """One whole step: snapshot, the planner's plan, apply."""
        store = store or self.store
        return store.apply(plan(store.snapshot(job, spec, backfill)), self.write_id())

    def activate(self, spec: DagSpec, job: int, *runs: int) -> Applied:
        return self.apply(spec, job, activations=tuple(self.activation(run) for run in runs))

    def activation(self, run: int) -> RunActivation:
        row = self.row(dag_run, run)
        return RunActivation(run, row.run_id, row.version)

    def transition(
        self, id: int, after: TaskInstanceState = TaskInstanceState.QUEUED, cause: Cause | None = None, **more: Any
    ) -> TaskTransition:
        """A step of the task instance as it stands; into queued by default, under the next try number."""
        row = self.row(task_instance, id)
        run = self.row(dag_run, row.dag_run_id)
        into_queue = after is TaskInstanceState.QUEUED
        fields = {
            "before": TaskInstanceState(row.state),
            "before_try": row.try_number,
            "try_number": row.try_number + 1 if into_queue else row.try_number,
            "cause": cause or (Cause.DEPENDENCIES_MET if into_queue else Cause.TRIGGER_RULE),
            "reason": "",
            **more,
        }
        key = TaskInstanceKey(row.dag_id, run.run_id, row.task_id, row.map_index)
        return TaskTransition(id=id, run=row.dag_run_id, key=key, after=after, **fields)

    def queue(self, spec: DagSpec, job: int, *ids: int, store: Metastore | None = None) -> Applied:
        steps = (self.transition(id, looked_back=self.looked_back(spec, id)) for id in ids)
        return self.apply(spec, job, store, transitions=tuple(steps))

    def looked_back(self, spec: DagSpec, id: int) -> LookBack | None:
        """What a task instance looks back at now; None for one whose task does not."""
        row = self.row(task_instance, id)
        if not spec.by_id[row.task_id].looks_back_at:
            return None
        found = self.store.read(lambda tx: read_previous(tx, spec, [row.dag_run_id]))
        previous = found.looks_at[row.dag_run_id].get(row.task_id)
        [dag_row] = [each for each in self.rows(dag_table) if each.dag_id == spec.dag_id]
        return LookBack(dag_row.version, None if previous is None else found.previous[previous].run_id)

    def verdict(self, run: int, state: DagRunState, **more: Any) -> RunVerdict:
        """A verdict over the run as it stands."""
        row = self.row(dag_run, run)
        evidence = {ti.id: TaskInstanceState(ti.state) for ti in self.task_instances(run)}
        return replace(RunVerdict(run, row.run_id, row.version, state, evidence), **more)

    def backfill_verdict(self, id: int, state: BackfillState, version: int = 1, reason: str = "") -> BackfillVerdict:
        """A verdict over the backfill with its closed runs as they stand."""
        states = [row.run_state for row in self.rows(backfill_run) if row.backfill_id == id]
        closed = Counter(DagRunState(each) for each in states if DagRunState(each) in CLOSED)
        return BackfillVerdict(id, version, state, closed, reason, leaves_open=closed.total() < len(states))

    def decided(self, snapshot: Snapshot) -> Plan:
        """The planner's plan, not applied."""
        return plan(snapshot)

    def named(self, spec: DagSpec, dag_id: str) -> DagSpec:
        """The same DAG under another name."""
        return replace(spec, dag_id=dag_id)

    # --- tries ---------------------------------------------------------------------------------------------

    def claim(self, id: int, number: int = 1, store: Metastore | None = None, **more: Any) -> Claim | Refused:
        fields = {"worker": self.process(), "task": self.process(), "code_hash": "hash", "lease_seconds": LEASE, **more}
        return (store or self.store).claim(ClaimRequest(id, number, **fields), self.write_id())

    def running(self, id: int, number: int = 1) -> Claim:
        """A won claim of a queued try."""
        claim = self.claim(id, number)
        assert isinstance(claim, Claim), claim
        return claim

    def after(self, spec: DagSpec, claim: Claim, kind: OutcomeKind) -> AfterTry:
        task = spec.by_id[claim.task_instance.task_id]
        budget = {"max_tries": claim.max_tries, "lost_tries": claim.lost_tries, "disable_retry": False}
        return after_try(task, claim.key, kind, "said so", **budget)

    def report(
        self,
        spec: DagSpec,
        claim: Claim,
        kind: OutcomeKind = OutcomeKind.SUCCESS,
        store: Metastore | None = None,
        **more: Any,
    ) -> Any:
        after = self.after(spec, claim, kind)
        return (store or self.store).report(claim, TryOutcome(kind, **more), after, self.write_id())

    def run_try(self, spec: DagSpec, job: int, id: int, kind: OutcomeKind = OutcomeKind.SUCCESS, **more: Any) -> None:
        """Queue, claim and report one try of the task instance."""
        assert self.queue(spec, job, id).won
        self.report(spec, self.running(id, self.row(task_instance, id).try_number), kind, **more)

    # --- commands of a person ------------------------------------------------------------------------------

    def about(self, *runs: str | datetime, **scope: Any) -> CommandFacts:
        """What a command over these runs (all of the DAG if none is named) is decided from."""
        if not runs and "backfill_id" not in scope:
            scope = {"first": FIRST, **scope}
        return self.store.command_facts(CommandScope("dag", runs, **scope))

    def do(self, plan: CommandPlan, store: Metastore | None = None) -> Done | MetastoreStale:
        """Write a command."""
        assert plan.refusals == ()
        return (store or self.store).command(plan, self.write_id())

    def clear(self, *task_ids: str, **more: Any) -> CommandPlan:
        """Clear these tasks of every run."""
        plan = plan_clear(self.about(), ClearRequest(task_ids, **more))
        assert isinstance(self.do(plan), Done)
        return plan

    def sound(self) -> None:
        """The whole history so far is one that an audit accepts."""
        found = audit(self.store.audit_records())
        assert found == (), "\n".join(map(str, found))

    def pool(self, name: str, slots: int, description: str | None = None, store: Metastore | None = None) -> bool:
        """Create a pool (True) or change it (False)."""
        chosen = store or self.store
        created = chosen.resize(plan_resize(chosen.resize_facts(name), name, slots, description), self.write_id())
        assert not isinstance(created, MetastoreStale), created.reason
        return created

    # --- what is there -------------------------------------------------------------------------------------

    def rows(self, table: Table) -> list[Any]:
        keys = list(table.primary_key)
        return list(self.store.read(lambda tx: tx.rows(select(table).order_by(*keys))))

    def row(self, table: Table, id: int) -> Any:
        return self.store.read(lambda tx: tx.row(select(table).where(table.c.id == id)))

    def run_rows(self) -> list[int]:
        return [row.id for row in self.rows(dag_run)]

    def task_instances(self, run: int) -> list[Any]:
        wanted = select(task_instance).where(task_instance.c.dag_run_id == run).order_by(task_instance.c.id)
        return list(self.store.read(lambda tx: tx.rows(wanted)))

    def by_task(self, run: int) -> dict[str, int]:
        """The rows of a run's task instances, by task id."""
        return {row.task_id: row.id for row in self.task_instances(run)}

    def state(self, id: int) -> str:
        return str(self.row(task_instance, id).state)

    def set_state(self, id: int, **columns: Any) -> None:
        """Put a row into a state no command of today leads to."""
        self.store._database.write(
            lambda tx: tx.change(task_instance.update().where(task_instance.c.id == id).values(**columns))
        )

    def set_run(self, id: int, **columns: Any) -> None:
        """Put a run into a state that a test begins from."""
        self.store._database.write(lambda tx: tx.change(dag_run.update().where(dag_run.c.id == id).values(**columns)))

    def set_backfill(self, id: int, **columns: Any) -> None:
        """Put a backfill into a state that a test begins from."""
        change = backfill.update().where(backfill.c.id == id).values(**columns)
        self.store._database.write(lambda tx: tx.change(change))

    def history(self, **wanted: Any) -> list[Any]:
        """The rows of history with these values; those of pools and of the schema only where they are asked for."""
        apart = {"pool", "schema"} - {wanted.get("kind")}
        rows = [row for row in self.rows(history) if row.kind not in apart]
        return [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]


def places(applied: Applied) -> tuple[int, int]:
    """How many transitions, and how many other parts, the answer accounts for."""
    return (
        len(applied.won) + len(applied.lost) + len(applied.deferred),
        len(applied.activated)
        + len(applied.adopted)
        + len(applied.taken_over)
        + len(applied.judged)
        + len(applied.stale)
        + applied.backfill_judged,
    )
