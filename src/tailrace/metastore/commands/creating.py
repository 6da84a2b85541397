"""What one creation of a backfill works on, shared by the parts that write it. No statement lives here."""

from dataclasses import dataclass, field
from datetime import datetime

from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.backfills import LockedBackfill, Wanted
from tailrace.metastore.writes.records import Author, History
from tailrace.model.chains import Chain
from tailrace.model.spec import DagSpec
from tailrace.planning.backfills import BackfillCreation, BackfillRequest, DatePlan


@dataclass(slots=True)
class FoundRun:
    """A run of the range as it stands under lock."""

    id: int
    run_id: str
    logical_date: datetime
    state: str
    version: int
    clear: str | None
    chain: Chain
    part: str | None = None


@dataclass(slots=True)
class Creating:
    """What one creation works on."""

    tx: Transaction
    dag: DagSpec
    creation: BackfillCreation
    author: Author
    found: dict[datetime, FoundRun] = field(default_factory=dict)
    continued: LockedBackfill | None = None  # the backfill that is continued
    detached: bool = False  # whether it is left to schedulers already
    wanted: dict[int, datetime] = field(default_factory=dict)  # what it wants already, by row
    wants: dict[int, Wanted] = field(default_factory=dict)  # the same, as it stands
    history: History = field(default_factory=History)

    @property
    def request(self) -> BackfillRequest:
        """What the person asked for."""
        return self.creation.request

    def settled(self, date: DatePlan) -> bool:
        """Whether the continued backfill has this date already: what is done about it was decided at its creation."""
        found = self.found.get(date.interval.start)
        return found is not None and found.id in self.wanted
