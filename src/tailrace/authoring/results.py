"""What a deciding task answers besides its XCom: which of the tasks below it are followed."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Followed:
    """``task_ids`` are followed, the others this task decides over are excluded; None excludes nothing.

    ``value`` is the task's ordinary return value, its XCom.
    """

    task_ids: tuple[str, ...] | None
    value: Any = None
