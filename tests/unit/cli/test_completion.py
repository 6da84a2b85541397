"""Shell completion: commands, options, choices, DAG and task ids without running a DAG file, and what has run."""

from contextlib import closing
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from msgspec.structs import replace

from tailrace.cli.main import tailrace
from tailrace.metastore.store import Metastore
from tailrace.model.spec import GroupSpec
from tests.conformance.worlds import FalseClock, World, dag


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text(
        'raise SystemExit\nDAG("sales_daily")\nDAG("sales_weekly")\nX(task_id="load")\n@task\ndef look(): pass\n'
    )
    (tmp_path / "dags" / "b.py").write_text('DAG("grouped")\nwith TaskGroup("g"):\n    X(task_id="load")\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "incomplete", "found"),
    [
        ([], "ba", {"backfill"}),
        (["dags"], "s", {"show", "stats"}),
        (["backfill"], "sa", {"sales_daily", "sales_weekly"}),
        (["backfill"], "s", {"show", "sales_daily", "sales_weekly"}),
        (["backfill", "run"], "sales_d", {"sales_daily"}),
        (["backfill", "sales_daily"], "--ba", {"--backwards"}),
        (["backfill", "sales_daily", "--reprocess"], "", {"missing", "failed", "all"}),
        (["backfill"], "--isol", {"--isolation"}),
        (["runs", "show"], "sales_w", {"sales_weekly"}),
        (["tasks", "test", "sales_daily"], "lo", {"load", "look"}),
        (["tasks", "test", "sales_daily"], "loa", {"load"}),
        (["tasks", "test", "nosuch"], "lo", set()),
        (["tasks", "list", "sales_daily", "--task"], "lo", {"load", "look"}),
        (["tasks", "list", "sales_daily", "--state"], "fa", {"failed"}),
        (["tasks", "test", "grouped"], "lo", set()),
        (["runs", "show", "sales_daily"], "", set()),
        (["backfill", "show"], "", set()),
        (["zzz"], "ba", {"backfill"}),
        (["dags", "zzz"], "sh", {"show"}),
    ],
)
def test_completion(typed: list[str], incomplete: str, found: set[str]) -> None:
    completer = ShellComplete(tailrace, {}, "tailrace", "_TAILRACE_COMPLETE")
    assert {item.value for item in completer.get_completions(typed, incomplete)} == found


def test_completion_of_a_broken_project_is_silent(project: Path) -> None:
    (project / "tailrace.toml").write_text("nonsense")
    completer = ShellComplete(tailrace, {}, "tailrace", "_TAILRACE_COMPLETE")
    assert completer.get_completions(["runs", "show"], "sa") == []


def test_what_has_run_is_completed(project: Path) -> None:
    """Nothing is made for it, and nothing written."""
    run_ids = {f"backfill__2024-01-0{day}T00:00:00+00:00" for day in (1, 2)}
    with closing(Metastore.open(f"sqlite:///{project}/.tailrace/tailrace.db")) as store:
        world = World(store, FalseClock())
        world.backfill(dag("extract>load"), days=2)
        world.pool("slow", 2)
    completer = ShellComplete(tailrace, {}, "tailrace", "_TAILRACE_COMPLETE")

    def completed(incomplete: str, *typed: str) -> set[str]:
        return {item.value for item in completer.get_completions(list(typed), incomplete)}

    assert completed("", "runs", "show", "dag") == run_ids
    assert completed("back", "runs", "clear", "dag", "2024-01-02") == run_ids
    assert completed("2024-01-02", "tasks", "clear", "dag", "load") == {"2024-01-02"}
    assert completed("2", "xcom", "get", "dag", "load") == {"2024-01-01", "2024-01-02"}
    assert completed("", "tasks", "explain", "dag") == {"extract", "load"}
    assert completed("e", "xcom", "get", "dag") == {"extract"}
    assert completed("", "backfill", "show") == completed("1", "backfill", "cancel") == {"1"}
    assert completed("s", "pools", "set") == completed("s", "backfill", "dag", "--pool") == {"slow"}
    assert sorted(path.name for path in (project / ".tailrace").iterdir()) == ["tailrace.db"]


def test_groups_are_completed_where_they_are_taken(project: Path) -> None:
    spec = replace(dag("a>g.b"), groups=(GroupSpec("g", ("g.b",), tooltip="why"),))
    with closing(Metastore.open(f"sqlite:///{project}/.tailrace/tailrace.db")) as store:
        World(store, FalseClock()).backfill(spec, days=1)
    completer = ShellComplete(tailrace, {}, "tailrace", "_TAILRACE_COMPLETE")
    for words in (["tasks", "clear"], ["tasks", "mark"], ["tasks", "explain"]):
        assert {item.value for item in completer.get_completions([*words, "dag"], "g")} == {"g", "g.b"}
    assert {item.value for item in completer.get_completions(["tasks", "list", "dag", "--task"], "g")} == {"g", "g.b"}
    assert {item.value for item in completer.get_completions(["xcom", "get", "dag"], "g")} == {"g.b"}


def test_completion_over_a_metastore_that_is_none_is_silent(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / ".tailrace").mkdir()
    (project / ".tailrace" / "tailrace.db").write_text("no database" * 100)
    completer = ShellComplete(tailrace, {}, "tailrace", "_TAILRACE_COMPLETE")
    assert completer.get_completions(["runs", "show", "dag"], "") == []
    assert capfd.readouterr() == ("", "")
