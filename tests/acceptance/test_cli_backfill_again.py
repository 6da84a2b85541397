"""The same command typed again, once its backfill has ended, writes nothing and says what makes it run again."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run, clean_environment
from tests.without_write import READING, close_to_writing, open_to_writing

DAG = """
import os
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="a", bash_command="exit $FAILS")
"""
RANGE = ("backfill", "d", "-s", "2024-01-01", "-e", "2024-01-02")


def rows(project: Path) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(project / ".tailrace" / "tailrace.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    return tmp_path


@pytest.mark.parametrize("fails", ["0", "1"])
def test_it_is_done_already(tailrace: Run, project: Path, fails: str) -> None:
    assert tailrace(*RANGE, FAILS=fails).returncode == int(fails)
    before = rows(project)
    state = "failed" if fails == "1" else "success"
    again = "failed" if fails == "1" else "all"
    for more in ((), ("-v",), ("-w", "1", "--max-active-runs", "1")):
        done = tailrace(*RANGE, *more, FAILS="0")
        assert done.returncode == int(fails)
        assert f"backfill 1 of d: {state}, done already: 2 runs (2 {state}), task instances: 2 {state}; " in done.stdout
        assert f"  tailrace backfill d -s 2024-01-01 -e 2024-01-02 --reprocess {again}" in done.stdout
    detached = tailrace(*RANGE, "--detach")
    assert (detached.returncode, "done already" in detached.stdout) == (0, True)
    assert json.loads(tailrace(*RANGE, "-o", "json").stdout)["done_already"] is True
    assert "backfill 1 has done all of it, and nothing would be written" in tailrace(*RANGE, "-n").stdout
    quiet = tailrace(*RANGE, "-q")
    assert (quiet.returncode, bool(quiet.stdout)) == (int(fails), fails == "1")
    assert rows(project) == before
    repaired = json.loads(tailrace(*RANGE, "--reprocess", again, "-o", "json", FAILS="0").stdout)
    assert (repaired["state"], repaired.get("done_already")) == ("success", None)
    now = tailrace(*RANGE)
    assert now.returncode == 0
    assert "backfill 1 of d: success, done already: 2 runs (2 success)" in now.stdout, "it stands as its runs do now"
    new = json.loads(tailrace(*RANGE, "--new", "-o", "json").stdout)
    assert (new["backfill_id"], new.get("done_already")) == (3, None)


def test_it_needs_only_reading(tailrace: Run, project: Path) -> None:
    assert tailrace(*RANGE, FAILS="0").returncode == 0
    close_to_writing(project)
    done = subprocess.run(
        [*READING, sys.executable, "-m", "tailrace", *RANGE],
        cwd=project,
        env=clean_environment(TAILRACE_HOME=".tailrace", TAILRACE_DAGS="dags"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    open_to_writing(project)
    assert (done.returncode, "done already" in done.stdout) == (0, True), done.stderr
