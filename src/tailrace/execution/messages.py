"""What a worker and its task's process say to each other, as values on one side and JSON on the other."""

import signal
from datetime import timedelta
from typing import Any

from tailrace.effects.tries import Claim, TryOutcome, XComQuery
from tailrace.execution.channel import Garbled
from tailrace.model.intervals import DataInterval
from tailrace.model.outcomes import OutcomeKind


def order_for(claim: Claim, timeout_seconds: float | None, again: bool = False) -> dict[str, Any]:
    """What a task's process is told: all that its context is made of, and whether it is to wait for more ``again``."""
    ti = claim.task_instance
    return {
        "key": {
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "task_id": ti.task_id,
            "map_index": ti.map_index,
            "try_number": claim.key.try_number,
        },
        "token": claim.token,
        "max_tries": claim.max_tries,
        "run_type": claim.run_type,
        "run_conf": dict(claim.run_conf),
        "logical_date": claim.logical_date.isoformat(),
        "started_at": claim.started_at.isoformat(),
        "data_interval": _interval(claim.data_interval),
        "previous_success": None if claim.previous_success is None else _interval(claim.previous_success),
        "timeout_seconds": timeout_seconds,
        "again": again,
    }


def timed_out(timeout: timedelta) -> TryOutcome:
    """The outcome of a try that was ended at its task's execution_timeout."""
    return TryOutcome(OutcomeKind.FAILED, f"timed out after {timeout} (its execution_timeout)")


def without_outcome(exit_code: int | None) -> TryOutcome:
    """The outcome of a try whose process ended, by itself, and had told none."""
    if exit_code is not None and exit_code < 0:
        how = f"it was killed by {signal_name(-exit_code)}"
    else:
        how = f"it exited with code {exit_code}"
    return TryOutcome(OutcomeKind.FAILED, f"the task's process ended without an outcome: {how}")


def signal_name(number: int) -> str:
    """A signal's name; those for real time have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def query_in(message: dict[str, Any]) -> XComQuery:
    """The XCom query a task sent. Raises Garbled."""
    try:
        query = message["query"]
        return XComQuery(query["dag_id"], query["run_id"], tuple(query["task_ids"]), query["key"], query["map_index"])
    except (LookupError, TypeError):
        raise Garbled("something that is no query") from None


def outcome_in(message: dict[str, Any]) -> TryOutcome:
    """The outcome a task sent. Raises Garbled."""
    try:
        followed = message["followed"]
        kind = OutcomeKind(message["kind"])
        if kind in (OutcomeKind.LOST, OutcomeKind.LOST_TOGETHER):
            raise ValueError("whether a try was lost is not its own to say")
        return TryOutcome(
            kind,
            message["error"],
            message["xcoms"],
            None if followed is None else tuple(followed),
        )
    except (LookupError, TypeError, ValueError):
        raise Garbled("something that is no outcome") from None


def _interval(interval: DataInterval) -> list[str]:
    return [interval.start.isoformat(), interval.end.isoformat()]
