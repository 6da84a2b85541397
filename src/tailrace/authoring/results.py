"""What a deciding task answers besides its XCom: which of the tasks below it are followed."""

from typing import Any

from msgspec import Struct


class Followed(Struct, frozen=True):
    """``task_ids`` are followed, the others this task decides over are excluded; None excludes nothing.

    ``value`` is the task's ordinary return value, its XCom.
    """

    task_ids: tuple[str, ...] | None
    value: Any = None
