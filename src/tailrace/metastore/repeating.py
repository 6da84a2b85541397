"""Reads and writes that survive a connection that breaks: what did not land is done again, what landed is not.

A write has an id made by its client; its transaction records its result under that id. When nobody knows whether a
commit landed, the id shows.
"""

import time
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError

from tailrace.errors import CommandError, CommitUnknown, EnvironmentBroken, InternalError
from tailrace.metastore.commands.creation import StaleFacts
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.driver_errors import ConnectionLost, Contended, Unreachable
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import recorded

R = TypeVar("R")

#: Seconds between the attempts of one write or read whose connection broke; their number bounds the attempts. Half a
#: minute in all: a server that is restarted comes back within it, and nobody looks at a dead one for longer.
PAUSES = (0.0, 0.1, 0.4, 1.5, 4.0, 6.0, 8.0, 10.0)


def pauses_within(seconds: float) -> tuple[float, ...]:
    """Those of the pauses that are over by then."""
    return tuple(pause for pause, waited in zip(PAUSES, accumulate(PAUSES), strict=True) if waited <= seconds)


class Attempts:
    """The transactions of one process, each attempted until it is known what became of it."""

    def __init__(self, database: Database, pauses: Iterable[float] = PAUSES) -> None:
        self._database = database
        self._pauses = tuple(pauses)
        self._reached = False  # a server that was there may come back

    def read(self, work: Callable[[Transaction], R]) -> R:
        """Do ``work`` over one snapshot; again, if the connection breaks."""
        return self.repeat(lambda: self._database.read(work))

    def write_again(self, work: Callable[[Transaction], R]) -> R:
        """Do ``work``, which may land twice without harm; again, if the connection breaks."""
        return self.repeat(lambda: self._database.write(work))

    def write(self, work: Callable[[Transaction], Any], write_id: str) -> Any:
        """Do ``work`` once under this id, however often the connection breaks; its recorded result."""
        doubtful = False

        def attempt() -> Any:
            nonlocal doubtful
            if doubtful:
                landed = self._database.read(lambda tx: recorded(tx, write_id))
                if landed is not None:
                    return landed[0]
            doubtful = True
            try:
                return self._database.write(work)
            except (IntegrityError, StaleFacts, CommandError) as error:
                # The id's own row; or what this same write changed when it landed first is in its own way now.
                landed = self._database.read(lambda tx: recorded(tx, write_id))
                if landed is not None:
                    return landed[0]
                if not isinstance(error, IntegrityError):
                    raise
                raise Contended(f"metastore {self._database.where}: {error.orig}") from error

        return self.repeat(attempt)

    def repeat(self, attempt: Callable[[], R]) -> R:
        """Repeat what broke with the connection, or gave way to another transaction, with growing pauses."""
        failure: EnvironmentBroken | None = None
        for pause in self._pauses:
            if failure is not None and pause:
                time.sleep(pause)
            try:
                answer = attempt()
            except (ConnectionLost, CommitUnknown, Contended) as error:
                failure = error
            except Unreachable as error:
                if failure is None and not (self._reached and self._database.postgres):  # nothing to wait for
                    raise
                failure = error
            else:
                self._reached = True
                return answer
        if failure is None:
            raise InternalError("a metastore needs at least one attempt")
        waited = sum(self._pauses[1:])
        self._pauses = self._pauses[:1]  # whoever goes on all the same has waited enough
        if isinstance(failure.__cause__, IntegrityError):  # no other transaction's row: that would be seen by now
            raise self._database.contradicted(failure.__cause__) from failure
        if isinstance(failure, Unreachable) and waited:
            failure = Unreachable(f"{failure}; it did not come back within {waited:g} s, the same command continues")
        raise failure
