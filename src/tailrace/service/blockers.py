"""Why task instances can never run, as every interface shows it: the fields are the JSON's."""

from msgspec import Struct

from tailrace.model.keys import TaskInstanceKey
from tailrace.planning.plan import Blocker


class Reason(Struct, frozen=True):
    """One dependency that is not met."""

    dependency: str
    reason: str


class Blocked(Struct, frozen=True):
    """One doomed task instance and why nothing can ever start it."""

    task_instance: TaskInstanceKey
    state: str
    reasons: tuple[Reason, ...]


def blocked_of(blocker: Blocker) -> Blocked:
    """It as it is shown."""
    reasons = tuple(Reason(why.dependency, why.reason) for why in blocker.reasons)
    return Blocked(blocker.key, str(blocker.state), reasons)
