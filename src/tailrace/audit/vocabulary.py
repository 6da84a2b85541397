"""Checks that a row of history holds values that exist, and has what a row of its kind has.

A row that is not cannot be looked at any further.
"""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

from tailrace.audit.records import HistoryRecord, Violation
from tailrace.audit.replay import name_of, slots_from
from tailrace.model.chains import KEYS
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause


def _any(text: str) -> str:
    return text


def _table(text: str) -> str:
    if text not in KEYS:
        raise ValueError(text)
    return text


_STATE: Mapping[str, Callable[[str], object]] = {
    "task_instance": TaskInstanceState,
    "refused": TaskInstanceState,
    "dag_run": DagRunState,
    "backfill": BackfillState,
    "pool": slots_from,
    "cleaned": _any,
    "schema": _any,
    "changed": _table,
}


_PARTS = ("run_id", "task_id", "map_index", "backfill_id", "try_number", "token", "pool")
_OF_TASK_INSTANCE = ("run_id", "task_id", "map_index", "try_number")
#: What a row of each kind has beside its step, and what it may have.
_HAS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "task_instance": (_OF_TASK_INSTANCE, ("token",)),
    "refused": ((*_OF_TASK_INSTANCE, "token"), ()),
    "dag_run": (("run_id",), ("backfill_id",)),
    "backfill": (("backfill_id",), ()),
    "pool": (("pool",), ()),
    "cleaned": ((), ()),
    "schema": ((), ()),
    "changed": ((), ("run_id", "task_id", "map_index", "backfill_id", "pool")),
}
#: The same, to be asked of every row: ``kind`` stands in so that what is read is a tuple however few parts there are.
_NEEDED = {kind: attrgetter("kind", *required, "kind") for kind, (required, _) in _HAS.items()}
_STRANGE = {
    kind: attrgetter(*(part for part in _PARTS if part not in (*required, *allowed)))
    for kind, (required, allowed) in _HAS.items()
}

_NOTHING = {kind: (None,) * (len(_PARTS) - len(required) - len(allowed)) for kind, (required, allowed) in _HAS.items()}


def check_vocabulary(row: HistoryRecord) -> Iterator[Violation]:
    """Every value of the row that nobody knows."""
    state = _STATE.get(row.kind)
    if state is None:
        yield Violation("kind", f"history row {row.id}", f"nobody knows what {row.kind!r} is", row.id)
        return
    values = [(state, row.after), (Actor, row.actor), (Cause, row.cause)]
    if row.before is not None:
        values.append((state, row.before))
    for known, value in values:
        try:
            known(value)
        except ValueError:
            yield Violation("words", name_of(row), f"nobody knows what {value!r} is", row.id)
    if None in _NEEDED[row.kind](row) or _STRANGE[row.kind](row) != _NOTHING[row.kind]:
        yield from _parts(row)
    if row.evidence is not None and row.evidence.damaged:
        yield Violation("evidence", name_of(row), f"its evidence cannot be read: {row.evidence.damaged}", row.id)


def _parts(row: HistoryRecord) -> Iterator[Violation]:
    """What the row should have and does not, and what it has and should not."""
    required, allowed = _HAS[row.kind]
    for part in _PARTS:
        there = getattr(row, part) is not None
        if not there and part in required:
            yield Violation("words", name_of(row), f"it has no {part}", row.id)
        elif there and part not in (*required, *allowed):
            yield Violation("words", name_of(row), f"it has a {part}, and is about a {row.kind}", row.id)
