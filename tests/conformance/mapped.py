"""A run with a mapped task, brought to where a test begins."""

from typing import Any

from tailrace.effects.results import Applied
from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import task_instance
from tailrace.metastore.store import Metastore
from tailrace.model.keys import UNMAPPED
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec, XComRef
from tailrace.planning.plan import Plan
from tests.conformance.worlds import World, dag

A = XComRef("a")
MAPPED = dag("a>m>z", m={"mapped_over": (A,)})


class Mapped:
    """One active run of a DAG with a mapped task m, the job that drives it, and the backfill that wants it."""

    def __init__(self, world: World, spec: DagSpec = MAPPED) -> None:
        self.world, self.spec = world, spec
        self.backfill, self.job = world.begun(spec)

    def id(self, task_id: str, index: int = UNMAPPED) -> int:
        [found] = [row.id for row in self.world.task_instances(1) if (row.task_id, row.map_index) == (task_id, index)]
        return int(found)

    def becomes(self, spec: DagSpec) -> None:
        """Its DAG file has changed."""
        self.spec = spec
        self.world.store.store_loaded([spec], self.world.write_id())

    def step(self, store: Metastore | None = None) -> Applied:
        return self.world.step(self.spec, self.job, self.backfill, store)

    def plan(self) -> Plan:
        return self.world.decided(self.world.store.snapshot(self.job, self.spec, self.backfill))

    def ends(self, task_id: str, index: int = UNMAPPED, kind: OutcomeKind = OutcomeKind.SUCCESS, **more: Any) -> None:
        """A try of the task instance, queued by the planner itself, ends so."""
        id = self.id(task_id, index)
        for _ in range(4):
            if self.world.state(id) == "queued":
                break
            self.step()
        claim = self.world.running(id, self.world.row(task_instance, id).try_number)
        self.world.report(self.spec, claim, kind, **more)

    def leaves(self, value: Any, task_id: str = "a") -> None:
        """A task succeeds and leaves this value."""
        self.ends(task_id, xcoms={"return_value": value})

    def indexes(self, task_id: str = "m") -> dict[int, str]:
        """Its instances' states by map index, those that were removed too."""
        found = (row for row in self.world.task_instances(1) if row.task_id == task_id)
        return {row.map_index: row.state for row in sorted(found, key=lambda row: row.map_index)}

    def reason(self, task_id: str = "m") -> str:
        return str(self.world.row(task_instance, self.id(task_id)).reason)

    def evidence(self) -> list[dict[str, Any]]:
        return [from_json(row.evidence) for row in self.world.history(cause="expanded")]
