"""What the conf of every run must be, kept beside the metastore: it changes only where a backfill gives one.

Looked at whenever a backfill is created and when all is over: what anybody else did in between has left every conf
alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tailrace.model.states import CLOSED, DagRunState

_RUNS = """
    SELECT id, run_id, state, conf,
           EXISTS (SELECT 1 FROM backfill_run WHERE dag_run_id = dag_run.id AND backfill_id = ?)
    FROM dag_run ORDER BY id
"""


class Confs:
    """The conf of every run as it must be, by row."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[int, str | None] = {}

    def before(self, continues: int | None) -> dict[int, tuple[str, bool]]:
        """State of every run before a creation, and whether the backfill that it continues wants it already."""
        return {row: (state, bool(wanted)) for row, _, state, _, wanted in self._rows(continues)}

    def created(self, before: dict[int, tuple[str, bool]], id: int, given: str | None) -> Iterator[str]:
        """Take in that backfill ``id`` was created, or continued, with this conf (None: it says nothing about it)."""
        new = None if given == "{}" else given
        for row, run_id, state, conf, wanted in self._rows(id):
            was, settled = before.get(row, (None, False))
            if was is None:
                self._known[row] = new
            elif wanted and given is not None and not settled:
                opened = was in CLOSED and state == DagRunState.QUEUED
                if was == DagRunState.QUEUED or opened:
                    self._known[row] = new
                elif was == DagRunState.RUNNING and conf != new:
                    yield f"conf: backfill {id} was to give {run_id}, which was running, {given}: it has {conf}"
        yield from self.check()

    def check(self) -> Iterator[str]:
        """Every run whose conf is not what it must be."""
        for row, run_id, _, conf, _ in self._rows(None):
            must = self._known.setdefault(row, None)  # one that nobody typed a backfill for has none
            if conf != must:
                yield f"conf: {run_id} has {conf}, and must have {must}"

    def _rows(self, backfill: int | None) -> list[tuple[int, str, str, str | None, int]]:
        with closing(sqlite3.connect(self._file)) as connection:
            return connection.execute(_RUNS, (backfill,)).fetchall()
