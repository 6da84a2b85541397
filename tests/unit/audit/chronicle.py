"""Writes a history by hand, row by row, with the final rows that it leads to: what the audit's tests tamper with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from tailrace.audit.records import (
    AuditRecords,
    BackfillRecord,
    Blocked,
    Evidence,
    HistoryRecord,
    RunRecord,
    TaskInstanceRecord,
)
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind, TaskSpec

DAG = "d"
FIRST, SECOND = "r1", "r2"
EVIDENCE = set(Evidence.__struct_fields__)
#: By run id: days of a schedule, in order.
DATES = {run_id: datetime(2024, 1, day, tzinfo=UTC) for day, run_id in enumerate((FIRST, SECOND, "r3", "r4"), start=1)}
DAILY = Schedule(ScheduleKind.CRON, "0 0 * * *")


def dag_of(*tasks: TaskSpec, **more: Any) -> DagSpec:
    """A DAG of these tasks; what is below them follows from what is above."""
    below = {task.task_id: tuple(each.task_id for each in tasks if task.task_id in each.upstream) for task in tasks}
    more.setdefault("schedule", DAILY)
    return DagSpec(DAG, tuple(replace(task, downstream=below[task.task_id]) for task in tasks), **more)


@dataclass
class Chronicle:
    """One DAG's history so far. Every method appends rows; ``records`` is what an audit would read."""

    dag: DagSpec
    pools: dict[str, int] = field(default_factory=lambda: {"default_pool": 128})
    run_types: dict[str, str] = field(default_factory=dict)  # backfill where nothing is said
    stop_on_failure: bool = False
    rows: list[HistoryRecord] = field(default_factory=list)
    tokens: dict[tuple[str, str], int] = field(default_factory=dict)
    tries: dict[tuple[str, str], int] = field(default_factory=dict)

    def row(self, kind: str, **values: Any) -> None:
        """Append any row; words that are parts of the evidence go there."""
        evidence = {name: values.pop(name) for name in EVIDENCE & values.keys()}
        if "blocked" in evidence:  # as (task id, map index)
            run = (DAG, values["run_id"])
            evidence["blocked"] = tuple(Blocked(run, place, "none", ("Trigger Rule",)) for place in evidence["blocked"])
        values["evidence"] = Evidence(**evidence) if evidence else None
        fields: dict[str, Any] = {
            **dict.fromkeys(("run_id", "task_id", "map_index", "backfill_id", "before", "try_number", "token")),
            "actor": "planner",
            **values,
        }
        self.rows.append(HistoryRecord(id=len(self.rows) + 1, kind=kind, dag_id=DAG, **fields))

    def backfill(self, before: str | None, after: str, cause: str) -> None:
        """A step of the one backfill."""
        self.row("backfill", backfill_id=1, before=before, after=after, cause=cause)

    def run(self, before: str | None, after: str, cause: str, run_id: str = FIRST, **more: Any) -> None:
        """A step of a run; one that goes again has nothing to clear unless it is said."""
        more = {"clear": (), **more} if cause == "reprocess" else more
        self.row("dag_run", run_id=run_id, before=before, after=after, cause=cause, **more)

    def activate(self, run_id: str = FIRST) -> None:
        """A run begins: its task instances are created."""
        self.run(None, "queued", "created", run_id)
        self.run("queued", "running", "activated", run_id)
        for task in self.dag.tasks:
            self.step(task.task_id, None, "none", "created", run_id, try_number=0)

    def step(
        self,
        task_id: str,
        before: str | None,
        after: str,
        cause: str,
        run_id: str = FIRST,
        kind: str = "task_instance",
        **more: Any,
    ) -> None:
        """A step of a task instance; try number and token are its present ones unless given."""
        values = {"try_number": self.tries.get((run_id, task_id), 0), "token": None, **more}
        self.row(kind, run_id=run_id, task_id=task_id, map_index=-1, before=before, after=after, cause=cause, **values)

    def queue(self, task_id: str, run_id: str = FIRST, before: str = "none", **more: Any) -> None:
        """A new try is queued; ``looked_at`` is the previous run it was decided by."""
        self.tries[run_id, task_id] = self.tries.get((run_id, task_id), 0) + 1
        self.step(task_id, before, "queued", "dependencies_met", run_id, **more)

    def claim(self, task_id: str, run_id: str = FIRST) -> None:
        """A worker claims the queued try."""
        token = self.tokens[run_id, task_id] = self.tokens.get((run_id, task_id), 0) + 1
        self.step(task_id, "queued", "running", "claimed", run_id, actor="worker", token=token)

    def end(self, task_id: str, after: str, run_id: str = FIRST, cause: str = "outcome", **more: Any) -> None:
        """The holder of the running try reports."""
        values = {"actor": "worker", "token": self.tokens[run_id, task_id], **more}
        self.step(task_id, "running", after, cause, run_id, **values)

    def play(
        self, task_id: str, after: str = "success", run_id: str = FIRST, looked_at: str | None = None, **more: Any
    ) -> None:
        """A whole try, from queued to its outcome."""
        self.queue(task_id, run_id, **({} if looked_at is None else {"looked_at": looked_at}))
        self.claim(task_id, run_id)
        self.end(task_id, after, run_id, **more)

    def resize(self, name: str, before: int | None, after: int | None, cause: str) -> None:
        """A person creates, changes or deletes a pool; None is no pool."""
        text = {"before": None if before is None else str(before), "after": "deleted" if after is None else str(after)}
        self.rows.append(self._pool(len(self.rows) + 1, name, **text, cause=cause))

    def _pool(self, id: int, name: str, before: str | None, after: str, cause: str) -> HistoryRecord:
        nothing = dict.fromkeys(("run_id", "task_id", "map_index", "backfill_id", "try_number", "token"))
        return HistoryRecord(
            id, "pool", "", before=before, after=after, actor="person", cause=cause, pool=name, **nothing
        )

    def records(self, structure: int | None = 1) -> AuditRecords:
        """What an audit reads: the pools' creation, then the rows; the final rows are where they lead."""
        instances: dict[tuple[str, str], HistoryRecord] = {}
        tokens: dict[tuple[str, str], int] = {}
        followed: dict[tuple[str, str], tuple[str, ...] | None] = {}
        runs: dict[str, str] = {}
        backfills: dict[int, str] = {}
        pools = dict(self.pools)
        nothing = dict.fromkeys(("run_id", "task_id", "map_index", "backfill_id", "before", "try_number", "token"))
        schema = HistoryRecord(-len(self.pools), "schema", "", after="0003", actor="person", cause="created", **nothing)
        first = [
            self._pool(place - len(self.pools), name, None, str(slots), "created")
            for place, (name, slots) in enumerate(self.pools.items(), start=1)
        ]
        for row in self.rows:
            if row.kind == "pool" and row.pool:
                pools.pop(row.pool, None)
                if row.after != "deleted":
                    pools[row.pool] = int(row.after)
            elif row.kind == "task_instance" and row.run_id and row.task_id:
                instances[row.run_id, row.task_id] = row
                if row.cause == "claimed":
                    tokens[row.run_id, row.task_id] = row.token or 0
                elif row.cause == "outcome" and row.evidence is not None:
                    followed[row.run_id, row.task_id] = row.evidence.followed
            elif row.kind == "dag_run" and row.run_id:
                runs[row.run_id] = row.after
            elif row.backfill_id is not None:
                backfills[row.backfill_id] = row.after
        return AuditRecords(
            history=(schema, *first, *self.rows),
            task_instances=tuple(
                TaskInstanceRecord(
                    *(DAG, run_id, task_id, -1, row.after, row.try_number or 0, tokens.get((run_id, task_id), 0)),
                    pool=self.dag.by_id[task_id].pool,
                    pool_slots=self.dag.by_id[task_id].pool_slots,
                    followed=followed.get((run_id, task_id)),
                )
                for (run_id, task_id), row in instances.items()
            ),
            runs=tuple(
                RunRecord(
                    DAG, run_id, state, DATES[run_id], self.run_types.get(run_id, "backfill"), False, None, structure
                )
                for run_id, state in runs.items()
            ),
            backfills=tuple(
                BackfillRecord(id, DAG, state, self.stop_on_failure, tuple(runs)) for id, state in backfills.items()
            ),
            structures={1: self.dag},
            pools=pools,
        )
