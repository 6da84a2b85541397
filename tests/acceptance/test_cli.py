"""The command line as a person types it: a first DAG, previews, lists and shows, failures with their repair."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import answer, clean_environment

Run = Callable[..., subprocess.CompletedProcess[str]]

BREAKS_ONCE = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("etl", schedule="@daily", start_date=datetime(2024, 1, 1)):
    extract = BashOperator(task_id="extract", bash_command="echo extracting {{ ds }}")
    load = BashOperator(task_id="load", bash_command="echo looking for mended; test -e FOLDER/mended")
    extract >> load
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose DAG ``etl`` fails until there is a file ``mended`` in it."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "etl.py").write_text(BREAKS_ONCE.replace("FOLDER", str(tmp_path)))
    return tmp_path


def test_from_an_empty_folder_to_a_finished_backfill(tailrace: Run, tmp_path: Path) -> None:
    first = tailrace("init")
    assert first.returncode == 0
    words = first.stdout.split()
    assert words[:2] == ["tailrace", "backfill"]
    done = tailrace(*words[1:], "-o", "json")
    assert answer(done)["runs"] == {"success": 7}
    log = tailrace("tasks", "logs", "hello", "shout", "2024-01-03")
    assert "HELLO FROM 2024-01-03" in log.stdout


def test_preview_writes_nothing_at_all(tailrace: Run, project: Path) -> None:
    done = tailrace("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-05", "-n", "-o", "json")
    preview = answer(done)
    assert preview["dry_run"] is True
    assert preview["runs"] == {"create": 5}
    assert preview["task_instances"] == 10
    assert [date["logical_date"] for date in preview["dates"]][:2] == [
        "2024-01-01T00:00:00+00:00",
        "2024-01-02T00:00:00+00:00",
    ]
    text = tailrace("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-05", "--dry-run")
    assert "5 dates: 5 to create" in text.stdout
    assert "nothing was written; to do it:\n  tailrace backfill etl -s 2024-01-01 -e 2024-01-05" in text.stdout
    assert not (project / ".tailrace").exists()


def test_detaching_prints_no_more_than_it_is_asked_to(tailrace: Run, project: Path) -> None:
    preview = tailrace("backfill", "etl", "-s", "2024-01-01", "-n", "--detach")
    assert preview.stdout.endswith("to do it:\n  tailrace backfill etl -s 2024-01-01 --detach\n")
    quiet = tailrace("backfill", "etl", "-s", "2024-01-01", "-q", "--detach")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "1\n", "")
    assert "  tailrace backfill etl -s 2024-01-01\n" in tailrace("backfill", "show", "1").stdout


def test_preview_leaves_an_empty_postgres_empty(tailrace: Run, project: Path, postgres_url: str) -> None:
    where = {"TAILRACE_DATABASE_URL": postgres_url}
    preview = answer(tailrace("backfill", "etl", "-s", "2024-01-01", "-n", "-o", "json", **where))
    assert preview["runs"] == {"create": 1}
    check = tailrace("db", "check", **where)
    assert check.returncode == 4 and "has no tables yet" in check.stderr
    (project / "mended").touch()
    assert answer(tailrace("backfill", "etl", "-s", "2024-01-01", "-o", "json", **where))["state"] == "success"
    assert answer(tailrace("runs", "list", "etl", "-o", "json", **where))[0]["state"] == "success"
    log = tailrace("tasks", "logs", "etl", "load", "2024-01-01", **where)
    assert "looking for mended" in log.stdout


def test_a_failure_leads_with_its_root_and_the_repair_it_names_repairs(tailrace: Run, project: Path) -> None:
    done = tailrace("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-02")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("load of backfill__2024-01-0")
    assert " failed: BashFailed: bash exited 1: looking for mended" in lines[0]
    assert "  | looking for mended" in lines
    assert "2 runs (2 failed)" in done.stdout
    assert "Traceback" not in done.stderr
    repair = lines[-1].split()
    assert repair == [*("tailrace", "backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-02", "--reprocess", "failed")]
    (project / "mended").touch()
    mended = answer(tailrace(*repair[1:], "-o", "json"))
    assert mended["state"] == "success"
    assert mended["task_instances"] == {"success": 4}


def test_old_failures_left_alone_give_exit_1_and_name_the_repair(tailrace: Run, project: Path) -> None:
    assert tailrace("backfill", "etl", "-s", "2024-01-01").returncode == 1
    (project / "mended").touch()
    again = tailrace("backfill", "etl", "-s", "2024-01-01")
    assert again.returncode == 1
    assert "--reprocess failed" in again.stdout


def test_nothing_to_do_is_exit_0(tailrace: Run, project: Path) -> None:
    (project / "mended").touch()
    assert tailrace("backfill", "etl", "-s", "2024-01-01").returncode == 0
    again = tailrace("backfill", "etl", "-s", "2024-01-01", "-o", "json")
    assert answer(again)["state"] == "success"


def test_lists_and_shows(tailrace: Run, project: Path) -> None:
    tailrace("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-02")
    [backfill] = answer(tailrace("backfill", "list", "-o", "json"))
    assert (backfill["backfill_id"], backfill["dag_id"], backfill["state"]) == (1, "etl", "failed")
    shown = answer(tailrace("backfill", "show", "1", "-o", "json"))
    assert shown["runs"] == {"failed": 2}
    runs = answer(tailrace("runs", "list", "etl", "-o", "json"))
    assert sorted(run["run_id"] for run in runs) == [
        "backfill__2024-01-01T00:00:00+00:00",
        "backfill__2024-01-02T00:00:00+00:00",
    ]
    for reference in ("2024-01-02", "backfill__2024-01-02T00:00:00+00:00"):
        run = answer(tailrace("runs", "show", "etl", reference, "-o", "json"))
        assert run["state"] == "failed"
        by_task = {ti["task_id"]: ti for ti in run["task_instances"]}
        assert set(by_task["load"]) >= {"task_id", "map_index", "state", "try_number", "start", "end", "reason"}
        assert (by_task["extract"]["state"], by_task["load"]["state"]) == ("success", "failed")
    [stats] = answer(tailrace("dags", "stats", "-o", "json"))
    assert stats["dag_id"] == "etl" and stats["runs"] == {"failed": 2}
    for words in (
        ("backfill", "list"),
        ("runs", "list", "etl"),
        ("runs", "show", "etl", "2024-01-01"),
        ("dags", "stats"),
    ):
        table = tailrace(*words)
        assert table.returncode == 0 and "etl" in table.stdout + table.stderr


def test_logs_of_a_try(tailrace: Run, project: Path) -> None:
    tailrace("backfill", "etl", "-s", "2024-01-01")
    tailrace("backfill", "etl", "-s", "2024-01-01", "--reprocess", "failed")
    newest = tailrace("tasks", "logs", "etl", "load", "2024-01-01")
    assert newest.returncode == 0 and "looking for mended" in newest.stdout
    assert tailrace("tasks", "logs", "etl", "load", "2024-01-01", "--try", "1").returncode == 0
    missing = tailrace("tasks", "logs", "etl", "load", "2024-01-01", "--try", "9")
    assert missing.returncode == 2 and "try 9" in missing.stderr


HOURLY = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("hourly", schedule="@hourly", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="say", bash_command="echo {{ ts }}")
"""


def test_a_date_names_the_run_of_that_day(tailrace: Run, project: Path) -> None:
    (project / "dags" / "hourly.py").write_text(HOURLY)
    tailrace("backfill", "hourly", "-s", "2024-01-01T05:00")
    for words in (("runs", "show", "hourly"), ("runs", "explain", "hourly"), ("tasks", "explain", "hourly", "say")):
        assert "backfill__2024-01-01T05:00:00+00:00" in tailrace(*words, "2024-01-01").stdout, words
    assert "2024-01-01T05:00" in tailrace("tasks", "logs", "hourly", "say", "2024-01-01").stdout
    cleared = answer(tailrace("runs", "clear", "hourly", "2024-01-01", "-n", "-o", "json"))
    assert [run["run_id"] for run in cleared["runs"]] == ["backfill__2024-01-01T05:00:00+00:00"]
    tailrace("backfill", "hourly", "-s", "2024-01-01")
    for words in (("tasks", "logs", "hourly", "say", "2024-01-01"), ("runs", "clear", "hourly", "2024-01-01", "-n")):
        several = tailrace(*words)
        assert (several.returncode, several.stdout, several.stderr.count("\n")) == (2, "", 1)
        assert "2024-01-01 is the day of several runs of hourly" in several.stderr
        assert "backfill__2024-01-01T00:00:00+00:00" in several.stderr
    assert "2024-01-01T07:00" in tailrace("tasks", "logs", "hourly", "say", "2024-01-01T07:00").stdout


def test_test_mode_writes_no_state(tailrace: Run, project: Path) -> None:
    done = tailrace("tasks", "test", "etl", "extract", "2024-01-03")
    assert done.returncode == 0, done.stderr
    assert "extracting 2024-01-03" in done.stdout + done.stderr
    failed = tailrace("tasks", "test", "etl", "load", "2024-01-03")
    assert failed.returncode == 1
    assert not (project / ".tailrace" / "tailrace.db").exists()


def test_dags_list_show_and_check(tailrace: Run, project: Path) -> None:
    [dag] = answer(tailrace("dags", "list", "-o", "json"))
    assert (dag["dag_id"], dag["task_count"]) == ("etl", 2)
    tree = tailrace("dags", "show", "etl").stdout.splitlines()
    assert tree[-2:] == ["extract  BashOperator", "└─ load  BashOperator"]
    assert tailrace("dags", "check").returncode == 0
    (project / "dags" / "broken.py").write_text("import nothing_of_that_name\n")
    (project / "dags" / "cycle.py").write_text(
        "from tailrace import DAG, EmptyOperator\n"
        "with DAG('round'):\n"
        "    a = EmptyOperator(task_id='a', trigger_rule='sometimes')\n"
        "    b = EmptyOperator(task_id='b')\n"
        "    a >> b >> a\n"
    )
    checked = tailrace("dags", "check", "-o", "json")
    mistakes = answer(checked, code=2)["mistakes"]
    assert any(m["file"].endswith("broken.py") and m["line"] == 1 for m in mistakes)
    messages = " ".join(m["message"] for m in mistakes if m["file"].endswith("cycle.py"))
    assert "sometimes" in messages and "cycle" in messages
    assert answer(checked, code=2)["dags"] == ["etl"]
    assert [each["task_id"] for each in answer(tailrace("tasks", "list", "etl", "-o", "json"))] == ["extract", "load"]


def test_what_dag_files_print_is_no_part_of_the_output(tailrace: Run, project: Path) -> None:
    with (project / "dags" / "etl.py").open("a") as file:
        file.write("print('loading'); import os; os.system('echo a child')\n")
    for words in (("dags", "list"), ("dags", "show", "etl"), ("dags", "check"), ("tasks", "list", "etl")):
        done = tailrace(*words, "-o", "json")
        answer(done)
        assert "loading" in done.stderr and "a child" in done.stderr
    done = tailrace("backfill", "etl", "-s", "2024-01-01", "-o", "json")
    assert answer(done, code=1)["state"] == "failed"


def test_any_encoding_of_stdout_will_do(tailrace: Run, project: Path) -> None:
    (project / "dags" / "etl.py").write_text(
        "from tailrace import DAG, EmptyOperator\n"
        "with DAG('etl', description='Größe →'):\n"
        "    EmptyOperator(task_id='a')\n"
    )
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    assert answer(tailrace("dags", "list", "-o", "json", **ascii_only))[0]["description"] == "Größe →"
    shown = tailrace("dags", "show", "etl", **ascii_only)
    assert shown.returncode == 0 and "Gr??e ?" in shown.stdout


def test_pausing(tailrace: Run, project: Path) -> None:
    (project / "mended").touch()
    unknown = tailrace("dags", "pause", "elt")
    assert unknown.returncode == 2 and "did you mean etl?" in unknown.stderr
    assert tailrace("dags", "pause", "etl").returncode == 0, "before its first run"
    assert answer(tailrace("dags", "stats", "-o", "json"))[0]["paused"] is True
    assert tailrace("dags", "unpause", "etl").returncode == 0
    assert tailrace("backfill", "etl", "-s", "2024-01-01").returncode == 0
    assert tailrace("dags", "pause", "etl").returncode == 0
    assert answer(tailrace("dags", "stats", "-o", "json"))[0]["paused"] is True
    done = tailrace("backfill", "etl", "-s", "2024-01-02")
    assert done.returncode == 0 and "paused" in done.stderr
    assert tailrace("dags", "unpause", "etl").returncode == 0
    assert answer(tailrace("dags", "stats", "-o", "json"))[0]["paused"] is False


def test_pools(tailrace: Run, project: Path) -> None:
    assert tailrace("pools", "set", "small", "2", "--description", "few at once").returncode == 0
    pools = {pool["name"]: pool for pool in answer(tailrace("pools", "list", "-o", "json"))}
    assert pools["default_pool"]["slots"] == 128
    assert pools["small"]["slots"] == 2
    assert tailrace("pools", "delete", "small").returncode == 0
    assert tailrace("pools", "delete", "small").returncode == 2
    assert tailrace("pools", "delete", "default_pool").returncode == 2


def test_db_migrate_and_check(tailrace: Run, tmp_path: Path) -> None:
    missing = tailrace("db", "check")
    assert missing.returncode == 4
    assert not (tmp_path / ".tailrace").exists()
    assert tailrace("db", "migrate").returncode == 0
    assert answer(tailrace("db", "check", "-o", "json"))["ok"] is True


def test_progress_is_plain_and_on_stderr_without_a_terminal(tailrace: Run, project: Path) -> None:
    (project / "mended").touch()
    done = tailrace("backfill", "etl", "-s", "2024-01-01")
    assert "\x1b" not in done.stdout + done.stderr
    assert "backfill 1 of etl created: 1 date" in done.stderr
    assert "metastore" in done.stderr
    assert done.stdout.startswith("backfill 1 of etl: success in ")
    quiet = tailrace("backfill", "etl", "-s", "2024-01-02", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.parametrize("streams", ["> /dev/null 2>&1", "2>&1 > /dev/null | cat", "> out 2>&1", "> /dev/null 2> err"])
def test_streams_may_lead_anywhere(tailrace: Run, project: Path, streams: str) -> None:
    """Loading the DAG files sends their stdout to our stderr: whatever kinds of file the two are, it must work."""
    (project / "mended").touch()
    typed = f"set -o pipefail; {sys.executable} -m tailrace backfill etl -s 2024-01-01 -e 2024-01-02 {streams}"
    done = subprocess.run(["bash", "-c", typed], cwd=project, env=clean_environment(), capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_reader_of_progress_who_leaves_does_not_stop_the_work(tailrace: Run, project: Path) -> None:
    (project / "mended").touch()
    typed = f"{sys.executable} -m tailrace backfill etl -s 2024-01-01 -e 2024-01-31 -v 2>&1 >answer -o json | head -1"
    done = subprocess.run(["bash", "-c", typed], cwd=project, env=clean_environment(), capture_output=True, text=True)
    assert done.stdout.startswith("backfill 1 of etl created")
    assert json.loads((project / "answer").read_text())["runs"] == {"success": 31}


def test_verbose_shows_the_decisions(tailrace: Run, project: Path) -> None:
    (project / "mended").touch()
    said = tailrace("backfill", "etl", "-s", "2024-01-01", "-v").stderr
    shown = "<TaskInstance: etl.load backfill__2024-01-01T00:00:00+00:00 [none]>"
    assert f"Dependencies not met for {shown}, dependency 'Trigger Rule' FAILED: " in said
    assert f"Dependencies all met for {shown}" in said
    assert f"{shown} dependency 'Trigger Rule' PASSED: True, " in said
    lines = [line for line in said.splitlines() if "Dependencies" in line]
    assert len(lines) == len(set(lines))


def test_demo(tailrace: Run, tmp_path: Path) -> None:
    done = tailrace("demo")
    assert done.returncode == 0, done.stderr
    assert "31 runs (31 success)" in done.stdout
    assert "2012-01-31" in done.stdout and "7-day" in done.stdout
    assert "what to look at next:" in done.stdout
    for line in done.stdout.splitlines():
        if line.startswith("  tailrace ") and not line.startswith(("  tailrace backfill", "  tailrace demo")):
            words = line.split("   ")[0].split()
            assert tailrace(*words[1:]).returncode == 0, line
    again = tailrace("demo", "-o", "json")
    assert answer(again)["runs"] == {"success": 31}
