"""Completion and the choice of a bundled example read the text of DAG files, never their code."""

from pathlib import Path

import pytest

from tailrace.authoring.loading.load import bundled_examples_path
from tailrace.errors import AuthoringError, CommandError
from tailrace.runtime.settings import Settings, load_settings
from tailrace.service.dag_names import dag_names_in
from tailrace.service.dagfiles import bundled_file, load, load_one

TEXT = """
raise SystemExit("completion must not run me")
with DAG("one"): ...
with DAG(
    dag_id='two.x',
): ...
first = models.DAG(  "three-y", schedule=None)
@dag(schedule="@daily")
def four():
    ...
"""


def settings(folder: Path, **options: object) -> Settings:
    return load_settings(options, environ={}, cwd=folder)


def test_dag_names_in_the_text_of_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text(TEXT)
    (tmp_path / "b.py").write_text('DAG("five")')
    (tmp_path / "c.txt").write_text('DAG("six")')
    assert dag_names_in(tmp_path) == {"one", "two.x", "three-y", "four", "five"}
    assert dag_names_in(tmp_path / "b.py") == {"five"}
    assert dag_names_in(tmp_path / "nowhere") == set()


def test_bundled_example_is_taken_only_when_named_and_not_ones_own(tmp_path: Path) -> None:
    example = bundled_examples_path() / "example_weather.py"
    assert bundled_file("example_weather", settings(tmp_path)) == example
    assert bundled_file("my_dag", settings(tmp_path)) is None
    assert bundled_file("../examples/example_weather", settings(tmp_path)) is None
    assert bundled_file("example_weather", settings(tmp_path, dags=tmp_path)) is None
    (tmp_path / "dags").mkdir()
    assert bundled_file("example_weather", settings(tmp_path)) == example
    (tmp_path / "dags" / "mine.py").write_text('DAG("example_weather")')
    assert bundled_file("example_weather", settings(tmp_path)) is None


def test_default_folder_may_be_missing_but_a_named_one_may_not(tmp_path: Path) -> None:
    assert load(settings(tmp_path), print) is None
    with pytest.raises(CommandError, match="gone does not exist .option --dags."):
        load(settings(tmp_path, dags=Path("gone")), print)


def test_loading_one_dag_reports_its_own_mistakes_or_the_nearest_names(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "good.py").write_text(
        "from tailrace import DAG, EmptyOperator\nwith DAG('good'):\n    EmptyOperator(task_id='a')\n"
    )
    (tmp_path / "dags" / "bad.py").write_text(
        "from tailrace import DAG, EmptyOperator\n"
        "with DAG('bad'):\n    EmptyOperator(task_id='a', trigger_rule='sometimes')\n"
    )
    where = settings(tmp_path)
    spec, path = load_one("good", where, print)
    assert (spec.dag_id, path) == ("good", where.dags)
    with pytest.raises(CommandError, match="no DAG 'goood' in .*; did you mean good\\?"):
        load_one("goood", where, print)
    with pytest.raises(AuthoringError, match=r"bad\.py:3: .*sometimes"):
        load_one("bad", where, print)
