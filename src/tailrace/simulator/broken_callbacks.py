"""Canaries of callbacks: an event that nobody had, one that is called twice at once, one that is left out.

Each says in a line what it leaves out, as those of ``broken_writes`` do.
"""

from typing import Any

from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.tries import claims, events
from tailrace.metastore.writes import task_instances
from tailrace.metastore.writes.records import Author, History
from tailrace.metastore.writes.task_instances import StateChange
from tailrace.simulator.broken_writes import Replaced

_refuse_result = task_instances.refuse_result


def _told_all_the_same(tx: Transaction, author: Author, change: StateChange, history: History) -> None:
    _refuse_result(tx, author, change, history)
    history.call("on_failure_callback")


called_by_lost_claim = Replaced(claims, "refuse_result", _told_all_the_same)
"""A claim that was lost, and whose result is refused, has the callbacks called all the same."""


def _free(tx: Transaction, row: Any) -> bool:
    return True


called_without_lease = Replaced(events, "_is_free", _free)
"""Whoever looks for an event takes it, though another is calling its callbacks."""


class _Forgetful(History):
    """Leaves out every event."""

    def call(self, callback: str, **otherwise: str) -> None:
        """Nothing."""


forgotten_event = Replaced(task_instances, "History", _Forgetful)
"""What a worker reports has no event."""
