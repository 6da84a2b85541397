"""The simulator's quick statements are the product's own: one seed has one digest with and without them."""

import pytest

from tailrace.metastore.db.connection import Database
from tailrace.simulator.breaking import BreakingDatabase
from tailrace.simulator.exploring import seeds


def test_a_history_is_the_same_over_plain_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [found.history.digest for found in seeds(300, 12)]
    monkeypatch.setattr(BreakingDatabase, "_transaction", Database._transaction)
    plain = [found.history.digest for found in seeds(300, 12)]
    assert quick == plain
