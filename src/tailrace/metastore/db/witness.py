"""Notices that what a metastore holds was exchanged under a job: a copy that is restored keeps its file and its place.

A process remembers the newest row of history that it has seen. History only grows at its end (cleaning leaves the
newest row), so that row is there, or newer ones are; ids that were given again have other writes behind them.
"""

from sqlalchemy import bindparam, func, select

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.tables import history
from tailrace.metastore.db.transaction import Transaction

_LOOK = select(history.c.id, history.c.write_id).where(
    history.c.id.in_([bindparam("seen"), select(func.max(history.c.id)).scalar_subquery()])
)


class Witness:
    """The newest row of history that this process has seen."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._id = 0
        self._write_id = ""

    def look(self, tx: Transaction) -> None:
        """See the newest row. Raises EnvironmentBroken if the former one is not there, and none that is newer."""
        found: dict[int, str] = dict(map(tuple, tx.rows(_LOOK, {"seen": self._id})))
        newest = max(found, default=0)
        if newest < self._id or found.get(self._id, self._write_id) != self._write_id:
            raise EnvironmentBroken(
                f"metastore {self._where}: what it held was replaced while it was in use (a copy was restored?); "
                "the same command goes on with what is there now"
            )
        if newest:
            self._id, self._write_id = newest, found[newest]
