"""Effects that are performed otherwise than the product does: see ``canaries``."""

import sqlite3
from collections.abc import Callable
from typing import Any

from tailrace.effects.requests import (
    ClaimTry,
    Wait,
)
from tailrace.effects.tries import Claim, Refused
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.states import (
    TaskInstanceState,
)
from tailrace.model.transitions import Cause
from tailrace.planning.plan import Plan, TaskTransition
from tailrace.simulator.performing import Performer
from tailrace.simulator.processes import Job, Worker
from tailrace.simulator.world_state import WorldState


class UnguardedClaim(Performer):
    """A worker that does not look whether the try is running already: whoever asks gets it."""

    def claim(self, process: Worker, effect: ClaimTry) -> Claim | Refused:
        """A refused claim is forced."""
        result = super().claim(process, effect)
        if isinstance(result, Claim):
            return result
        self._put_back(effect.request.id, effect.request.try_number)
        return super().claim(process, effect)

    def _put_back(self, id: int, try_number: int) -> None:
        with sqlite3.connect(self.world.file) as connection:
            connection.execute(
                "UPDATE task_instance SET state = 'queued' WHERE id = ? AND try_number = ? AND state = 'running'",
                (id, try_number),
            )
        connection.close()


class NewWriteId(Performer):
    """A driver that repeats a write whose acknowledgement was lost under a new id: it is done twice, or refused by
    itself.
    """

    def write(self, write: Callable[[str], Any]) -> Any:
        """What the repetition returns."""
        before = self.world.broken
        result = write(self.world.write_id())
        return result if self.world.broken == before else write(self.world.write_id())


class OpenTransaction(Performer):
    """A refresh that takes the row's lock and returns early, "already running", without ending its transaction."""

    def __init__(self, world: WorldState) -> None:
        super().__init__(world)
        self._held: sqlite3.Connection | None = None

    def claim(self, process: Worker, effect: ClaimTry) -> Claim | Refused:
        """A refused claim leaves its lock behind."""
        result = super().claim(process, effect)
        if isinstance(result, Refused) and self._held is None:
            self._held = sqlite3.connect(self.world.file, isolation_level=None)
            self._held.execute("BEGIN IMMEDIATE")
        return result

    def close(self) -> None:
        """Let go, so that what happened can be read."""
        if self._held is not None:
            self._held.close()


class TrustingEvents(Performer):
    """A loop that believes its executor's events: a try said to have ended, whose row says otherwise, is failed."""

    def wait(self, process: Job, effect: Wait) -> Any:
        """Reconcile the row with the event, as Airflow does, then go on."""
        for submission in process.hints if self.world.stuck is None else ():
            self._fail(process, submission.id, submission.key.task_instance)
        return super().wait(process, effect)

    def _fail(self, process: Job, id: int, key: TaskInstanceKey) -> None:
        snapshot = self.world.metastore.snapshot(process.id, self.world.scenario.dag, process.backfill_id)
        for run in snapshot.runs:
            for ti in run.task_instances:
                if ti.id == id and ti.state is TaskInstanceState.RUNNING:
                    step = TaskTransition(
                        id,
                        run.id,
                        key,
                        ti.state,
                        ti.try_number,
                        TaskInstanceState.FAILED,
                        ti.try_number,
                        Cause.LOST,
                        "the executor reported that it finished although its state is running",
                        token=ti.token,
                    )
                    self.world.metastore.apply(
                        Plan(self.world.scenario.dag, process.id, transitions=(step,)), self.world.write_id()
                    )
