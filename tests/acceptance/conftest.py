"""Runs the product as a person does: the real command, in an empty folder, with real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.store import Metastore

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment(**extra: str) -> dict[str, str]:
    """Our environment without any TAILRACE_* setting, plus ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, **extra}


def assert_sound(home: Path) -> None:
    """What is recorded in this home, if anything is, stands up to the audit."""
    file = home / "tailrace.db"
    try:
        opened = Metastore.open_to_read(f"sqlite:///{file}")
    except EnvironmentBroken:
        return  # a test has broken the file on purpose: it holds no history that could be read
    if opened is None:
        return
    with closing(opened) as metastore:
        assert [str(violation) for violation in metastore.audit().violations] == []


@pytest.fixture
def tailrace(tmp_path: Path) -> Iterator[Run]:
    """``tailrace(*arguments)`` run in an empty folder; returns the finished process. Its history is audited after."""

    def run(
        *arguments: str, timeout: float = 120, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments],
            cwd=cwd,
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    yield run
    assert_sound(tmp_path / ".tailrace")


def answer(done: "subprocess.CompletedProcess[str]", code: int = 0) -> Any:
    """The JSON that a command has printed; it must have ended with this code."""
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def asked(tailrace: Run, *words: str) -> Any:
    """What a command prints with ``-o json``; it must end well."""
    return answer(tailrace(*words, "-o", "json"))


@pytest.fixture
def backfill(tailrace: Run) -> Callable[..., dict[str, Any]]:
    """``backfill(dag_id, start, end, *options)`` that must exit with ``code``; returns its JSON object."""

    def run(dag_id: str, start: str, end: str, *options: str, code: int = 0, **more: Any) -> dict[str, Any]:
        done = tailrace("backfill", dag_id, "-s", start, "-e", end, "-o", "json", *options, **more)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run
