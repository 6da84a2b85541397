"""Checks of one schema row: it says by which revision of the schema what follows was written."""

from collections.abc import Iterator

from tailrace.audit.records import HistoryRecord, Violation
from tailrace.audit.replay import Replay
from tailrace.model.transitions import Actor, Cause


def check_schema(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """Everything wrong with one row of a creation or a migration, looked at in the world before it."""
    about = f"schema {row.after}"
    if row.before is None and not replay.is_empty:
        yield Violation("chain", about, "it says that history begins here, and rows stand before it", row.id)
    elif row.before is not None and replay.schema not in (None, row.before):
        yield Violation("chain", about, f"it was {replay.schema}, the row says {row.before} → {row.after}", row.id)
    cause = Cause.CREATED if row.before is None else Cause.RECORDED
    if row.actor != Actor.PERSON or row.cause != cause:
        text = f"{row.before} → {row.after} by {row.actor} for {row.cause}"
        yield Violation("transition", about, text, row.id)
