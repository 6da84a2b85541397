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


def test_a_chain_that_is_rewritten_is_found_by_the_seal_of_before(deadlocked: Run, tmp_path: Path) -> None:
    sealed = deadlocked("audit", "--seal", "first.seal")
    assert sealed.returncode == 0
    root = json.loads((tmp_path / "first.seal").read_text().splitlines()[0])["root"]
    assert f"sealed in first.seal, root {root}" in sealed.stderr
    assert (tmp_path / "first.seal").stat().st_mode & 0o777 == 0o600
    assert deadlocked("audit", "--against", "first.seal").returncode == 0
    with closing(sqlite3.connect(tmp_path / ".tailrace" / "tailrace.db")) as metastore:
        metastore.execute("DELETE FROM history WHERE kind = 'refused' OR after = 'job'")
        metastore.execute("DELETE FROM job")
        metastore.execute("DELETE FROM write_record")
        metastore.commit()
    assert deadlocked("audit").returncode == 0, "without a seal nobody can tell"
    done = deadlocked("audit", "--against", "first.seal", "--seal", "second.seal")
    assert done.returncode == 1
    assert "job 1" in done.stdout
    assert "nothing says that they were cleaned away" in done.stdout
    assert "no seal was written to second.seal" in done.stderr
    assert not (tmp_path / "second.seal").exists()


def test_a_seal_is_written_over_nothing_but_itself(deadlocked: Run, tmp_path: Path) -> None:
    assert deadlocked("audit", "--seal", "a.seal").returncode == 0
    before = (tmp_path / "a.seal").read_bytes()
    done = deadlocked("audit", "--seal", "a.seal")
    assert done.returncode == 2
    assert "a seal is not written over anything" in done.stderr
    assert deadlocked("tasks", "clear", "-y", "past", "first", "2024-01-01").returncode == 0
    assert deadlocked("audit", "--seal", "a.seal", "--against", "a.seal").returncode == 0
    assert (tmp_path / "a.seal").read_bytes() != before
    assert sorted(each.name for each in tmp_path.glob("*seal*")) == ["a.seal"]


def test_no_metastore_is_no_seal_and_not_what_was_sealed(deadlocked: Run, tmp_path: Path) -> None:
    assert deadlocked("audit", "--seal", "a.seal").returncode == 0
    shutil.rmtree(tmp_path / ".tailrace")
    done = deadlocked("audit", "--seal", "b.seal")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no metastore at" in done.stderr
    assert not (tmp_path / "b.seal").exists()
    gone = deadlocked("audit", "--against", "a.seal")
    assert gone.returncode == 1
    assert "backfill 1" in gone.stdout


@pytest.mark.parametrize("content", [b"", b"{}", b"no seal\n", b"\xff\xfe\n", b"[" * 5000, b'{"format":"x"}\n[]\n'])
def test_a_file_that_is_no_seal_is_one_line(deadlocked: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    done = deadlocked("audit", "--against", "file")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: file: it is no seal")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--against", "nowhere"), "nowhere: the seal cannot be read: No such file"),
        (("--against", "."), "the seal cannot be read: Is a directory"),
        (("--seal", "nowhere/file"), "the seal cannot be written: No such file"),
        (("--seal", "."), "a seal is not written over anything"),
    ],
)
def test_a_seal_that_cannot_be_had_is_one_line(deadlocked: Run, arguments: tuple[str, ...], said: str) -> None:
    done = deadlocked("audit", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


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
