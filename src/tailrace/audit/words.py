"""Checks that a row of history is made of words that exist: a row that is not cannot be looked at any further."""

from collections.abc import Callable, Iterator, Mapping

from tailrace.audit.records import HistoryRecord, Violation
from tailrace.audit.replay import name_of, slots_from
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause


def _any(text: str) -> str:
    return text


_STATE: Mapping[str, Callable[[str], object]] = {
    "task_instance": TaskInstanceState,
    "refused": TaskInstanceState,
    "dag_run": DagRunState,
    "backfill": BackfillState,
    "pool": slots_from,
    "cleaned": _any,
    "schema": _any,
}


def check_words(row: HistoryRecord) -> Iterator[Violation]:
    """Every word of the row that nobody knows."""
    state = _STATE.get(row.kind)
    if state is None:
        yield Violation("kind", f"history row {row.id}", f"nobody knows what {row.kind!r} is", row.id)
        return
    words = [(state, row.after), (Actor, row.actor), (Cause, row.cause)]
    if row.before is not None:
        words.append((state, row.before))
    for known, word in words:
        try:
            known(word)
        except ValueError:
            yield Violation("words", name_of(row), f"nobody knows what {word!r} is", row.id)
    if row.evidence is not None and row.evidence.damaged:
        yield Violation("evidence", name_of(row), "its evidence cannot be read", row.id)
