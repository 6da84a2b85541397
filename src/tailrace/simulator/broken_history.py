"""Canaries whose writes are right, and what they leave in history is not: a chain that is left, a column not said."""

from collections.abc import Mapping, Sequence

from tailrace.metastore.writes import records, runs, task_instances
from tailrace.model.chains import link
from tailrace.simulator.broken_writes import Replaced


def _behind_nothing(before: str | None, cells: Sequence[str | int | None]) -> str:
    return link(None, cells)


chain_left = Replaced(records, "link", _behind_nothing)
"""A row of history is chained behind nothing: the one before it could be taken away."""

_given: Mapping[object, Sequence[tuple[str, str]]] = {
    state: tuple(pair for pair in columns if pair[0] != "lost_tries")
    for state, columns in task_instances._GIVEN.items()
}

column_unsaid = Replaced(task_instances, "_GIVEN", _given)
"""A step sets a column of a task instance, and history does not say so."""

version_unsaid = Replaced(runs, "_UNSAID", runs._UNSAID | {"version"})
"""The version of a run grows, and history does not say so."""
