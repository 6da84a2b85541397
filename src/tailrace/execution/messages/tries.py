"""What a worker and its task's process send each other, as values on one side and JSON on the other."""

import signal
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, MsgspecError, Struct, convert, to_builtins

from tailrace.effects.requests import Calls, StartTask
from tailrace.effects.tries import Claim, PastRun, TaskReply, TaskRequest, TryOutcome, Unreadable, XComQuery
from tailrace.errors import EARLIEST_MOMENT
from tailrace.execution.messages.channel import ProtocolError
from tailrace.execution.messages.record_requests import checked, records_reply
from tailrace.execution.messages.secret_requests import secret_reply
from tailrace.model.awaited import Awaited
from tailrace.model.intervals import DataInterval
from tailrace.model.json_values import DEEPEST, NotStorable, require_storable
from tailrace.model.keys import GREATEST_MAP_INDEX, UNMAPPED
from tailrace.model.names import LONGEST_NAME, key_error, search_error
from tailrace.model.outcomes import MOST_XCOMS, OutcomeKind
from tailrace.model.plain_text import visible_line
from tailrace.model.recorded import Counted, Moment, RecordsQuery, RecordsRefused, RunsFound, TaskInstancesFound
from tailrace.model.tagged_values import DEEPEST_TAGGED, Tagged
from tailrace.secrets.names import SecretKind, name_error
from tailrace.secrets.requests import SecretFound, SecretQuery, SecretRefused, VariableChange

T = TypeVar("T")
R = TypeVar("R", SecretQuery, VariableChange)

_LONGEST_WAIT = 300


def order_for(
    claim: Claim,
    timeout_seconds: float | None,
    grace_seconds: float = 0.0,
    again: bool = False,
    calls: Calls | None = None,
) -> dict[str, Any]:
    """The order for a task's process: all that its context is made of, and whether it is to wait for more ``again``.

    ``grace_seconds`` is how long it has from SIGTERM to SIGKILL. With ``calls`` the callbacks of an event are called.
    """
    ti = claim.task_instance
    order = {
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
        "run_conf": dict(claim.run_conf or {}),
        "logical_date": claim.logical_date.isoformat(),
        "started_at": claim.started_at.isoformat(),
        "resumed_at": None if claim.claimed_at is None else claim.claimed_at.isoformat(),
        "reschedules": claim.reschedules,
        "data_interval": _interval(claim.data_interval),
        "run_started_at": None if claim.run_started_at is None else claim.run_started_at.isoformat(),
        "previous_success": _past(claim.previous_success),
        "timeout_seconds": timeout_seconds,
        "grace_seconds": grace_seconds,
        "again": again,
    }
    return (
        order
        if calls is None
        else {**order, "calls": {**to_builtins(calls.event), "try_state": calls.try_state, "also": calls.also}}
    )


def time_limit(start: StartTask) -> tuple[float | None, TryOutcome | None]:
    """How many seconds it may take, and the outcome once they are over; None: as long as it takes."""
    calls, timeout = start.calls, start.task_spec.execution_timeout
    if calls is not None:
        late = TryOutcome(OutcomeKind.FAILED, f"not done after {calls.timeout} (callback_timeout_seconds), and killed")
        return calls.timeout.total_seconds(), late
    return (None, None) if timeout is None else (timeout.total_seconds(), timed_out(timeout))


def timed_out(timeout: timedelta) -> TryOutcome:
    """The outcome of a try that was ended at its task's execution_timeout."""
    return TryOutcome(OutcomeKind.FAILED, f"timed out after {timeout} (its execution_timeout)")


#: A task's process ends so when it cannot report its outcome: its code has closed the channel for it.
CLOSED_BY_TASK = 187

#: The outcome of a try whose process cannot report one any more, although it lives.
CANNOT_TELL = TryOutcome(
    OutcomeKind.FAILED,
    "its code closed the connection to its worker (os.closerange, the set-up of a daemon, exec), so no outcome can be "
    "reported: close only descriptors that the task has opened, or start a process of its own for what does that",
)


def without_outcome(exit_code: int | None) -> TryOutcome:
    """The outcome of a try whose process ended, by itself, and had reported none."""
    if exit_code == CLOSED_BY_TASK:
        return CANNOT_TELL
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


class _Query(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for, as it must be."""

    dag_id: str
    run_id: str
    task_ids: list[str]
    key: str
    map_index: Annotated[int, Meta(ge=UNMAPPED, le=GREATEST_MAP_INDEX)] | None
    until: Moment | None = None


class _Question(Struct, frozen=True, forbid_unknown_fields=True):
    """A query with the number that its reply will have."""

    id: Annotated[int, Meta(ge=0, le=2**53)]
    query: _Query


class _Outcome(Struct, frozen=True, forbid_unknown_fields=True):
    """An outcome as it must be. A task cannot say that it was lost: it would be tried again at no cost."""

    kind: Literal["success", "failed", "failed_for_good", "skipped", "rescheduled"]
    error: str
    xcoms: dict[str, Any]
    followed: list[str] | None
    again: bool
    tagged: tuple[str, ...] = ()
    rule: Annotated[int, Meta(ge=-1, le=2**31)] | None = None
    resumes_at: datetime | None = None
    times_out_at: datetime | None = None
    rendered_map_index: str | None = None
    awaits: Awaited | None = None


class _SecretQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """The same for a Variable or a Connection."""

    id: Annotated[int, Meta(ge=0, le=2**53)]
    secret: SecretQuery


class _VariableQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """The same for a Variable that is to be set or deleted."""

    id: Annotated[int, Meta(ge=0, le=2**53)]
    variable: VariableChange


class _RecordsQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """The same for runs and task instances."""

    id: Annotated[int, Meta(ge=0, le=2**53)]
    records: RecordsQuery


def is_question(message: dict[str, Any]) -> bool:
    """Whether a task asks for something with it."""
    return "id" in message


def question_in(message: dict[str, Any]) -> tuple[int, TaskRequest]:
    """What a task asked for, with its number. Raises ProtocolError."""
    if "secret" in message:
        asked = _read(message, _SecretQuestion, "something that is no query")
        return asked.id, _named(asked.secret, asked.secret.kind)
    if "variable" in message:
        wanted = _read(message, _VariableQuestion, "something that is no query")
        return wanted.id, _named(wanted.variable, SecretKind.VARIABLE)
    if "records" in message:
        about = _read(message, _RecordsQuestion, "something that is no query")
        return about.id, checked(about.records)
    question = _read(message, _Question, "something that is no query")
    query = question.query
    if any(map(search_error, (query.dag_id, query.run_id, query.key, *query.task_ids))):
        raise ProtocolError("a query for what cannot be")
    if query.until is not None and query.until.utcoffset() != timedelta(0):
        raise ProtocolError("a query for what cannot be")
    task_ids = tuple(query.task_ids)
    return question.id, XComQuery(query.dag_id, query.run_id, task_ids, query.key, query.map_index, query.until)


def _named(request: R, kind: SecretKind) -> R:
    if name_error(kind, request.name):
        raise ProtocolError("a query for what cannot be")
    return request


def reply_to(number: int, reply: TaskReply) -> dict[str, Any]:
    """The reply to a task's request of this number. The task looks for ``reply_to`` at the beginning."""
    if isinstance(reply, SecretFound | SecretRefused):
        return secret_reply(number, reply)
    if isinstance(reply, RunsFound | TaskInstancesFound | Counted | RecordsRefused):
        return records_reply(number, reply)
    if isinstance(reply, Unreadable):
        return {"reply_to": number, "refused": reply.why}
    tagged = [at for at, (*_, value) in enumerate(reply) if isinstance(value, Tagged)]
    rows = [[*named, value.json if isinstance(value, Tagged) else value] for *named, value in reply]
    return {"reply_to": number, "xcom": rows, **({"tagged": tagged} if tagged else {})}


def waiting_in(message: dict[str, Any]) -> str:
    """What a task's process reports that it waits for: a thread's name may be anything. Raises ProtocolError."""
    waiting = message["waiting"]
    if len(message) != 1 or not isinstance(waiting, str):
        raise ProtocolError("something that is nothing to wait for")
    return visible_line(waiting, _LONGEST_WAIT)


def outcome_in(message: dict[str, Any]) -> TryOutcome:
    """The outcome a task sent: whatever can be stored, as it is. Raises ProtocolError."""
    outcome = _read(message, _Outcome, "something that is no outcome")
    if len(outcome.xcoms) > MOST_XCOMS:
        raise ProtocolError(f"more than {MOST_XCOMS:,} XComs")
    tagged = frozenset(outcome.tagged)
    if not tagged <= outcome.xcoms.keys():
        raise ProtocolError("something that is no outcome")
    for key, value in outcome.xcoms.items():
        if wrong := key_error(key):
            raise ProtocolError(f"an XCom whose key is not {wrong}")
        try:
            require_storable(value, DEEPEST_TAGGED if key in tagged else DEEPEST)
        except NotStorable as no:
            raise ProtocolError(f"an XCom that cannot be stored: {no}") from None
    followed = None if outcome.followed is None else tuple(outcome.followed)
    xcoms = {key: Tagged(value) if key in tagged else value for key, value in outcome.xcoms.items()}
    moments = (outcome.resumes_at, outcome.times_out_at)
    if any(each is not None and not _can_be_kept(each) for each in moments):
        raise ProtocolError("a moment that is none")
    if (outcome.resumes_at is not None) != (outcome.kind == "rescheduled"):
        raise ProtocolError("something that is no outcome")
    kind, error = OutcomeKind(outcome.kind), visible_line(outcome.error)
    name = None if outcome.rendered_map_index is None else visible_line(outcome.rendered_map_index, LONGEST_NAME)
    if outcome.awaits is not None and (outcome.times_out_at is None or not _can_be_awaited(outcome.awaits)):
        raise ProtocolError("something that nobody can wait for")
    told: dict[str, Any] = {
        "rule": outcome.rule,
        "resumes_at": outcome.resumes_at,
        "times_out_at": outcome.times_out_at,
        "awaits": outcome.awaits,
        "rendered_map_index": name or None,
    }
    return TryOutcome(kind, error, xcoms, followed, in_log=True, **told)


def _can_be_awaited(awaited: Awaited) -> bool:
    """Whether there may be such DAGs and tasks. What is waited for is known while a try waits alone."""
    group = () if awaited.task_group_id is None else (awaited.task_group_id,)
    states = (*awaited.allowed_states, *awaited.failed_states, *awaited.skipped_states)
    dates = all(each.utcoffset() == timedelta(0) for each in awaited.logical_dates)
    return dates and not any(map(search_error, (awaited.dag_id, *group, *awaited.task_ids, *states)))


def _can_be_kept(moment: datetime) -> bool:
    """Whether it has a time zone, and is a moment in UTC too."""
    try:
        return moment.utcoffset() is not None and moment.astimezone(UTC) >= EARLIEST_MOMENT
    except (OverflowError, ValueError):
        return False


def _read(message: Any, kind: type[T], otherwise: str) -> T:
    try:
        return convert(message, kind)
    except (MsgspecError, ValueError):  # the second for a text with half a character
        raise ProtocolError(otherwise) from None


def _past(run: PastRun | None) -> list[str | None] | None:
    if run is None:
        return None
    times = [None if each is None else each.isoformat() for each in (run.started_at, run.ended_at)]
    return [*_interval(run.data_interval), *times]


def _interval(interval: DataInterval) -> list[str]:
    return [interval.start.isoformat(), interval.end.isoformat()]
