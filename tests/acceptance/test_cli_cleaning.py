"""Old rows go when a person says so twice, and not before."""

import json
from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import Run


def test_nothing_is_removed_without_being_asked(tailrace: Run, backfill: Callable[..., dict[str, Any]]) -> None:
    for end in ("2024-01-03", "2024-01-04"):
        backfill("example_bash_operator", "2024-01-02", end)
    counted = tailrace("db", "clean", "--before", "2100-01-01", "-n", "-o", "json")
    removed = json.loads(counted.stdout)["removed"]
    assert (removed["backfills"], removed["runs"]) == (1, 0)  # the newest backfill stays, and wants every run
    refused = tailrace("db", "clean", "--before", "2100-01-01")
    assert refused.returncode == 2
    assert "nothing is removed without -y" in refused.stderr
    assert tailrace("db", "clean").returncode == 2
    assert len(json.loads(tailrace("backfill", "list", "-o", "json").stdout)) == 2
    done = tailrace("db", "clean", "--before", "2100-01-01", "-y")
    assert done.stdout == f"removed 1 backfill, {removed['history_rows']} history rows\n"
    assert "VACUUM" in done.stderr
    assert len(json.loads(tailrace("backfill", "list", "-o", "json").stdout)) == 1
    assert tailrace("audit").returncode == 0
    assert tailrace("db", "clean", "--before", "2100-01-01", "-y").stdout == "nothing to remove\n"
