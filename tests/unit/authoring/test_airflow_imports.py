"""A file that was written for Airflow: each of its imports is met with what to write."""

from pathlib import Path

import pytest

from tailrace.authoring.loading.load import load_dags
from tailrace.authoring.mistakes.airflow_imports import NAMED, OTHERWISE


def mistakes(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return [str(each).removeprefix(f"{folder}/") for each in load_dags(folder).mistakes]


def test_each_import_is_said_at_its_line(tmp_path: Path) -> None:
    text = (
        "import os\n"
        "from airflow import DAG\n"
        "from airflow.models import (\n    Variable,\n    BaseOperator as B,\n)\n"
        "from airflow.operators.dummy_operator import DummyOperator\n"
        "from airflow.exceptions import AirflowSkipException\n"
        "def later():\n    from airflow.utils.dates import days_ago\n"
        "from airflow.providers.x.operators.y import YOperator\n"
        "import airflow.utils, json\n"
        "from airflow.a import unheard_of\n"
    )
    assert mistakes(tmp_path, a=text) == [
        "a.py:2: `from airflow import DAG`: write `from tailrace import DAG`",
        "a.py:3: `from airflow.models import BaseOperator`: write `from tailrace import BaseOperator`",
        "a.py:3: `from airflow.models import Variable`: write `from tailrace import Variable`",
        "a.py:7: `from airflow.operators.dummy_operator import DummyOperator`: "
        "write `from tailrace import EmptyOperator`",
        "a.py:8: `from airflow.exceptions import AirflowSkipException`: "
        "write `from tailrace.exceptions import TaskSkipped`",
        "a.py:10: `from airflow.utils.dates import days_ago`: "
        "write the date: a start_date that moves makes other runs each day",
        "a.py:11: `from airflow.providers.x.operators.y import YOperator`: YOperator is not there; "
        "call the library that it wraps in a @task, with Connection.get for what to connect to",
        "a.py:12: `import airflow.utils`: there is no Airflow here; import from tailrace",
        "a.py:13: `from airflow.a import unheard_of`: unheard_of is not there",
    ]


def test_of_a_module_that_it_imports_too(tmp_path: Path) -> None:
    (tmp_path / ".tailraceignore").write_text("other.py\n")
    (tmp_path / "other.py").write_text("\nfrom airflow import DAG\n")
    [found] = [each for each in mistakes(tmp_path, a="import os\nimport other\n") if each.startswith("a.py")]
    assert found == f"a.py:2: `from airflow import DAG`: write `from tailrace import DAG` (in {tmp_path}/other.py:2)"


def test_an_import_that_may_fail_is_none(tmp_path: Path) -> None:
    text = (
        "try:\n    import airflow\nexcept ImportError:\n    pass\nfrom tailrace import DAG\nDAG('a', schedule=None)\n"
    )
    assert mistakes(tmp_path, a=text) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("BashOperater", "tailrace has no 'BashOperater'; did you mean 'BashOperator' or 'BaseOperator'?"),
        ("DummyOperator", "tailrace has no 'DummyOperator'; it is tailrace.EmptyOperator here"),
        ("days_ago", "tailrace has no 'days_ago': write the date: a start_date that moves makes other runs each day"),
        ("xyzzy", "tailrace has no 'xyzzy'"),
    ],
)
def test_a_name_that_tailrace_lacks_is_met_too(tmp_path: Path, name: str, says: str) -> None:
    assert mistakes(tmp_path, a=f"from tailrace import {name}\n") == [f"a.py:1: {says}"]


def test_what_it_says_to_write_can_be_imported() -> None:
    for name, ours in NAMED.items():
        module, _, own = f"tailrace.{ours}".rpartition(".")
        assert own in __import__(module, fromlist=[own]).__all__, name
    assert not NAMED.keys() & OTHERWISE.keys()
