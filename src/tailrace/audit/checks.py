"""``audit``: every check over a whole history. What each check looks at is in ``tries`` and ``verdicts``."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from tailrace.audit.records import AuditRecords, HistoryRecord, Violation
from tailrace.audit.replay import Replay
from tailrace.audit.tries import check_limits, check_refused, check_task_instance
from tailrace.audit.verdicts import check_backfill, check_final_rows, check_run, check_window

Check: TypeAlias = Callable[[Replay, HistoryRecord], Iterator[Violation]]


def audit(records: AuditRecords) -> tuple[Violation, ...]:
    """Everything in this history that must never be; nothing means that it is sound.

    Two things are taken as they stand now, because history does not tell how they were: the sizes of the pools, and
    the structure of runs that were activated again after their DAG had changed.
    """
    replay = Replay(records)
    found: list[Violation] = []
    backfills = {backfill.id: backfill for backfill in records.backfills}
    for row in records.history:
        match row.kind:
            case "refused":  # a late result: it changed nothing; were it merged, the chain would break
                found += check_refused(replay, row)
            case "task_instance":
                found += check_task_instance(replay, row)
                found += _after(replay, row, check_limits)
            case "dag_run":
                found += check_run(replay, row)
                found += _after(replay, row, check_window)
            case "backfill":
                found += check_backfill(replay, row, backfills.get(row.backfill_id or 0))
                replay.take(row)
            case other:
                found.append(Violation("kind", f"history row {row.id}", f"nobody knows what {other!r} is", row.id))
    found += check_final_rows(replay)
    return tuple(found)


def _after(replay: Replay, row: HistoryRecord, check: Check) -> Iterator[Violation]:
    replay.take(row)
    return check(replay, row)
