"""What a task's code may raise to say how its try ended. Nothing else is public here."""

from tailrace.errors import TaskFailed, TaskSkipped

__all__ = ["TaskFailed", "TaskSkipped"]
