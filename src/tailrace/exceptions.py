"""What a task's code may raise to say how its try ended, and may catch. Nothing else is public here."""

from tailrace.errors import SecretNotFound, SecretUnreadable, TaskFailed, TaskSkipped

__all__ = ["SecretNotFound", "SecretUnreadable", "TaskFailed", "TaskSkipped"]
