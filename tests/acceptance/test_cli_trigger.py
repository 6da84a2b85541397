"""``dags trigger --run-id``: any safe name names the run wherever a run is named."""

import json
import shlex
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

DAG = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="t", bash_command="echo in {{ run_id }}")
"""


@pytest.mark.parametrize("run_id", ["nightly", "my run"])
def test_a_run_of_any_name(tailrace: Run, tmp_path: Path, run_id: str) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)

    def typed(*words: str, code: int = 0) -> str:
        done = tailrace(*words)
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    done = tailrace("dags", "trigger", "d", "--run-id", run_id, "--logical-date", "2024-03-01")
    assert (done.returncode, done.stdout) == (0, f"{run_id}\n")
    named = done.stderr.rpartition("`tailrace ")[2].partition("`")[0]
    assert shlex.split(named) == ["runs", "show", "d", run_id], "the command that is named can be typed"
    typed("dags", "pause", "d")
    assert typed("runs", "show", "d", run_id).startswith(f"d / {run_id}: queued")
    typed("dags", "unpause", "d")
    typed("scheduler", "--until-idle")
    assert json.loads(typed("runs", "show", "d", run_id, "-o", "json"))["state"] == "success"
    assert json.loads(typed("runs", "show", "d", "2024-03-01", "-o", "json"))["run_id"] == run_id
    assert f"in {run_id}\n" in typed("tasks", "logs", "d", "t", run_id)
    assert "try 1" in typed("tasks", "explain", "d", "t", run_id)
    assert f"in {run_id}\n" in typed("tasks", "test", "d", "t", run_id)
    assert f"{run_id}  t     success  none" in typed("runs", "clear", "d", run_id, "-n")
    again = typed("dags", "trigger", "d", "--run-id", run_id, code=2)
    assert again.startswith(f"error: d has a run of that id already, {run_id}; have it done again with `tailrace runs ")
    assert again.endswith("or give another id\n") and again.count("\n") == 1
    assert typed("runs", "show", "d", "nosuch", code=2) == (
        "error: no run nosuch of d, and it is no date such as 2024-05-31; `tailrace runs list d` lists its runs\n"
    )
    assert "no run 'nosuch' of d is recorded, and not a date: " in typed("tasks", "test", "d", "t", "nosuch", code=2)
