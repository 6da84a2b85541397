"""Checks of one pool row: its slots follow from those before. Who took them is looked at where they are taken."""

from collections.abc import Iterator

from tailrace.audit.records import HistoryRecord, Violation
from tailrace.audit.replay import Replay, name_of, slots_from
from tailrace.model.transitions import Actor, Cause


def check_pool(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """Everything wrong with one change of a pool, looked at in the world before it."""
    name = row.pool or ""
    was, says = replay.pools.get(name), None if row.before is None else slots_from(row.before)
    if was != says:
        yield _found("chain", row, f"it had {_slots(was)}, the row says {_slots(says)} → {row.after}")
    after = slots_from(row.after)
    begins = row.before is None and after is not None
    known = name in replay.pools
    legal = {
        Cause.CREATED.value: begins,
        Cause.RECORDED.value: begins and not known,
        Cause.RESIZED.value: row.before is not None and after is not None and row.before != row.after,
        Cause.DELETED.value: row.before is not None and after is None,
    }
    if row.actor != Actor.PERSON or not legal.get(row.cause, False):
        yield _found("transition", row, f"{row.before} → {row.after} by {row.actor} for {row.cause}")
    if after is None and replay.pool_slots[name]:
        yield _found("pool", row, f"deleted while {replay.pool_slots[name]} of its slots were taken")


def _slots(slots: int | None) -> str:
    return "no row" if slots is None else f"{slots} slots"


def _found(check: str, row: HistoryRecord, text: str) -> Violation:
    return Violation(check, name_of(row), text, row.id)
