"""Shell completion: commands, options, choices, and DAG ids without running a DAG file."""

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from tailrace.cli.main import tailrace


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text('raise SystemExit\nDAG("sales_daily")\nDAG("sales_weekly")\n')
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
