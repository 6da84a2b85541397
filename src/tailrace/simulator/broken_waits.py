"""Canaries of waits: nothing ends one but its timeout, and circles that are proven from what is not of one moment."""

from collections.abc import Mapping

from msgspec.structs import replace

from tailrace.effects.requests import ReadSnapshot
from tailrace.metastore.plans import verdicts
from tailrace.metastore.plans.locking import Workspace
from tailrace.planning import planner
from tailrace.planning.awaiting import NO_WAITS, Waits
from tailrace.planning.plan import RunVerdict
from tailrace.planning.snapshot import Awaiting, Snapshot
from tailrace.simulator.broken_writes import Replaced
from tailrace.simulator.performing import Performer
from tailrace.simulator.processes import Job
from tailrace.simulator.world_state import WorldState


def _nothing(awaiting: Mapping[int, Awaiting]) -> Mapping[int, Waits]:
    return NO_WAITS


nothing_wakes = Replaced(planner, "waits_of", _nothing)
"""Whoever waits is not looked after: the wake-up is lost."""


def _as_it_was(work: Workspace, verdict: RunVerdict) -> str | None:
    return None


circle_unchecked = Replaced(verdicts, "_other_circle", _as_it_was)
"""The other runs of a circle are not read again before the verdict is written."""


class CircleOfTwoReads(Performer):
    """A job that reads its own runs now, and keeps what it has read of the others' a moment ago."""

    def __init__(self, world: WorldState) -> None:
        super().__init__(world)
        self._before: dict[int, Snapshot] = {}

    def read_snapshot(self, process: Job, effect: ReadSnapshot) -> Snapshot:
        """Of two moments."""
        now = super().read_snapshot(process, effect)
        before, self._before[process.id] = self._before.get(process.id, now), now
        own = {ti.id for run in now.runs for ti in run.task_instances}
        others = {id: each for id, each in before.awaiting.items() if id not in own}
        return replace(now, around=before.around, awaiting={**now.awaiting, **others})
