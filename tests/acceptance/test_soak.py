"""The flaky test of 2016, again and again: not one false deadlock, not one failure (``make soak``)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., object]


@pytest.mark.soak
def test_example_bash_operator_never_flakes(tmp_path: Path, tailrace: Run, pytestconfig: pytest.Config) -> None:
    failures = []
    for repeat in range(pytestconfig.getoption("--soak-repeats")):
        folder = tmp_path / str(repeat)
        folder.mkdir()
        done = tailrace(
            *("backfill", "example_bash_operator", "-s", "2016-01-01", "-e", "2016-01-03", "-o", "json"), cwd=folder
        )
        answer = json.loads(done.stdout) if done.stdout else {}
        if done.returncode != 0 or answer.get("task_instances") != {"success": 18}:
            failures.append((repeat, done.returncode, done.stdout, done.stderr))
    assert failures == []
