"""What a person reads of messages, for tests that hold the words."""

from collections.abc import Iterable

from tailrace.cli.remedies import text_of
from tailrace.planning.messages import Message

__all__ = ["lines", "text_of"]


def lines(messages: Iterable[Message]) -> tuple[str, ...]:
    """Each as a person at a terminal reads it."""
    return tuple(map(text_of, messages))
