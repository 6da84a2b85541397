"""DAGs that are known by what was loaded: lists that run no code of theirs, and which version they show."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Run

DAGS = """
import pathlib
from datetime import datetime
from tailrace import DAG, EmptyOperator
pathlib.Path("loads").open("a").write("x")
for name in ("one", "two"):
    with DAG(name, schedule="@daily", start_date=datetime(2024, 1, 1)):
        EmptyOperator(task_id="first") >> EmptyOperator(task_id="last")
"""
LISTS = (("dags", "list"), ("dags", "show", "two"), ("tasks", "list", "two"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "both.py").write_text(DAGS)
    return tmp_path


def shown(tailrace: Run, words: tuple[str, ...]) -> tuple[Any, str]:
    done = tailrace(*words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def loads(project: Path) -> int:
    return len((project / "loads").read_text())


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_lists_write_nothing(tailrace: Run, project: Path, words: tuple[str, ...]) -> None:
    shown(tailrace, words)
    assert not (project / ".tailrace").exists()


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
@pytest.mark.parametrize(
    "kept_by",
    [("dags", "pause", "one"), ("dags", "trigger", "one"), ("backfill", "one", "-s", "2024-01-01")],
    ids=" ".join,
)
def test_what_is_kept_is_shown_without_loading(
    tailrace: Run, project: Path, kept_by: tuple[str, ...], words: tuple[str, ...]
) -> None:
    fresh, _ = shown(tailrace, words)
    assert tailrace(*kept_by).returncode == 0
    before = loads(project)
    kept, said = shown(tailrace, words)
    if kept_by[1] == "pause" and words == ("dags", "list"):
        [one] = [each for each in kept if each["dag_id"] == "one"]
        assert (one.pop("paused"), one.pop("next_run"), one.pop("last_pause")["what"]) == (True, None, "paused")
        for name in ("paused", "next_run", "last_pause"):
            fresh[kept.index(one)].pop(name)
    assert (kept, loads(project)) == (fresh, before)
    assert "shown as loaded, the last of them at 20" in said


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_file_that_has_changed_is_loaded_and_reported(tailrace: Run, project: Path, words: tuple[str, ...]) -> None:
    assert tailrace("dags", "pause", "one").returncode == 0
    file = project / "dags" / "both.py"
    file.write_text(DAGS + "# a comment\n")
    before = loads(project)
    _, said = shown(tailrace, words)
    assert (said, loads(project)) == ("", before + 1), "nothing that is shown differs"
    file.write_text(DAGS.replace('"last"', '"another"'))
    now, said = shown(tailrace, words)
    assert "one, two: shown as in the files now, which differ from what was loaded last" in said
    assert words[0] != "tasks" or [each["task_id"] for each in now] == ["first", "another"]


def test_a_file_beside_it_is_loaded_with_it(tailrace: Run, project: Path) -> None:
    assert tailrace("dags", "pause", "one").returncode == 0
    (project / "dags" / "third.py").write_text(DAGS.replace('("one", "two")', '("third",)'))
    listed, _ = shown(tailrace, ("dags", "list"))
    assert [each["dag_id"] for each in listed] == ["one", "third", "two"]


def test_mistakes_in_a_file_are_reported_each_time(tailrace: Run, project: Path) -> None:
    wrong = "with DAG('wrong'):\n    EmptyOperator(task_id='a', trigger_rule='sometimes')\n"
    (project / "dags" / "both.py").write_text(DAGS + wrong)
    assert tailrace("dags", "pause", "one").returncode == 0
    for _ in range(2):
        listed, said = shown(tailrace, ("dags", "list"))
        assert len(listed) == 2 and "sometimes" in said


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_without_the_files_what_was_loaded_is_shown(tailrace: Run, project: Path, words: tuple[str, ...]) -> None:
    assert tailrace("dags", "pause", "one").returncode == 0
    fresh, _ = shown(tailrace, words)
    (project / "dags").rename(project / "gone")
    kept, said = shown(tailrace, words)
    assert kept == fresh and "dags does not exist: shown as loaded" in said


def test_a_dag_is_paused_before_its_first_run_and_then_begins_nothing(tailrace: Run, project: Path) -> None:
    assert tailrace("dags", "pause", "one").returncode == 0
    done = tailrace("scheduler", "--until-idle", "-w", "1")
    assert done.returncode == 0, done.stderr
    listed, _ = shown(tailrace, ("runs", "list"))
    assert {each["dag_id"] for each in listed} == {"two"}


PAUSED = """
from datetime import datetime, timezone
from tailrace import DAG, EmptyOperator
with DAG("new", schedule="@daily", start_date=datetime(2024, 1, 1), is_paused_upon_creation=PAUSED):
    EmptyOperator(task_id="only")
"""


@pytest.mark.parametrize(("itself", "setting"), [("True", "false"), ("None", "true")])
def test_a_new_dag_waits_for_somebody_to_let_it_go(tailrace: Run, tmp_path: Path, itself: str, setting: str) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "new.py").write_text(PAUSED.replace("=PAUSED", f"={itself}"))
    (tmp_path / "tailrace.toml").write_text(f"dags_are_paused_at_creation = {setting}\n")
    assert tailrace("scheduler", "--until-idle").returncode == 0
    assert json.loads(tailrace("runs", "list", "-o", "json").stdout) == []
    done = tailrace("backfill", "new", "-s", "2024-01-01")
    assert done.returncode == 0 and "new is paused: its schedule creates no runs, this backfill runs" in done.stderr
    assert tailrace("dags", "unpause", "new").returncode == 0
    assert tailrace("scheduler", "--until-idle").returncode == 0
    runs = json.loads(tailrace("runs", "list", "-o", "json").stdout)
    assert [run["run_type"] for run in runs] == ["scheduled", "backfill"]


def test_a_scheduler_names_a_dag_that_is_in_no_file_any_more(tailrace: Run, project: Path) -> None:
    assert tailrace("dags", "trigger", "one").returncode == 0
    (project / "dags" / "both.py").write_text(DAGS.replace('("one", "two")', '("two",)'))
    done = tailrace("scheduler", "--until-idle")
    assert done.returncode == 0
    said = "one has open runs and is in no DAG file that loads: they wait until it is again"
    assert done.stderr.count(said) == 1, done.stderr


def test_a_dag_that_left_its_file_is_marked_not_lost(tailrace: Run, project: Path) -> None:
    assert tailrace("backfill", "two", "-s", "2024-01-01").returncode == 0
    (project / "dags" / "both.py").write_text(DAGS.replace('"two"', '"three"'))
    listed, _ = shown(tailrace, ("dags", "list"))
    assert [(each["dag_id"], each["missing"]) for each in listed] == [("one", False), ("three", False), ("two", True)]
    assert [each["next_run"] is None for each in listed] == [False, False, True]
    one, said = shown(tailrace, ("dags", "show", "two"))
    assert len(one["tasks"]) == 2 and "two is in no DAG file any more: shown as it was loaded" in said
    refused = tailrace("backfill", "two", "-s", "2024-01-02")
    assert refused.returncode == 2 and "no DAG 'two'" in refused.stderr
    (project / "dags" / "both.py").unlink()
    assert "no longer in it" in tailrace("dags", "list").stdout
    (project / "dags" / "both.py").write_text("nonsense")
    assert shown(tailrace, ("dags", "list"))[0] == [], "it may be in a file that does not load"


def test_the_versions_of_a_dag_are_listed_and_a_run_names_its_own(tailrace: Run, project: Path) -> None:
    assert tailrace("backfill", "two", "-s", "2024-01-01").returncode == 0
    first, _ = shown(tailrace, ("runs", "show", "two", "2024-01-01"))
    assert first["dag_version"] == {"version": 1, "versions": 1}
    more = DAGS.replace('task_id="last")', 'task_id="last", retries=2) >> EmptyOperator(task_id="end")')
    (project / "dags" / "both.py").write_text(more)
    assert tailrace("backfill", "two", "-s", "2024-01-02").returncode == 0
    versions, _ = shown(tailrace, ("dags", "versions", "two"))
    assert [(each["version"], each["tasks"], each["runs"], each["is_newest"]) for each in versions] == [
        (1, 2, 1, False),
        (2, 3, 1, True),
    ]
    assert versions[1]["changes"] == ["added end", "last: retries"]
    assert (
        "version 1 of 2 of the DAG: `tailrace dags versions two`"
        in tailrace("runs", "show", "two", "2024-01-01").stdout
    )
    assert "added end; last: retries (as loaded last)" in tailrace("dags", "versions", "two").stdout
    assert "never" in tailrace("dags", "versions", "none").stderr
