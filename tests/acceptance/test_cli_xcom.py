"""``tailrace xcom``: what a run has recorded, as a person looks at it."""

import json
from pathlib import Path

from tests.acceptance.conftest import Run

DAG = """
from datetime import datetime
from tailrace import DAG, BashOperator, task

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    @task
    def a(ti=None):
        ti.xcom_push("text", "one\\x1b[2J\\nline")
        ti.xcom_push("long", "x" * 10000)
        return {"k": [1, 2]}

    a()
    BashOperator(task_id="silent", bash_command="true", do_xcom_push=False)
    BashOperator(task_id="none", bash_command="exit 1")
"""
DAY = "2024-01-01"


def test_xcoms_are_listed_and_printed(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    assert tailrace("backfill", "d", "-s", DAY, "-q").returncode == 1

    def get(*words: str) -> str:
        done = tailrace("xcom", "get", "d", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(*words: str) -> str:
        done = tailrace("xcom", *words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        return done.stderr

    listed = json.loads(tailrace("xcom", "list", "d", DAY, "-o", "json").stdout)
    assert {(each["task_id"], each["map_index"], each["key"]) for each in listed} >= {
        ("a", -1, "return_value"),
        ("a", -1, "text"),
        ("a", -1, "long"),
    }
    [long] = [each for each in listed if each["key"] == "long"]
    assert (long["characters"], long["begins"]) == (10002, '"' + "x" * 99)
    table = tailrace("xcom", "list", "d", DAY).stdout
    assert '{"k":[1,2]}' in table and "\x1b" not in table
    assert max(map(len, table.splitlines())) < 160
    assert get("a", DAY) == '{\n  "k": [\n    1,\n    2\n  ]\n}\n'
    assert json.loads(get("a", DAY, "-o", "json")) == {"k": [1, 2]}
    assert get("a", DAY, "--key", "text") == "one\\x1b[2J\nline\n"
    assert json.loads(get("a", DAY, "--key", "text", "-o", "json")) == "one\x1b[2J\nline"
    assert (
        "a of backfill__2024-01-01T00:00:00+00:00 has recorded no XCom 'nosuch'; it has long, return_value and text"
        in (refused("get", "d", "a", DAY, "--key", "nosuch"))
    )
    assert "has recorded no XCom 'return_value'; it has none, and is failed" in refused("get", "d", "none", DAY)
    assert "a of backfill__2024-01-01T00:00:00+00:00 has no map index 7" in (
        refused("get", "d", "a", DAY, "--map-index", "7")
    )
    assert "no task 'silen' in backfill__2024-01-01T00:00:00+00:00 of d; did you mean silent?" in refused(
        "get", "d", "silen", DAY
    )
    assert "no run 2024-01-05 of d; `tailrace runs list d` lists its runs" in refused("list", "d", "2024-01-05")
    assert "has never run here" in refused("list", "other", DAY)


def test_settings_reach_the_tasks(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    (tmp_path / "tailrace.toml").write_text("max_xcom_bytes = 1000\n")
    assert tailrace("backfill", "d", "-s", DAY, "-q").returncode == 1
    why = (
        "the XCom 'long' of a is 10,002 bytes long as JSON, and max_xcom_bytes is 1,000 (dags/d.py:9); "
        "return a path instead"
    )
    assert why in tailrace("tasks", "logs", "d", "a", DAY).stdout
    assert why in tailrace("tasks", "test", "d", "a", DAY).stderr
    assert tailrace("backfill", "d", "-s", "2024-01-02", "-q", TAILRACE_MAX_XCOM_BYTES="20000").returncode == 1
    assert json.loads(tailrace("xcom", "get", "d", "a", "2024-01-02", "-o", "json").stdout) == {"k": [1, 2]}
