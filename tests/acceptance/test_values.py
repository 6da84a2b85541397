"""Whatever a task returns, pushes, raises, prints or asks for ends its own try, once: no worker, and no other task."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

DAGS = r'''
import os, sys
from datetime import datetime
from tailrace import DAG, BashOperator, BranchPythonOperator, EmptyOperator, PythonOperator
from tailrace.exceptions import TaskFailed, TaskSkipped

LATIN = os.fsdecode(b"caf\xe9.csv")
CASES = {}

def case(function):
    CASES[function.__name__] = function
    return function

def deep(depth):
    value = 1
    for _ in range(depth): value = [value]
    return value

# What comes through as it is: the next task compares it.
KEPT = {
    "nul": {"k\0": "F\0x"},
    "latin": [LATIN, {LATIN: 1}],
    "emoji": "\U0001f4bc" * 10,
    "big": 10**4200,
    "deep": deep(200),
    "order": {"b": 1, "a": 2},
    "euros": "\u20ac" * 3_000_000,
    "escapes": "\x1b[2J \u2028 \r\n",
}

# What is refused, each with its reason.
@case
def nan(): return float("nan")
@case
def object_(): return object()
@case
def keys(): return {1: "int", "1": "text"}
@case
def digits(): return 10**4999
@case
def too_deep(): return deep(201)
@case
def both_halves(): return "\ud83d\ude00"
@case
def key_nul(ti): ti.xcom_push("a\0b", 1)
@case
def key_latin(ti): ti.xcom_push(LATIN, 1)
@case
def key_number(ti): ti.xcom_push(1, 1)
@case
def error_latin(): raise ValueError("cannot read " + LATIN)
@case
def error_nul(): raise ValueError("bad cell: F\0x")
@case
def error_5mb(): raise ValueError("y" * 5_000_000)
@case
def error_markup(): raise ValueError("[/nope] [bold] \x1b[2J {0} %s")
@case
def exit_latin(): sys.exit(LATIN)
@case
def fail_nul(): raise TaskFailed("a\0" + LATIN)
@case
def pull_key(ti): ti.xcom_pull("nul", key={"a": 1})
@case
def pull_index(ti): ti.xcom_pull("nul", map_indexes=10**40)
@case
def pull_nul(ti): ti.xcom_pull(["a\0"])
@case
def pull_run(ti): ti.xcom_pull("nul", run_id=["a"])
@case
def recursion(): return recursion()

def once(function):
    """The function, after it has noted that its code runs."""
    def run(ti):
        with open(os.environ["RAN"], "a") as file: file.write(ti.task_id + "\n")
        return function(ti) if function.__code__.co_argcount else function()
    return run

def same(name, ti):
    found = ti.xcom_pull(name)
    assert found == KEPT[name] and json_order(found) == json_order(KEPT[name]), ascii(found)[:100]

def json_order(value):
    return list(value) if isinstance(value, dict) else None

with DAG("vals", schedule="@daily", start_date=datetime(2024, 1, 1)):
    for name in KEPT:
        give = PythonOperator(task_id=name, python_callable=once(lambda ti: KEPT[ti.task_id]))
        give >> PythonOperator(task_id=f"same_{name}", python_callable=same, op_args=[name])
    for name, function in CASES.items():
        PythonOperator(task_id=name, python_callable=once(function))
    @case
    def many(ti): return len(ti.xcom_pull([f"t{n}" for n in range(70_000)]))
    def skip(): raise TaskSkipped("nothing in F\0x " + LATIN)
    PythonOperator(task_id="many", python_callable=once(many))
    PythonOperator(task_id="skip_nul", python_callable=once(skip))
    PythonOperator(task_id="prints", python_callable=lambda: os.write(1, bytes(range(256))) and None)
    BashOperator(task_id="bash_bytes", bash_command=r"printf 'a\0b\xff\033[2J'; exit 3")
    branch = BranchPythonOperator(task_id="branch", python_callable=lambda: LATIN)
    branch >> EmptyOperator(task_id="after")
'''

REASONS = {
    "nan": "nan is not in JSON",
    "object_": "object is of no kind that is kept",
    "keys": "the key 1 is int, not text",
    "digits": "a number of more than 4300 digits",
    "too_deep": "lists and dicts more than 200 deep in one another",
    "both_halves": "both halves of a character apart",
    "key_nul": "ValueError: xcom_push: key must be text that can be stored, not 'a\\x00b'",
    "key_latin": "ValueError: xcom_push: key must be text that can be stored, not 'caf\\udce9.csv'",
    "key_number": "TypeError: xcom_push: key must be text, not 1",
    "error_latin": "ValueError: cannot read caf\\udce9.csv",
    "error_nul": "ValueError: bad cell: F\\x00x",
    "error_5mb": " more characters)",
    "error_markup": "ValueError: [/nope] [bold] \\x1b[2J {0} %s",
    "exit_latin": "caf\\udce9.csv",
    "fail_nul": "a\\x00caf\\udce9.csv",
    "pull_key": "TypeError: xcom_pull: key must be text, not {'a': 1}",
    "pull_index": "ValueError: xcom_pull: map_indexes is no index that a task instance can have",
    "pull_nul": "ValueError: xcom_pull: task_ids must be text that can be stored, not 'a\\x00'",
    "pull_run": "TypeError: xcom_pull: run_id must be text, not ['a']",
    "recursion": "RecursionError",
    "bash_bytes": "BashFailed: bash exited 3: a\\x00b\\udcff\\x1b[2J",
    "branch": "branch followed caf\\udce9.csv, not directly downstream of it",
}
KEPT = ("nul", "latin", "emoji", "big", "deep", "order", "euros", "escapes")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that names the metastore."""
    if request.param == "sqlite":
        return {}
    return {"TAILRACE_DATABASE_URL": request.getfixturevalue("postgres_url")}


def test_whatever_a_task_reports_ends_its_own_try_once(tailrace: Run, tmp_path: Path, database: dict[str, str]) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "vals.py").write_text(DAGS)
    environment = {**database, "RAN": str(tmp_path / "ran")}
    done = tailrace("backfill", "vals", "-s", "2024-01-01", "-w", "2", **environment)
    assert done.returncode == 1, done.stderr
    assert "takes its place" not in done.stderr and "bug" not in done.stderr
    shown = json.loads(tailrace("runs", "show", "vals", "2024-01-01", "-o", "json", **database).stdout)
    found: dict[str, dict[str, Any]] = {each["task_id"]: each for each in shown["task_instances"]}
    for task_id, reason in REASONS.items():
        instance = found.pop(task_id)
        assert (instance["state"], instance["try_number"]) == ("failed", 1), instance
        assert reason in instance["reason"] and len(instance["reason"]) <= 1000, instance
    for task_id in (*KEPT, *(f"same_{name}" for name in KEPT), "many", "prints"):
        instance = found.pop(task_id)
        assert (instance["state"], instance["try_number"]) == ("success", 1), instance
    assert found.pop("skip_nul")["reason"] == "nothing in F\\x00x caf\\udce9.csv"
    assert {task_id: each["state"] for task_id, each in found.items()} == {"after": "upstream_failed"}
    ran = (tmp_path / "ran").read_text().split()
    assert len(ran) == len(set(ran)) == len(KEPT) + len(REASONS) - 2 + 2
    for asked in (
        ("tasks", "explain", "vals", "error_latin", "2024-01-01"),
        ("tasks", "logs", "vals", "prints", "2024-01-01"),
        ("runs", "show", "vals", "2024-01-01"),
        ("audit",),
    ):
        answer = subprocess.run(
            [sys.executable, "-m", "tailrace", *asked],
            cwd=tmp_path,
            env={**os.environ, **database},
            capture_output=True,
            timeout=120,
        )
        assert answer.returncode == 0, (asked, answer.stderr)


def test_a_conf_that_an_older_tailrace_let_through_stops_no_scheduler(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(
        "from datetime import datetime\nfrom tailrace import DAG, BashOperator\n"
        "for name in ('d', 'other'):\n"
        "    with DAG(name, schedule=None, start_date=datetime(2024, 1, 1)):\n"
        "        BashOperator(task_id='t', bash_command='echo {{ dag_run.conf }}')\n"
    )
    assert tailrace("dags", "trigger", "d", "--conf", '{"threshold": 1e400}').returncode == 2
    file = tmp_path / ".tailrace" / "tailrace.db"
    for conf in ('{"threshold":Infinity}', "[" * 100_000):
        assert tailrace("dags", "trigger", "d", "--conf", '{"threshold": 1}').returncode == 0
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE dag_run SET conf = ? WHERE id = (SELECT max(id) FROM dag_run)", (conf,))
        connection.close()
    assert tailrace("dags", "trigger", "other").returncode == 0
    done = tailrace("scheduler", "--until-idle")
    assert done.returncode == 1, done.stderr
    runs = json.loads(tailrace("runs", "list", "-o", "json").stdout)
    found = sorted((run["dag_id"], run["state"], run["conf"]) for run in runs if run["dag_id"] == "d")
    assert found == [("d", "failed", "[" * 100_000), ("d", "success", '{"threshold":Infinity}')]
    assert [run["state"] for run in runs if run["dag_id"] == "other"] == ["success"]
    for run in (run for run in runs if run["dag_id"] == "d"):
        shown = tailrace("runs", "show", "d", run["run_id"])
        assert f"conf is no JSON object: {run['conf'][:20]}" in shown.stdout, shown.stderr
    audited = tailrace("audit")
    assert (audited.returncode, audited.stdout.count("conf cannot be read")) == (1, 1)
    with sqlite3.connect(file) as connection:  # every history is audited once more after its test
        connection.execute("UPDATE dag_run SET conf = '{\"threshold\":1}' WHERE dag_id = 'd'")
    connection.close()
