"""Messages as every interface shows them: the sentence, and beside it its code and data."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tailrace.model.keys import TaskInstanceKey
from tailrace.planning.messages import Action, Advised, Message, Refused, Remedy, Sentence, Typed, Unusable
from tailrace.planning.plan import Blocker, DependencyStatus


class Coded(Struct, frozen=True):
    """What a message says, for programs; a remedy is what a person can do about it."""

    code: str
    fields: Mapping[str, object]
    remedy: Remedy | None


class Reason(Struct, frozen=True):
    """One dependency that is not met."""

    dependency: str
    reason: str
    code: str
    fields: Mapping[str, object]


class Met(Struct, frozen=True):
    """One dependency of a task instance: met or not, and why."""

    dependency: str
    met: bool
    reason: str
    code: str
    fields: Mapping[str, object]


class Blocked(Struct, frozen=True):
    """One doomed task instance and why nothing can ever start it."""

    task_instance: TaskInstanceKey
    state: str
    reasons: tuple[Reason, ...]


class Release(Struct, frozen=True):
    """What would let something go on; ``command`` is what a person can type, None where there is nothing to type."""

    text: str
    command: str | None
    code: str
    fields: Mapping[str, object]
    remedy: Remedy | None


class Said(Struct, frozen=True):
    """What an error says; ``command`` is what a person can type about it, null where there is nothing to type."""

    text: str
    code: str
    fields: Mapping[str, object]
    command: str | None
    remedy: Remedy | None


def said_by(error: Exception, typed: Typed) -> tuple[Said, ...]:
    """What an error says, each message of it with its code and data."""
    messages: Iterable[Message]
    if isinstance(error, Refused | Unusable):
        messages = error.messages
    else:
        messages = plain_notices(str(error).split("\n"))
    return tuple(
        Said(each.render(typed), each.code, each.fields, None if remedy is None else typed(remedy), remedy)
        for each in messages
        for remedy in (each.remedy,)
    )


def sentences(messages: Iterable[Message], typed: Typed) -> tuple[str, ...]:
    """What people read of them."""
    return tuple(message.render(typed) for message in messages)


def coded(messages: Iterable[Message]) -> tuple[Coded, ...]:
    """What programs read of them."""
    return tuple(Coded(message.code, message.fields, message.remedy) for message in messages)


def no_backfill(backfill_id: int) -> Message:
    """There is none of that id."""
    return Advised((f"no backfill {backfill_id}; ", Remedy(Action.LIST_BACKFILLS), " lists them"))


def plain_notices(texts: Iterable[str]) -> tuple[Message, ...]:
    """Sentences that have no code, as messages."""
    return tuple(map(Sentence, texts))


def blocked_of(blocker: Blocker, typed: Typed) -> Blocked:
    """A blocked task instance as it is shown."""
    reasons = tuple(
        Reason(why.dependency, why.reason.render(typed), why.reason.code, why.reason.fields) for why in blocker.reasons
    )
    return Blocked(blocker.key, str(blocker.state), reasons)


def met_of(status: DependencyStatus, typed: Typed) -> Met:
    """A dependency as it is shown."""
    why = status.reason
    return Met(status.dependency, status.passed, why.render(typed), why.code, why.fields)


def release_of(release: Message | None, typed: Typed) -> Release | None:
    """A release as it is shown."""
    if release is None:
        return None
    remedy = release.remedy
    command = None if remedy is None else typed(remedy)
    return Release(release.render(typed), command, release.code, release.fields, remedy)
