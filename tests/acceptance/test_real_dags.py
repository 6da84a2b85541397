"""Minimal DAGs with what real DAG files use, feature by feature: one scheduler runs all to the states they name."""

import ast
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Run, answer

FOLDER = Path(__file__).parent / "real_dags"
SECRETS = {
    "AIRFLOW_VAR_REGION": "eu",
    "TAILRACE_VAR_CONFIG": '{"size": 7}',
    "AIRFLOW_CONN_DB": "postgres://me:secret@example.org:5432/shop?sslmode=require",
}


def named(file: Path, name: str) -> Any:
    """What the file itself says; it is not imported."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return eval(compile(ast.Expression(node.value), str(file), "eval"))  # its own literals and comprehensions
    return None


def test_each_runs_to_the_states_it_names(tailrace: Run, tmp_path: Path) -> None:
    """One scheduler, until nothing is left, over all of them."""
    ended = tailrace("scheduler", "--until-idle", "--dags", str(FOLDER), timeout=300, **SECRETS)
    assert ended.returncode == 1, ended.stdout + ended.stderr  # some fail, as they should
    runs = answer(tailrace("runs", "list", "--limit", "1000", "-o", "json"))
    assert {run["state"] for run in runs} == {"success", "failed"}
    found: dict[str, dict[str, set[str]]] = {}
    for each in answer(tailrace("tasks", "list", "-s", "2020-01-01", "--limit", "5000", "-o", "json")):
        index = "" if each["map_index"] == -1 else f"[{each['map_index']}]"
        found.setdefault(each["dag_id"], {}).setdefault(f"{each['task_id']}{index}", set()).add(each["state"])
    expected: dict[str, Any] = {}
    failing: set[str] = set()
    either: dict[str, set[str]] = {}
    said: set[str] = set()
    for file in FOLDER.glob("*.py"):
        expected |= named(file, "EXPECTED")
        failing |= named(file, "FAILED_RUNS") or set()
        either |= named(file, "EITHER") or {}
        said |= named(file, "SAID") or set()
    for dag_id, tasks in either.items():
        for name in tasks:
            found[dag_id].pop(name)
    wrong = {
        dag_id: (found.get(dag_id), tasks)
        for dag_id, tasks in expected.items()
        if found.get(dag_id) != {name: {state} for name, state in tasks.items()}
    }
    assert wrong == {}
    assert {run["dag_id"] for run in runs if run["state"] == "failed"} == failing
    assert found.keys() == expected.keys()
    assert sorted((tmp_path / "told.txt").read_text().splitlines()) == sorted(said)
