"""A metastore connection that breaks when a world says so, and a transaction that a stuck process leaves open.

Three things can become of a write whose connection breaks while it commits: it landed; it never will; or it lands only
after its writer has looked and found nothing, so that the repetition meets it. Nobody else gets in between: until it
lands or not, its transaction holds its locks.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, TypeVar

from tailrace.errors import CommitUnknown
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.transaction import Transaction

R = TypeVar("R")

#: So often in a row the connection of one write breaks, at most; after five times in a row the product gives up.
MOST_BREAKS = 2


class Break(Enum):
    """What becomes of a write."""

    NONE = auto()
    LANDED = auto()  # the commit landed, its acknowledgement was lost
    LOST = auto()  # nothing landed
    LANDS_LATER = auto()  # it lands after its writer has found that it did not


class BreakingDatabase(Database):
    """The product's connection, and what a world does to its writes."""

    #: Asked before each write: what becomes of it.
    breaks: Callable[[], Break] = staticmethod(lambda: Break.NONE)

    def __init__(self, url: str, **settings: Any) -> None:
        super().__init__(url, **settings)
        self._under_way: Callable[[Transaction], Any] | None = None
        self._in_a_row = 0

    def write(self, work: Callable[[Transaction], R]) -> R:
        """Like a write of the product; raises CommitUnknown where the world breaks it."""
        first, self._under_way = self._under_way, None
        if first is not None:
            super().write(first)  # the one its writer believed lost lands now
        chosen = self.breaks() if self._in_a_row < MOST_BREAKS else Break.NONE
        if chosen is Break.NONE:
            self._in_a_row = 0
            return super().write(work)
        self._in_a_row += 1
        if chosen is Break.LANDED:
            super().write(work)
        else:
            self._abandon(work)
            self._under_way = work if chosen is Break.LANDS_LATER else None
        raise CommitUnknown(f"the connection broke while committing ({chosen.name.lower()})")

    def begin_world(self, breaks: Callable[[], Break]) -> None:
        """Forget what another world left."""
        self.breaks, self._under_way, self._in_a_row = breaks, None, 0

    def _abandon(self, work: Callable[[Transaction], Any]) -> None:
        """Do all of it, and commit nothing."""

        def never(tx: Transaction) -> None:
            work(tx)
            raise _Abandoned

        try:
            super().write(never)
        except _Abandoned:
            pass


class _Abandoned(Exception):
    """Ends a transaction whose commit never arrives."""


@dataclass(slots=True)
class StuckTransaction:
    """A write transaction that somebody has begun and does not end before ``until``, in simulated seconds."""

    until: float
    connection: sqlite3.Connection

    @classmethod
    def begun(cls, file: Path, until: float) -> "StuckTransaction":
        """Take the metastore's write lock, as a process does that then stops."""
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return cls(until, connection)

    def end(self) -> None:
        """The process is gone for good, and its lock with it."""
        self.connection.close()
