"""Whose command it was, wherever a person looks: in lists, in explanations, and as JSON."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Run

DAGS = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("etl", schedule="@daily", start_date=datetime(2024, 1, 1)):
    load = BashOperator(task_id="load", bash_command="[ {{ ds }} != 2024-01-02 ]")
    load >> BashOperator(task_id="report", bash_command="true")
"""
HOST = socket.gethostname()
ANA, BO = f"ana@{HOST}", f"bo@{HOST}"
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "etl.py").write_text(DAGS)
    return tmp_path


def by(tailrace: Run, person: str, *words: str, code: int = 0) -> str:
    """What a person's command prints; it is theirs as if they had typed it under sudo."""
    done = tailrace(*words, SUDO_USER=person)
    assert done.returncode == code, done.stderr
    return done.stdout


def asked(tailrace: Run, *words: str) -> Any:
    return json.loads(by(tailrace, "reader", *words, "-o", "json"))


def told(command: dict[str, Any]) -> tuple[str, str, bool]:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", command["at"])
    return command["what"], command["by"], command["stands"]


def test_lists_and_explanations_say_whose_command_it_was(tailrace: Run) -> None:
    by(tailrace, "ana", "backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-02", code=1)
    by(tailrace, "bo", "tasks", "mark", "etl", "load", "2024-01-02", "--state", "success", "-y")
    by(tailrace, "bo", "runs", "mark", "etl", "2024-01-01", "--state", "failed", "-y")
    marked = rf"marked failed by {BO} at {MOMENT}"
    for words in (("runs", "list"), ("runs", "show", "etl", "2024-01-01"), ("runs", "explain", "etl", "2024-01-01")):
        assert re.search(marked, by(tailrace, "reader", *words)), words
    marked = rf"marked success by {BO} at {MOMENT}"
    for words in (
        ("runs", "show", "etl", "2024-01-02"),
        ("tasks", "explain", "etl", "load", "2024-01-02"),
        ("tasks", "list", "etl", "--task", "load"),
    ):
        assert re.search(marked, by(tailrace, "reader", *words)), words
    log = tailrace("tasks", "logs", "etl", "load", "2024-01-02")
    assert re.search(rf"after this try load of \S+ was {marked}", log.stderr) and "--- failed after" in log.stdout
    shown = asked(tailrace, "runs", "show", "etl", "2024-01-01")
    assert told(shown["last_command"]) == ("marked failed", BO, True)
    assert told(asked(tailrace, "runs", "explain", "etl", "2024-01-01")["last_command"])[1] == BO
    explained = asked(tailrace, "tasks", "explain", "etl", "load", "2024-01-02")
    assert told(explained["last_command"]) == ("marked success", BO, True)
    instances = asked(tailrace, "tasks", "list", "etl", "--task", "load")
    assert [told(each["last_command"]) if each["last_command"] else None for each in instances] == [
        ("marked success", BO, True),
        None,
    ]


def test_what_was_cleared_says_by_whom_until_it_has_run_again(tailrace: Run) -> None:
    by(tailrace, "ana", "backfill", "etl", "-s", "2024-01-01")
    by(tailrace, "bo", "tasks", "clear", "etl", "report", "2024-01-01", "-y")
    assert re.search(
        rf"report +none .* cleared by {BO} at {MOMENT}", by(tailrace, "reader", "runs", "show", "etl", "2024-01-01")
    )
    by(tailrace, "ana", "backfill", "etl", "-s", "2024-01-01")
    assert "cleared by" not in by(tailrace, "reader", "tasks", "list", "etl", "--task", "report")
    [report] = asked(tailrace, "tasks", "list", "etl", "--task", "report")
    assert told(report["last_command"]) == ("cleared", BO, False)


def test_backfills_and_jobs_say_who_began_and_ended_them(tailrace: Run) -> None:
    by(tailrace, "ana", "backfill", "etl", "-s", "2024-01-01", "--detach")
    by(tailrace, "bo", "backfill", "pause", "1")
    assert re.search(rf"paused by {BO} at {MOMENT}", by(tailrace, "reader", "backfill", "list"))
    paused = tailrace("backfill", "etl", "-s", "2024-01-01", SUDO_USER="ana")
    assert (paused.returncode, bool(re.search(rf"paused by {BO} at {MOMENT}", paused.stdout))) == (6, True), paused
    by(tailrace, "bo", "backfill", "cancel", "1", "-y")
    text = by(tailrace, "reader", "backfill", "show")
    assert re.search(rf"created by {ANA} at {MOMENT}\n +cancelled by {BO} at {MOMENT}", text), text
    [line] = asked(tailrace, "backfill", "list")
    assert (told(line["created_by"])[1], told(line["last_command"])) == (ANA, ("cancelled", BO, True))
    by(tailrace, "bo", "backfill", "etl", "-s", "2024-01-01")
    assert asked(tailrace, "jobs", "list")[0]["started_by"] == BO
    assert re.search(rf"started by .*\n.* {BO}", by(tailrace, "reader", "jobs", "list"))


def test_dags_and_pools_say_who_changed_them(tailrace: Run) -> None:
    by(tailrace, "ana", "backfill", "etl", "-s", "2024-01-01")
    by(tailrace, "bo", "dags", "pause", "etl")
    for words in (("dags", "list"), ("dags", "show", "etl"), ("dags", "stats")):
        assert re.search(rf"paused by {BO} at {MOMENT}", by(tailrace, "reader", *words)), words
    shown = asked(tailrace, "dags", "show", "etl")
    assert (shown["paused"], told(shown["last_pause"])[:2]) == (True, ("paused", BO))
    by(tailrace, "ana", "dags", "unpause", "etl")
    [listed] = asked(tailrace, "dags", "list")
    assert (listed["paused"], told(listed["last_pause"])[:2]) == (False, ("resumed", ANA))
    assert "paused by" not in by(tailrace, "reader", "dags", "list")
    assert re.search(rf"^resumed by {ANA} at {MOMENT}$", by(tailrace, "reader", "dags", "show", "etl"), re.MULTILINE)
    by(tailrace, "bo", "pools", "set", "small", "3")
    assert re.search(rf"small .* created by {BO} at {MOMENT}", by(tailrace, "reader", "pools", "list"))
    pools = {each["name"]: each["last_command"]["by"] for each in asked(tailrace, "pools", "list")}
    assert pools == {"default_pool": ANA, "small": BO}


def test_a_triggered_run_says_by_whom(tailrace: Run) -> None:
    by(tailrace, "ana", "dags", "trigger", "etl", "--logical-date", "2024-01-05", "--run-id", "again")
    text = by(tailrace, "reader", "runs", "show", "etl", "again")
    assert re.search(rf"^triggered by {ANA} at {MOMENT}$", text, re.MULTILINE) and "by a person" not in text


def test_a_log_that_is_not_there_says_who_marked_its_task(tailrace: Run) -> None:
    by(tailrace, "ana", "dags", "trigger", "etl", "--logical-date", "2024-01-05")
    by(tailrace, "bo", "runs", "mark", "etl", "2024-01-05", "--state", "success", "-y")
    done = tailrace("tasks", "logs", "etl", "load", "2024-01-05")
    assert re.search(rf"it was marked, not run \(marked success by {BO} at {MOMENT}\)", done.stderr), done.stderr


def test_a_person_with_an_odd_name_is_one_line_everywhere(tailrace: Run) -> None:
    odd = "an\x1b[2Ja\n\udcff\u202e" + "x" * 500
    by(tailrace, odd, "backfill", "etl", "-s", "2024-01-01")
    by(tailrace, odd, "dags", "pause", "etl")
    for words in (("dags", "list"), ("backfill", "show"), ("jobs", "list"), ("pools", "list")):
        done = tailrace(*words)
        assert r"an\x1b[2Ja\n\udcff\u202ex" in done.stdout and "\x1b" not in done.stdout, words
    assert asked(tailrace, "jobs", "list")[0]["started_by"].startswith("an\\x1b")
