"""What a try that raised an exception comes to: its outcome, and which rule of the task's retry policy fits it."""

from typing import Any

from msgspec import to_builtins

from tailrace.authoring.arguments.retry_policy import ExceptionRetryPolicy
from tailrace.authoring.mistakes.airflow_names import beside
from tailrace.errors import RenderingFailed, TaskAwaits, TaskFailed, TaskRescheduled, TaskSkipped, XComUnreadable
from tailrace.execution.logs.files import write_line
from tailrace.execution.tries.outcome_messages import message_of
from tailrace.execution.tries.raised import first_line, first_line_of, full_text, print_traceback
from tailrace.execution.xcoms.jsonable import NotJson
from tailrace.model.moments import moment_text
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.plain_text import LONGEST_LINE


class TaskTerminated(BaseException):
    """SIGTERM came: raised in the task's main thread, so that its ``finally`` blocks run before the group is killed."""


def _exit_text(code: object) -> str:
    """The error of an exit that is no success: as in an interpreter, anything but a number is its reason."""
    if isinstance(code, int):
        return f"the task called exit({full_text(int(code))})"
    text = full_text(code)
    write_line(text)
    return f"the task called exit: {first_line(text)}"


def with_rule(outcome: dict[str, Any], policy: ExceptionRetryPolicy | None, raised: BaseException) -> dict[str, Any]:
    """The outcome with the rule of the task's retry policy that fits what it raised."""
    if policy is None or outcome["kind"] != OutcomeKind.FAILED or isinstance(raised, TaskTerminated):
        return outcome
    try:
        return {**outcome, "rule": policy.rule_for(raised, write_line)}
    except BaseException as broken:  # a metaclass of the author's may be asked
        write_line(f"its retry_policy cannot be asked: {type(broken).__name__}: {first_line_of(broken)}")
        return outcome


def outcome_of(raised: BaseException) -> dict[str, Any]:
    """The outcome of a task that raised this."""
    match raised:
        case TaskSkipped():
            if len(why := first_line_of(raised)) > LONGEST_LINE:
                write_line(why)
            return message_of(OutcomeKind.SKIPPED, why or "skipped")
        case TaskAwaits():
            why = first_line_of(raised)
            until = f"{why}, is woken by what it waits for, times out at {moment_text(raised.times_out_at)}"
            message = message_of(
                OutcomeKind.RESCHEDULED, until, resumes_at=raised.resumes_at, times_out_at=raised.times_out_at
            )
            return {**message, "awaits": to_builtins(raised.awaited)}
        case TaskRescheduled():
            ends = "" if raised.times_out_at is None else f", times out at {moment_text(raised.times_out_at)}"
            why = first_line_of(raised) or "rescheduled"
            until = f"{why}, goes on at {moment_text(raised.resumes_at)}{ends}"
            return message_of(
                OutcomeKind.RESCHEDULED, until, resumes_at=raised.resumes_at, times_out_at=raised.times_out_at
            )
        case TaskFailed():
            print_traceback(raised)
            return message_of(OutcomeKind.FAILED_FOR_GOOD, first_line_of(raised) or "failed for good")
        case RenderingFailed() | NotJson() | XComUnreadable():
            write_line(str(raised))
            return message_of(OutcomeKind.FAILED, str(raised))
        case TaskTerminated():
            print_traceback(raised)
            return message_of(OutcomeKind.FAILED, "its process was asked to end by SIGTERM")
        case SystemExit():
            return message_of(OutcomeKind.FAILED, _exit_text(raised.code))
    print_traceback(raised)
    text = f"{type(raised).__name__}: {first_line_of(raised)}".rstrip(": ")
    return message_of(OutcomeKind.FAILED, text + beside(raised))
