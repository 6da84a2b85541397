"""The outcome of a try as its process sends it: kind, error, and the XComs it has pushed, if they can be sent."""

from datetime import UTC, datetime
from typing import Any

from tailrace.execution.context.task_instance import TaskInstance
from tailrace.execution.logs.files import write_line
from tailrace.execution.messages.channel import LONGEST_MESSAGE, encode
from tailrace.model.outcomes import MOST_XCOMS, OutcomeKind
from tailrace.model.plain_text import visible_line, without_colours
from tailrace.model.tagged_values import Tagged
from tailrace.secrets.known import masked


def message_of(
    kind: OutcomeKind, error: str, followed: tuple[str, ...] | None = None, **moments: datetime | None
) -> dict[str, Any]:
    """The outcome of a try that has pushed nothing yet; ``moments`` are those of one that is rescheduled."""
    return {
        **{name: moment.astimezone(UTC).isoformat() for name, moment in moments.items() if moment is not None},
        "kind": str(kind),
        "error": visible_line(masked(without_colours(masked(error)))),
        "xcoms": {},
        "followed": followed,
        "again": False,
    }


def with_pushes(outcome: dict[str, Any], task_instance: TaskInstance) -> dict[str, Any]:
    """The outcome with all that the try has pushed, for good; a failure where that is more than can be sent."""
    pushed = task_instance.all_pushed()
    tagged = [key for key, value in pushed.items() if isinstance(value, Tagged)]
    message = {**outcome, "xcoms": pushed | {key: pushed[key].json for key in tagged}}
    if tagged:
        message["tagged"] = tagged
    if not pushed:
        return message
    wrong = _wrong_with(message)
    if wrong is None:
        return message
    write_line(wrong)
    return message_of(OutcomeKind.FAILED, wrong)


def _wrong_with(message: dict[str, Any]) -> str | None:
    """Why its XComs cannot be sent; None: nothing is wrong with them."""
    if (count := len(message["xcoms"])) > MOST_XCOMS:
        return f"it has pushed {count:,} XComs; {MOST_XCOMS:,} is the limit: push one dict, or pass a path"
    try:
        size = len(encode(message))
    except (TypeError, ValueError, RecursionError) as broken:  # its code has reached into ``ti.pushed``
        return f"its XComs cannot be sent: {broken}"
    if size > LONGEST_MESSAGE:
        return (
            f"its XCom values are {size:,} bytes long together; {LONGEST_MESSAGE:,} is the limit: pass a path instead"
        )
    return None
