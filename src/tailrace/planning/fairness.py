"""Who gives way to whom where room is short: each lane that wants some gets its share, and in time its turn.

A *lane* is a job's work for one backfill, or for live runs. Lanes that want more of a resource than there is record
that they wait; a planner that sees others wait takes up to its own share, leaves what the others lack of theirs, and
with what cannot be shared out evenly they take turns: who has taken less, by weight, goes first. A lane alone pays
nothing.

Thrift and order only: the limits themselves hold because ``apply`` counts again under lock.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tailrace.planning.dependencies import UNLIMITED
from tailrace.planning.plan import CapacityWait, Dependency, DependencyStatus, WaitChanges
from tailrace.planning.reasons import LeftToOthers
from tailrace.planning.snapshot import Contender, Snapshot

#: Nobody gives up its turn to one that has waited less: handing over costs more than short tasks do.
PATIENCE = timedelta(seconds=0.5)

_DIGITS = 6  # so many of what lanes have taken, a sum of fractions, are compared
_WHOLE = 1e-9  # what rounding may cost a share that is a whole number


def pool_resource(name: str) -> str:
    """The slots of a pool."""
    return f"pool:{name}"


def tasks_resource(dag_id: str) -> str:
    """The active tasks of a DAG."""
    return f"tasks:{dag_id}"


def runs_resource(dag_id: str) -> str:
    """The active runs of a DAG."""
    return f"runs:{dag_id}"


def no_waits(snapshot: Snapshot) -> WaitChanges | None:
    """What ends every wait of this lane; None when there is none."""
    lane = 0 if snapshot.backfill is None else snapshot.backfill.id
    own = [c.resource for c in snapshot.contenders if (c.job_id, c.lane) == (snapshot.job_id, lane)]
    return WaitChanges(ended=tuple(sorted(own))) if own else None


@dataclass(slots=True)
class _ResourceUsage:
    """One resource that others wait for: what this lane has of it, and what is due to whom."""

    mine: float
    taken: float  # by this lane, by weight; compared with the others'
    weight: float
    my_share: float
    others: tuple[tuple[Contender, float], ...]  # with the share of each


class FairShare:
    """What this step may take beside others, and what it will say that it waits for.

    ``held`` is what this lane holds of each resource already.
    """

    def __init__(self, snapshot: Snapshot, held: Mapping[str, int]) -> None:
        self._snapshot = snapshot
        self._lane = 0 if snapshot.backfill is None else snapshot.backfill.id
        self._held = dict(held)
        self._own = {c.resource: c for c in snapshot.contenders if self._is_mine(c)}
        self._others: dict[str, list[Contender]] = {}
        for contender in snapshot.contenders:
            if not self._is_mine(contender):
                self._others.setdefault(contender.resource, []).append(contender)
        self._usages: dict[str, _ResourceUsage] = {}
        self._wanted: dict[str, bool] = {}  # what is waited for; whether a row about it is worth while
        self._took: set[str] = set()

    def _is_mine(self, contender: Contender) -> bool:
        return (contender.job_id, contender.lane) == (self._snapshot.job_id, self._lane)

    def keep(self, resource: str, size: int, occupied: int, slots: int = 1) -> DependencyStatus | None:
        """Why this lane leaves free room of ``resource`` to another; None: it may take ``slots`` of it.

        ``size`` and ``occupied`` are of the whole resource.
        """
        others = self._others.get(resource)
        if not others or size == UNLIMITED:
            return None
        usage = self._usages.get(resource)
        if usage is None:
            usage = self._usages[resource] = self._usage(resource, others, size, occupied)
        if usage.mine + slots <= usage.my_share + _WHOLE:
            return None
        first = self._goes_first(usage)
        if first is None:
            return None
        self.wait_for(resource, occupied)
        reason = LeftToOthers(resource, first.lane, first.job_id, first.since, first.occupied, usage.mine)
        return DependencyStatus(Dependency.FAIR_SHARE, False, reason)

    def take(self, resource: str, slots: int = 1) -> None:
        """Count what this step takes."""
        self._held[resource] = self._held.get(resource, 0) + slots
        usage = self._usages.get(resource)
        if usage is not None:
            usage.mine += slots
            usage.taken += slots / usage.weight
            self._took.add(resource)

    def wait_for(self, resource: str, occupied: int) -> None:
        """This lane has work that lacks room. Worth saying only if somebody else has some, or waits for it too."""
        shared = resource in self._others or occupied > self._held.get(resource, 0)
        self._wanted[resource] = self._wanted.get(resource, False) or shared

    @property
    def waiting(self) -> bool:
        """Whether this lane lacks something that others hold or want as well."""
        return self._snapshot.contended and any(self._wanted.values())

    def give_back(self, resource: str, slots: int) -> None:
        """This step itself frees some of what the lane holds."""
        self._held[resource] = self._held.get(resource, 0) - slots

    def changes(self) -> WaitChanges | None:
        """What to record about this lane's waits; None when nothing changes."""
        if not self._snapshot.contended:
            return None
        waits = {resource for resource, shared in self._wanted.items() if shared}
        begun = tuple(
            CapacityWait(resource, self._usage_at_first(resource)) for resource in sorted(waits - self._own.keys())
        )
        ended = tuple(sorted(self._own.keys() - waits))
        renewed = tuple(
            CapacityWait(resource, self._usages[resource].taken)
            for resource in sorted(self._took & waits & self._own.keys())
        )
        return WaitChanges(begun, ended, renewed) if begun or ended or renewed else None

    # --- shares --------------------------------------------------------------------------------------------

    def _usage(self, resource: str, others: Iterable[Contender], size: int, occupied: int) -> _ResourceUsage:
        contenders = tuple(others)
        live = sum(c.lane == 0 for c in contenders) + (self._lane == 0)
        backfills = sum(c.lane != 0 for c in contenders) + (self._lane != 0)
        mine = self._held.get(resource, 0)
        to_share = size - max(0, occupied - mine - sum(c.occupied for c in contenders))
        weights = [self._weight(c.lane, live, backfills) for c in contenders]
        own_weight = self._weight(self._lane, live, backfills)
        unit = to_share / (sum(weights) + own_weight)
        return _ResourceUsage(
            mine=mine,
            taken=self._usage_at_first(resource),
            weight=own_weight,
            my_share=unit * own_weight,
            others=tuple((c, unit * weight) for c, weight in zip(contenders, weights, strict=True)),
        )

    def _weight(self, lane: int, live: int, backfills: int) -> float:
        """Live work and backfills weigh as the setting says, however many lanes each has."""
        return 1 / live if lane == 0 else self._snapshot.backfill_weight / backfills

    def _usage_at_first(self, resource: str) -> float:
        """What counts as taken by this lane: what is recorded, or, for one that comes new, as little as any other's."""
        own = self._own.get(resource)
        others = self._others.get(resource, ())
        if own is not None:
            return own.taken
        return min((c.taken for c in others), default=0.0)

    def _goes_first(self, usage: _ResourceUsage) -> Contender | None:
        """The other that has the better claim to a free slot, if any has.

        Lanes that have less than their share come before all others, and of these, whose next tasks need more than it,
        one in turn: so of lanes that nothing else hinders one begins.
        """
        hungry = [c for c, share in usage.others if c.occupied + 1 <= share + _WHOLE]
        if usage.mine + 1 <= usage.my_share + _WHOLE:
            return min((c for c in hungry if self._came_before(c, usage)), key=_turn, default=None)
        if hungry:
            return min(hungry, key=lambda c: (c.since, c.job_id, c.lane))
        # What is left over when each has the whole part of its share: one more for each, in turn.
        behind = [c for c, share in usage.others if c.occupied < _at_most(share)]
        if usage.mine < _at_most(usage.my_share):
            behind = [c for c in behind if self._came_before(c, usage) and self._snapshot.now - c.since >= PATIENCE]
        return min(behind, key=_turn, default=None)

    def _came_before(self, other: Contender, usage: _ResourceUsage) -> bool:
        """Whether the other has taken less, or as little and waits longer. Who comes new waits for no time yet."""
        own = self._own.get(other.resource)
        if own is None:
            return round(other.taken, _DIGITS) <= round(usage.taken, _DIGITS)
        return _turn(other) < _turn(own, usage.taken)


def _turn(lane: Contender, taken: float | None = None) -> tuple[float, datetime, int, int]:
    """Who has taken less goes first; of those who have taken as much, who has waited longer. A total order."""
    return round(lane.taken if taken is None else taken, _DIGITS), lane.since, lane.job_id, lane.lane


def _at_most(share: float) -> int:
    """What a lane may hold beside others: its share, rounded up."""
    return max(1, math.ceil(share - _WHOLE))
