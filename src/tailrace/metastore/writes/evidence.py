"""Reads the evidence of a history row by the shape that rows of its kind have: a part that lacks is as bad as none.

What cannot be read is told by the audit, never raised here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType, convert

from tailrace.audit.records import Blocked, CircleRun, Evidence, Expanded, Stop
from tailrace.metastore.db.columns import from_json
from tailrace.model.awaited import Awaited
from tailrace.model.callbacks import CallbackName
from tailrace.model.spec import MOST_INSTANCES
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.reasons import AnyReason


class StoredReason(Struct, forbid_unknown_fields=True):
    """One dependency that is not met, and why: before there were codes, a sentence."""

    dependency: str
    reason: str | AnyReason


class StoredKey(Struct, forbid_unknown_fields=True):
    """A task instance's own name, whole."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


class StoredBlocker(Struct, forbid_unknown_fields=True):
    """A task instance that a deadlock's proof names; where a previous run blocks it, that one too."""

    task_instance: StoredKey
    state: TaskInstanceState
    reasons: list[StoredReason]
    previous_run: str | None = None


class _CircleRun(Struct, forbid_unknown_fields=True):
    run: int
    dag_id: str
    run_id: str
    state: DagRunState
    task_instances: dict[int, TaskInstanceState]
    tokens: dict[int, int]


class _Verdict(Struct, forbid_unknown_fields=True):
    task_instances: dict[int, TaskInstanceState]
    previous: dict[int, DagRunState]
    pools: dict[str, int | None]
    blocked: list[StoredBlocker]
    waits: dict[int, int] = {}
    circle: list[_CircleRun] = []
    stopped_by: Cause | None = None
    event: str = ""


class StoredStop(Struct, forbid_unknown_fields=True):
    """Why a run is stopped before its tasks have ended."""

    cause: Cause
    reason: str


class _TimedOut(Struct, forbid_unknown_fields=True):
    limit: float
    began: datetime
    seen: datetime


class _FailedFast(Struct, forbid_unknown_fields=True):
    task_instance: int
    try_number: int


class _Options(Struct, forbid_unknown_fields=True):
    pool: str | None
    ignores_past: bool


class _Clear(Struct, forbid_unknown_fields=True):
    clear: list[str]


class _Choice(Struct, forbid_unknown_fields=True):
    followed: list[str]
    event: str = ""


class _Awaits(Struct, forbid_unknown_fields=True):
    awaits: Awaited


class _Event(Struct, forbid_unknown_fields=True):
    event: CallbackName


class _Reopened(Struct, forbid_unknown_fields=True):
    live: bool


class _LookedBack(Struct, forbid_unknown_fields=True):
    previous_run: str | None


class _Expanded(Struct, forbid_unknown_fields=True):
    count: int
    lengths: tuple[int | None, ...]
    sources: dict[int, int]
    was: int | None = None
    previous_run: str | None | UnsetType = UNSET
    event: str = ""
    as_task: str = ""
    most: int = MOST_INSTANCES


class _Stop(Struct, forbid_unknown_fields=True):
    stopping_to: TaskInstanceState


_OfRun = type[_Verdict | _TimedOut | _FailedFast | _Options | _Clear | _Reopened]
_Shape = _OfRun | type[_Choice | _Event | _LookedBack | _Expanded | _Awaits]
_SHAPES: Mapping[tuple[str, str], _Shape] = {
    ("dag_run", Cause.JUDGED): _Verdict,
    ("changed", Cause.LATE): _Event,
    ("dag_run", Cause.DAGRUN_TIMEOUT): _TimedOut,
    ("dag_run", Cause.FAIL_FAST): _FailedFast,
    ("dag_run", Cause.ACTIVATED): _Options,
    ("dag_run", Cause.REPROCESS): _Clear,
    ("dag_run", Cause.CLEARED): _Reopened,
    ("dag_run", Cause.MARKED): _Reopened,
    ("dag_run", Cause.RESIZED): _Reopened,
    ("dag_run", Cause.YIELDED): _LookedBack,
    ("task_instance", Cause.DEPENDENCIES_MET): _LookedBack,
    ("task_instance", Cause.TRIGGER_RULE): _LookedBack,
    ("task_instance", Cause.BRANCH): _LookedBack,
    ("task_instance", Cause.OUTCOME): _Choice,
    ("task_instance", Cause.RETRY): _Event,
    ("task_instance", Cause.AWAITS): _Awaits,
    ("task_instance", Cause.LOST): _Event,
    ("task_instance", Cause.LOST_TOGETHER): _Event,
    ("backfill", Cause.JUDGED): _Event,
    ("task_instance", Cause.EXPANDED): _Expanded,
}


def evidence_from(text: str, kind: str, cause: str, after: str) -> Evidence:
    """What was stored with a row."""
    shape: Any = _SHAPES.get((kind, cause), dict[str, Any])
    if kind == "task_instance" and after == TaskInstanceState.STOPPING:
        shape = _Stop
    try:
        told = from_json(text)
        if shape is _Choice and isinstance(told, dict) and "followed" not in told:
            shape = _Event
        stored = convert(told, shape, str_keys=True)
    except (ValueError, TypeError, RecursionError) as error:
        return Evidence(damaged=str(error).splitlines()[0])
    match stored:
        case _Verdict():
            return Evidence(
                blocked=blocked_from(stored.blocked),
                blocked_by={
                    each.task_instance.task_id: each.previous_run
                    for each in stored.blocked
                    if each.previous_run is not None
                },
                assumed={id: str(state) for id, state in stored.task_instances.items()},
                past={id: str(state) for id, state in stored.previous.items()},
                pools=stored.pools,
                waits=stored.waits,
                circle=tuple(map(_circle_run, stored.circle)),
                stopped_by=stored.stopped_by,
                event=stored.event,
            )
        case _TimedOut():
            return Evidence(stop=Stop(limit=stored.limit, began=stored.began, seen=stored.seen))
        case _FailedFast():
            return Evidence(stop=Stop(failed=(stored.task_instance, stored.try_number)))
        case _Options():
            return Evidence(run_pool=stored.pool, ignores_past=stored.ignores_past)
        case _Clear():
            return Evidence(clear=tuple(stored.clear))
        case _Reopened():
            return Evidence(live=stored.live)
        case _LookedBack():
            return Evidence(looked_at=stored.previous_run or "")
        case _Choice():
            return Evidence(followed=tuple(stored.followed), event=stored.event)
        case _Awaits():
            return Evidence(awaits=stored.awaits)
        case _Event():
            return Evidence(event=stored.event)
        case _Expanded():
            previous = None if stored.previous_run is UNSET else stored.previous_run or ""
            expanded = Expanded(stored.count, stored.lengths, stored.sources, stored.was, stored.as_task, stored.most)
            return Evidence(looked_at=previous, expanded=expanded, event=stored.event)
        case _Stop():
            return Evidence(stopping_to=stored.stopping_to)
        case _:
            return Evidence()


def _circle_run(stored: _CircleRun) -> CircleRun:
    states = {id: str(state) for id, state in stored.task_instances.items()}
    return CircleRun((stored.dag_id, stored.run_id), str(stored.state), states, stored.tokens)


def blocked_from(stored: list[StoredBlocker]) -> tuple[Blocked, ...]:
    """What a deadlock's proof names."""
    return tuple(
        Blocked(
            (each.task_instance.dag_id, each.task_instance.run_id),
            (each.task_instance.task_id, each.task_instance.map_index),
            str(each.state),
            tuple(why.dependency for why in each.reasons),
        )
        for each in stored
    )
