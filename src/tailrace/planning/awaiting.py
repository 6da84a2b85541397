"""What has come of what rescheduled tries wait for in runs of any DAG, as the sensor of each would find it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from tailrace.model.awaited import Awaited, Looked, Seen, look
from tailrace.model.keys import UNMAPPED
from tailrace.planning.reasons import AwaitedDecided, AwaitedState, Awaits
from tailrace.planning.snapshot import Awaiting, TaskInstanceSnapshot

#: So many of what one try waits for are named.
_MOST_NAMED = 5


class Waits(Struct, frozen=True):
    """What a try waits for, and what has come of that."""

    awaited: Awaited
    looked: Looked
    seen: tuple[Seen, ...] = ()

    def decided(self) -> AwaitedDecided:
        """What has decided it."""
        these = self.looked.failed or self.looked.skipped or self.seen
        return AwaitedDecided(self._states(these), len(these))

    def reason(self, ti: TaskInstanceSnapshot, at: datetime) -> Awaits:
        """What the try still waits for; at that moment it times out."""
        these = self.looked.waits
        return Awaits(self._states(these), len(these), ti.try_number, at)

    def pending(self) -> tuple[AwaitedState, ...]:
        """The first of what is still waited for; nothing where it is decided."""
        return () if self.looked.is_decided else self._states(self.looked.waits)

    def _states(self, these: Sequence[Seen]) -> tuple[AwaitedState, ...]:
        return tuple(_state(self.awaited.dag_id, each) for each in these[:_MOST_NAMED])


def _state(dag_id: str, seen: Seen) -> AwaitedState:
    index = None if seen.map_index == UNMAPPED else seen.map_index
    return AwaitedState(dag_id, seen.logical_date, seen.state, seen.run_id or None, seen.task_id or None, index)


NO_WAITS: Mapping[int, Waits] = MappingProxyType({})


def waits_of(awaiting: Mapping[int, Awaiting]) -> Mapping[int, Waits]:
    """By row, as the snapshot has them. Many may wait for the same, which is looked at once."""
    found: dict[int, Waits] = {}
    for each in awaiting.values():
        if id(each) not in found:
            found[id(each)] = Waits(each.awaited, look(each.awaited, each.seen), each.seen)
    return {row: found[id(each)] for row, each in awaiting.items()}
