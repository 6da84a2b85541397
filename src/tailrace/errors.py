"""The one tree of exceptions, split by whose fault it is.

A lost race is a result, never an exception: nothing here reports that another process was faster.
Every message is one line: what was expected, what was found, and what to do.
"""

from datetime import UTC, datetime

#: A try that is to go on before this is none that anybody can mean.
EARLIEST_MOMENT = datetime(1900, 1, 1, tzinfo=UTC)


class TailraceError(Exception):
    """Root of all errors that Tailrace raises on purpose.

    ``exit_code`` is the process exit code a command ends with when the error reaches it.
    """

    exit_code = 70


class AuthoringError(TailraceError):
    """The author's DAG file is wrong; the message carries file and line."""

    exit_code = 2


class CommandError(TailraceError):
    """What the person typed cannot be done as typed."""

    exit_code = 2


class ValueRefused(CommandError):
    """The metastore cannot hold a value as it is; nothing landed, and the same write would be refused again."""


class EnvironmentBroken(TailraceError):
    """The metastore, the disk or the host does not let us work; nothing was half-written."""

    exit_code = 4


class CommitUnknown(EnvironmentBroken):
    """The connection died during a commit, so the write may or may not have landed.

    Repeat the same write *with the same write id*: a duplicate returns the recorded result.
    """


class InternalError(TailraceError):
    """Our own bug: an invariant did not hold. Please report it with the log."""

    exit_code = 70


class TaskSkipped(Exception):
    """Raised by a task's code to end its try as *skipped*."""


class TaskFailed(Exception):
    """Raised by a task's code to end its task instance as *failed* without another try."""


class TryFailed(Exception):
    """What a callback finds as ``exception``: the line by which a try, or a run, failed."""


class TaskRescheduled(Exception):
    """Raised by a task's code to give its worker back and go on later, in the same try: it is executed again then.

    ``resumes_at`` is an aware datetime. ``times_out_at``, for people: when its code will give up. What the try has
    pushed is kept.
    """

    def __init__(self, resumes_at: datetime, why: str = "", *, times_out_at: datetime | None = None) -> None:
        super().__init__(why)
        self.resumes_at = _moment("resumes_at", resumes_at)
        self.times_out_at = None if times_out_at is None else _moment("times_out_at", times_out_at)


class TaskAwaits(TaskRescheduled):
    """Raised by a sensor to go on once what it names is decided, at the latest when it times out.

    ``awaited``: see ``model.awaited``.
    """

    def __init__(self, awaited: object, why: str, *, times_out_at: datetime) -> None:
        super().__init__(times_out_at, why, times_out_at=times_out_at)
        self.awaited = awaited


def _moment(name: str, written: object) -> datetime:
    """In UTC, and of the standard type. Raises TypeError for what is no moment, ValueError for one nobody can mean."""
    if not isinstance(written, datetime) or written.utcoffset() is None:
        raise TypeError(f"TaskRescheduled: {name} must be a datetime with a time zone, not {written!r}")
    try:
        moment = datetime.fromisoformat(datetime.isoformat(written.astimezone(UTC)))
    except OverflowError:
        raise ValueError(f"TaskRescheduled: {name} {written.isoformat()} is no date in UTC") from None
    if moment < EARLIEST_MOMENT:
        raise ValueError(f"TaskRescheduled: {name} must be after {EARLIEST_MOMENT:%Y}, not {written.isoformat()}")
    return moment


class SensorTimeout(TaskFailed):
    """What a sensor waited for has not come in its ``timeout``: its task instance fails without another try."""


class RenderingFailed(Exception):
    """A template could not be rendered; the message names task, field and what is wrong in it."""


class XComUnreadable(Exception):
    """An XCom that is there and cannot be made a value again; the message says which, and why."""


class RecordsUnreadable(Exception):
    """What runs have done cannot be asked from here, or is more than is returned at once."""


class RecordNotFound(RecordsUnreadable, LookupError):
    """There is no such DAG, run, task or task group."""


class SecretUnreadable(Exception):
    """A Variable or a Connection that is there, or may be, and cannot be read or set; nothing of it is repeated."""


class SecretNotFound(SecretUnreadable, KeyError):
    """There is no Variable or Connection of this name; the message says how to set it."""

    def __init__(self, text: str, kind: str = "", name: str = "") -> None:
        super().__init__(text)
        self.kind, self.name = kind, name

    def __str__(self) -> str:
        return str(self.args[0])
