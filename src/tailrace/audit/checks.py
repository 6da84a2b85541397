"""``examine``: every check over a whole history. What each check looks at is in ``tries``, ``verdicts``, ``pools``."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

from tailrace.audit.events import Events
from tailrace.audit.final_rows import check_final_rows
from tailrace.audit.folding import Chains
from tailrace.audit.pools import check_pool
from tailrace.audit.proofs import check_cleaned, check_proof, check_structure
from tailrace.audit.records import BackfillRecord, HistoryRecord, Recorded, Report, Violation
from tailrace.audit.replay import Replay
from tailrace.audit.schemas import check_schema
from tailrace.audit.seals import Seal
from tailrace.audit.tries import check_limits, check_refused, check_task_instance
from tailrace.audit.verdicts import check_backfill, check_run, check_window
from tailrace.audit.vocabulary import check_vocabulary

T = TypeVar("T")
Check: TypeAlias = Callable[[Replay, HistoryRecord], Iterator[Violation]]


def audit(records: Recorded) -> tuple[Violation, ...]:
    """Everything in this history that must never be; nothing means that it is sound."""
    return examine(records).violations


def examine(records: Recorded, against: Seal | None = None) -> Report:
    """Check the whole history once, row by row, then the rows as they stand.

    Rows from before history told which structure a planner decided by, and how large a pool was, are judged by what is
    known of them; the report's notes say how many there were. With a seal, every chain must go on from where it was.
    """
    replay, chains, events = Replay(records), Chains(against), Events(records)
    found: list[Violation] = []
    backfills = {backfill.id: backfill for backfill in records.backfills}
    counts: Counter[str] = Counter()
    for row in _counted(records.history, counts, "history rows"):
        chains.take(row)
        strange = list(check_vocabulary(row))
        found += strange
        if not strange:
            events.take(row)
            found += check_structure(replay, row)
            found += _row(replay, row, backfills)
    parts = {
        (each.id, run_id): replay.ended(each, run_id)
        for each in records.backfills
        if each.part is not None
        for run_id in each.wanted
    }
    found += check_final_rows(replay, records, _counted(records.task_instances, counts, "task instances"))
    found += events.check(_counted(records.events, counts, "events"))
    chains.check(replay, records, parts)
    found += chains.violations
    counts["runs"], counts["backfills"], counts["pools"] = len(records.runs), len(backfills), len(records.pools)
    if called := counts.pop("events"):  # last, and only where there are any: few DAGs have callbacks
        counts["events"] = called
    notes = (f"{count} {what} were judged leniently" for what, count in sorted(replay.untold.items()))
    return Report(tuple(found), counts, tuple(notes), chains.unsealed, chains.ends)


def _counted(items: Iterable[T], counts: Counter[str], name: str) -> Iterator[T]:
    counts[name] = 0
    for item in items:
        counts[name] += 1
        yield item


def _row(replay: Replay, row: HistoryRecord, backfills: dict[int, BackfillRecord]) -> Iterator[Violation]:
    match row.kind:
        case "refused":  # a late result: it changed nothing; were it merged, the chain would break
            yield from check_refused(replay, row)
        case "task_instance":
            yield from check_task_instance(replay, row)
            yield from _after(replay, row, check_limits)
        case "dag_run":
            yield from check_run(replay, row)
            yield from check_proof(replay, row)
            yield from _after(replay, row, check_window)
        case "backfill":
            yield from check_backfill(replay, row, backfills.get(row.backfill_id or 0))
            replay.take(row)
        case "pool":
            yield from check_pool(replay, row)
            replay.take(row)
        case "schema":
            yield from check_schema(replay, row)
            replay.take(row)
        case "changed":  # which columns were set is looked at in ``folding``
            replay.take(row)
        case _:
            yield from check_cleaned(row)
            replay.take(row)


def _after(replay: Replay, row: HistoryRecord, check: Check) -> Iterator[Violation]:
    replay.take(row)
    return check(replay, row)
