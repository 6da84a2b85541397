"""Whatever only shows needs only the right to read, as typed: lists, logs, explanations, the audit, ``-n``."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tailrace.metastore.schema.revisions import HEAD
from tailrace.metastore.store import Metastore
from tests.acceptance.conftest import Run, clean_environment
from tests.conformance.first_schema import back_to_first_schema
from tests.conformance.test_reading import selecting_role
from tests.without_write import READING, close_to_writing, open_to_writing

DAG = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="a", bash_command="echo said; exit $FAILS") >> BashOperator(task_id="b", bash_command="true")
"""
DAY = "2024-01-02"
SHOWS = (
    ("runs", "list", "d"),
    ("runs", "show", "d", DAY),
    ("runs", "explain", "d", DAY),
    ("tasks", "explain", "d", "b", DAY),
    ("tasks", "logs", "d", "a", DAY),
    ("tasks", "list", "d"),
    ("tasks", "list", "d", "--state", "failed"),
    ("jobs", "list"),
    ("backfill", "list"),
    ("backfill", "show"),
    ("dags", "list"),
    ("dags", "show", "d"),
    ("dags", "stats"),
    ("pools", "list"),
    ("audit",),
    ("db", "check"),
    ("db", "clean", "--before", "2030-01-01", "-n"),
    ("config", "show"),
    ("backfill", "d", "-s", "2024-01-01", "-e", "2024-01-04", "--reprocess", "failed", "-n"),
    ("runs", "clear", "d", DAY, "-n"),
    ("runs", "mark", "d", DAY, "--state", "success", "-n"),
    ("tasks", "clear", "d", "a", DAY, "-n"),
    ("tasks", "mark", "d", "a", DAY, "--state", "success", "-n"),
)


@pytest.fixture
def project(tailrace: Run, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    yield tmp_path
    open_to_writing(tmp_path)


def read(project: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command as typed by somebody who may only read."""
    return subprocess.run(
        [*READING, sys.executable, "-m", "tailrace", *words],
        cwd=project,
        env=clean_environment(TAILRACE_HOME=".tailrace", TAILRACE_DAGS="dags", **environment),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def listed(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_shows_needs_only_reading(tailrace: Run, project: Path, kind: str, request: pytest.FixtureRequest) -> None:
    writes: dict[str, Any] = {}
    reads: dict[str, Any] = {}
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_server").new_database()
        Metastore.open(url).close()
        writes, reads = {"TAILRACE_DATABASE_URL": url}, {"TAILRACE_DATABASE_URL": selecting_role(url)}
    done = tailrace("backfill", "d", "-s", "2024-01-01", "-e", "2024-01-03", FAILS="1", **writes)
    assert done.returncode == 1, done.stderr
    close_to_writing(project)
    before = listed(project)
    for words in SHOWS:
        done = read(project, *words, **reads)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        assert done.stdout or words == ("db", "check"), words
        assert "error" not in done.stderr, f"{words}: {done.stderr}"
    refused = read(project, "runs", "clear", "d", DAY, "-y", **reads)
    assert refused.returncode == 4
    assert len(refused.stderr.splitlines()) == 1
    assert listed(project) == before


def test_an_older_schema_is_said_and_stays(tailrace: Run, project: Path) -> None:
    assert tailrace("backfill", "d", "-s", "2024-01-01", FAILS="0").returncode == 0
    back_to_first_schema(project / ".tailrace" / "tailrace.db")
    before = listed(project)
    for words in (("runs", "list"), ("backfill", "show"), ("audit",), ("runs", "clear", "d", "2024-01-01", "-n")):
        done = tailrace(*words)
        assert done.returncode == 4
        assert done.stderr.endswith(f"its schema is 0001, this Tailrace needs {HEAD}; run `tailrace db migrate`\n")
        assert len(done.stderr.splitlines()) == 1
    assert listed(project) == before
    assert tailrace("db", "migrate").returncode == 0
    assert "backfill__2024-01-01" in tailrace("runs", "list").stdout
    with closing(Metastore.open(f"sqlite:///{project}/.tailrace/tailrace.db")):
        pass
