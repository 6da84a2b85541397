"""What a task's code may raise to say how its try ended, and may catch. Nothing else is public here."""

from tailrace.errors import (
    RecordNotFound,
    RecordsUnreadable,
    SecretNotFound,
    SecretUnreadable,
    SensorTimeout,
    TaskFailed,
    TaskRescheduled,
    TaskSkipped,
    XComUnreadable,
)

__all__ = [
    "RecordNotFound",
    "RecordsUnreadable",
    "SecretNotFound",
    "SecretUnreadable",
    "SensorTimeout",
    "TaskFailed",
    "TaskRescheduled",
    "TaskSkipped",
    "XComUnreadable",
]
