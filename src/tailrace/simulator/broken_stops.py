"""Canaries of runs that are stopped before their tasks have ended: one goes on, one stops for what was long over.

Each says in a line what it leaves out, as those of ``broken_writes`` do.
"""

from msgspec.structs import replace

from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans import stopping
from tailrace.metastore.writes.records import Author, History
from tailrace.metastore.writes.runs import RunStep, stop_run
from tailrace.planning import run_stops
from tailrace.planning.board import Board
from tailrace.planning.snapshot import TaskInstanceSnapshot
from tailrace.simulator.broken_writes import Replaced


def _same_version(tx: Transaction, author: Author, change: RunStep, history: History, stopped_by: str) -> None:
    stop_run(tx, author, replace(change, version=change.version - 1), history, stopped_by)


goes_on = Replaced(stopping, "stop_run", _same_version)
"""The version of a run does not grow as it is stopped."""

_first_failure = run_stops._first_failure


def _any_failure(board: Board) -> TaskInstanceSnapshot | None:
    board.run = replace(board.run, failed_before=())
    return _first_failure(board)


by_the_past = Replaced(run_stops, "_first_failure", _any_failure)
"""A failure that a run was opened again with counts as one of its own."""
