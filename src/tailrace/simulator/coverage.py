"""Which rows of the transition tables occurred, and which refusals: what never happens is tested by no seed.

A refusal is where two processes met: a plan that came too late, a claim that somebody else won, a report of a lost try.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from tailrace.effects.requests import ClaimTry, Heartbeat, ReportOutcome
from tailrace.effects.results import Applied, StaleKind
from tailrace.effects.tries import Refused, Renewal
from tailrace.model.states import BackfillState, TaskInstanceState
from tailrace.model.transitions import BACKFILL_TRANSITIONS, DAG_RUN_TRANSITIONS, TASK_INSTANCE_TRANSITIONS, Cause
from tailrace.planning.commands import CommandKind

#: A transition that occurred: what it is of (task_instance, dag_run, backfill), before, after, actor, cause.
Step = tuple[str, str, str, str, str]

_OTHERS = (
    "step: not as it was",
    "step: no room",
    "claim: gone",
    "claim: not_queued",
    "claim: other_try",
    "claim: run_not_running",
    "report: stale_token",
    "report: other_try",
    "renewal: not its own any more",
    "heartbeat: taken for dead",
)

_COMMANDS = tuple(f"command: {kind}" for kind in CommandKind)
TRIGGER_REFUSED = "trigger: the date is taken"

#: Every kind of refusal there is.
REFUSALS = frozenset({*map(str, StaleKind), TRIGGER_REFUSED, *_OTHERS, *_COMMANDS})


def refusals(effect: object, result: Any) -> Iterator[str]:
    """The kinds of refusal in one result."""
    if isinstance(result, Applied):
        yield from (str(stale.kind) for stale in result.stale)
        if result.lost:
            yield "step: not as it was"
        if result.deferred:
            yield "step: no room"
    elif isinstance(result, Refused) and isinstance(effect, ClaimTry | ReportOutcome):
        yield f"{'claim' if isinstance(effect, ClaimTry) else 'report'}: {result.reason}"
    elif result is Renewal.GONE:
        yield "renewal: not its own any more"
    elif result is False and isinstance(effect, Heartbeat):
        yield "heartbeat: taken for dead"


#: Rows that nobody takes: a plan that judges a backfill has started it.
_NOT_TAKEN = frozenset(
    ("backfill", "queued", str(state), "planner", "judged")
    for state in (BackfillState.SUCCESS, BackfillState.FAILED, BackfillState.DEADLOCKED)
)


def _is_of_a_changed_dag(row: Step) -> bool:
    """Whether only a DAG that changes leads there: a world's keeps its tasks as they are."""
    _, before, after, _, cause = row
    if cause == Cause.EXPANDED:
        return before == TaskInstanceState.UP_FOR_RETRY
    return TaskInstanceState.REMOVED in (before, after)


def table() -> frozenset[Step]:
    """Every row of the transition tables that a world can come to."""
    rows = [
        (kind, str(row.before), str(row.after), str(row.actor), str(row.cause))
        for kind, transitions in (
            ("task_instance", TASK_INSTANCE_TRANSITIONS),
            ("dag_run", DAG_RUN_TRANSITIONS),
            ("backfill", BACKFILL_TRANSITIONS),
        )
        for row in transitions
    ]
    return frozenset(row for row in rows if row not in _NOT_TAKEN and not _is_of_a_changed_dag(row))


def missing(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The rows that a world could have come to and none of these did, in order."""
    return tuple(sorted(table() - set(steps)))
