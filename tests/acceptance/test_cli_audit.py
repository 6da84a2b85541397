"""Asking whether what is recorded is sound, and why it stands as it does: with only the metastore, writing nothing."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Run

PAST = """
from datetime import datetime
from tailrace import DAG, BashOperator, EmptyOperator

with DAG("past", schedule="@daily", start_date=datetime(2024, 1, 1)):
    first = BashOperator(task_id="first", bash_command="exit 1", depends_on_past=True)
    first >> EmptyOperator(task_id="second")
"""


@pytest.fixture
def deadlocked(tailrace: Run, tmp_path: Path) -> Run:
    """A backfill of two runs, the second deadlocked; its DAG file is gone."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "past.py").write_text(PAST)
    assert tailrace("backfill", "past", "-s", "2024-01-01", "-e", "2024-01-02", "-q").returncode == 3
    shutil.rmtree(tmp_path / "dags")
    return tailrace


def test_nothing_is_sound_and_is_not_made(tailrace: Run, tmp_path: Path) -> None:
    done = tailrace("audit")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no metastore at" in done.stderr
    assert tailrace("audit", "-o", "json").stdout == "[]\n"
    assert not (tmp_path / ".tailrace").exists()


def test_a_row_changed_by_hand_is_shown(deadlocked: Run, tmp_path: Path) -> None:
    sound = deadlocked("audit")
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.startswith("sound: ")
    assert sound.stdout.endswith(" history rows, 4 task instances, 2 runs, 1 backfill, 1 pool\n")
    with closing(sqlite3.connect(tmp_path / ".tailrace" / "tailrace.db")) as metastore:
        metastore.execute("UPDATE dag_run SET state = 'success' WHERE state = 'deadlocked'")
        metastore.commit()
    done = deadlocked("audit")
    assert done.returncode == 1
    assert "past / backfill__2024-01-02T00:00:00+00:00" in done.stdout
    assert "history leads to deadlocked, the row says success" in done.stdout
    assert "1 violation in " in done.stderr
    (found,) = json.loads(deadlocked("audit", "-o", "json").stdout)
    assert found["check"] == "final state"
    with closing(sqlite3.connect(tmp_path / ".tailrace" / "tailrace.db")) as metastore:
        metastore.execute("UPDATE dag_run SET state = 'deadlocked' WHERE state = 'success'")
        metastore.commit()


def test_what_waits_is_explained_without_its_dag_file(deadlocked: Run) -> None:
    done = deadlocked("runs", "explain", "past", "2024-01-02")
    assert done.returncode == 0, done.stderr
    assert "past / backfill__2024-01-02T00:00:00+00:00: deadlocked" in done.stdout
    assert "tailrace tasks clear past first backfill__2024-01-01T00:00:00+00:00" in done.stdout
    answer: dict[str, Any] = json.loads(deadlocked("runs", "explain", "past", "2024-01-02", "-o", "json").stdout)
    assert [(ti["task_id"], ti["state"], ti["doomed"]) for ti in answer["task_instances"]] == [
        ("first", "none", True),
        ("second", "none", True),
    ]
    failed = deadlocked("tasks", "explain", "past", "first", "2024-01-01")
    assert failed.returncode == 0, failed.stderr
    assert "failed in try 1 (outcome): BashFailed: bash exited 1" in failed.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tasks", "explain", "past", "frist", "2024-01-01"), "no task 'frist' in"),
        (("tasks", "explain", "past", "first", "2023-01-01"), "no run 2023-01-01 of past"),
        (("runs", "explain", "pest", "2024-01-01"), "did you mean past?"),
    ],
)
def test_a_wrong_name_is_one_line(deadlocked: Run, arguments: tuple[str, ...], said: str) -> None:
    done = deadlocked(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("backfill", "example_bash_operator", "-s", "2024-01-01", "-n"),
        ("audit",),
        ("runs", "explain", "d", "2024-01-01"),
    ],
)
def test_an_older_schema_is_left_alone_by_what_only_asks(
    tailrace: Run, tmp_path: Path, command: tuple[str, ...], backfill: Callable[..., Any]
) -> None:
    backfill("example_bash_operator", "2024-01-01", "2024-01-01")
    file = tmp_path / ".tailrace" / "tailrace.db"
    with closing(sqlite3.connect(file)) as older:
        older.execute("UPDATE alembic_version SET version_num = '0001'")
        older.commit()
    done = tailrace(*command)
    assert done.returncode == 4
    assert "run `tailrace db migrate`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with closing(sqlite3.connect(file)) as older:
        assert older.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        older.execute("UPDATE alembic_version SET version_num = '0002'")
        older.commit()
    assert not list(file.parent.glob("*.backup"))
