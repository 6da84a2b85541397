"""A mapped task with real processes: its tries know their index, and each command takes one instance or all of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Run

#: Authors cannot write a mapped task yet: here the file makes one of what it was compiled into.
DAG_FILE = """
import os
import sys
from datetime import datetime
from msgspec.structs import replace
from tailrace import DAG, PythonOperator
from tailrace.authoring.compiling import dag_specs as compiling
from tailrace.model.spec import XComRef


def make():
    with open("items") as file:
        return file.read().split()


def work(ti):
    item = ti.xcom_pull("make")[ti.map_index]
    print("index", os.environ["TAILRACE_MAP_INDEX"], "has", item)
    if item == "bad":
        raise RuntimeError("a bad item")
    return item.upper()


def gather(ti):
    print("gathered", ti.xcom_pull("work"))


with DAG("mapped", schedule="@daily", start_date=datetime(2024, 1, 1)):
    first = PythonOperator(task_id="make", python_callable=make)
    each = PythonOperator(task_id="work", python_callable=work)
    first >> each >> PythonOperator(task_id="gather", python_callable=gather)

def compile_mapped(*arguments, plainly=compiling.compile_dag):
    spec = plainly(*arguments)
    over = {"work": (XComRef("make"),)}
    return replace(spec, tasks=tuple(replace(task, mapped_over=over.get(task.task_id)) for task in spec.tasks))


for module in list(sys.modules.values()):
    if module.__name__.startswith("tailrace.") and hasattr(module, "compile_dag"):
        module.compile_dag = compile_mapped
"""
RUN = "backfill__2024-01-01T00:00:00+00:00"


@pytest.fixture
def items(tmp_path: Path) -> Callable[[str], None]:
    """Says which items the first task leaves."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "mapped.py").write_text(DAG_FILE)

    def leaves(text: str) -> None:
        (tmp_path / "items").write_text(text)

    return leaves


def states(tailrace: Run) -> dict[str, tuple[str, int]]:
    """State and try number of each task instance, in the order in which they are listed."""
    shown = json.loads(tailrace("runs", "show", "mapped", RUN, "-o", "json").stdout)
    return {f"{ti['task_id']}[{ti['map_index']}]": (ti["state"], ti["try_number"]) for ti in shown["task_instances"]}


def test_each_instance_by_its_index(
    tailrace: Run, backfill: Callable[..., dict[str, Any]], items: Callable[[str], None]
) -> None:
    items("a bad c")
    backfill("mapped", "2024-01-01", "2024-01-01", code=1)
    shown = json.loads(tailrace("backfill", "show", "-o", "json").stdout)
    assert shown["root_failure"]["try_key"]["task_instance"]["map_index"] == 1, shown["root_failure"]
    assert list(states(tailrace)) == ["make[-1]", "work[0]", "work[1]", "work[2]", "gather[-1]"]
    assert "index 1 has bad" in tailrace("tasks", "logs", "mapped", "work", RUN, "--map-index", "1").stdout
    which = tailrace("tasks", "logs", "mapped", "work", RUN)
    assert which.stderr == f"error: work of {RUN} has map indexes 0 to 2: say which with --map-index N\n"
    one = tailrace("tasks", "explain", "mapped", "work", RUN, "--map-index", "1", "-o", "json")
    assert json.loads(one.stdout)["state"] == "failed"
    every = json.loads(tailrace("tasks", "explain", "mapped", "work", RUN, "-o", "json").stdout)
    assert [each["map_index"] for each in every] == [0, 1, 2]

    items("a good c")
    cleared = tailrace("tasks", "clear", "mapped", "make", RUN, "--only", "-y", "-o", "json")
    assert [each["task_id"] for each in json.loads(cleared.stdout)["task_instances"]] == ["make"]
    cleared = tailrace("tasks", "clear", "mapped", "work", RUN, "--map-index", "1", "-y", "-o", "json")
    changed = json.loads(cleared.stdout)["task_instances"]
    assert [(each["task_id"], each["map_index"]) for each in changed] == [("work", 1), ("gather", -1)]
    backfill("mapped", "2024-01-01", "2024-01-01")
    assert states(tailrace)["work[0]"] == ("success", 1) and states(tailrace)["work[1]"] == ("success", 2)
    assert "gathered ['A', 'GOOD', 'C']" in tailrace("tasks", "logs", "mapped", "gather", RUN).stdout


def test_cleared_whole_it_has_as_many_as_there_are_items_then(
    tailrace: Run, backfill: Callable[..., dict[str, Any]], items: Callable[[str], None]
) -> None:
    items("a b c")
    backfill("mapped", "2024-01-01", "2024-01-01")
    items("only")
    assert tailrace("tasks", "clear", "mapped", "make", RUN, "-y").returncode == 0
    backfill("mapped", "2024-01-01", "2024-01-01")
    found = states(tailrace)
    assert found["work[0]"] == ("success", 2)
    assert {found["work[1]"][0], found["work[2]"][0]} == {"removed"}
    assert "gathered ['ONLY']" in tailrace("tasks", "logs", "mapped", "gather", RUN).stdout
    refused = tailrace("tasks", "mark", "mapped", "work", RUN, "--map-index", "2", "--state", "failed", "-y")
    assert (refused.returncode, refused.stderr) == (
        2,
        f"error: work of {RUN} has no map index 2: it has map index 0\n",
    )
    for wrong in ("-2", "x", "2147483648"):
        bad = tailrace("tasks", "clear", "mapped", "work", RUN, "--map-index", wrong, "-y")
        assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and "--map-index" in bad.stderr


def test_each_value_of_a_mapped_task_is_listed_and_got(
    tailrace: Run, backfill: Callable[..., dict[str, Any]], items: Callable[[str], None]
) -> None:
    items("one bad three")
    backfill("mapped", "2024-01-01", "2024-01-01", code=1)

    def got(task_id: str, *options: str) -> Any:
        done = tailrace("xcom", "get", "mapped", task_id, "2024-01-01", "-o", "json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(task_id: str, *options: str) -> str:
        done = tailrace("xcom", "get", "mapped", task_id, "2024-01-01", *options)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        return done.stderr

    listed = json.loads(tailrace("xcom", "list", "mapped", "2024-01-01", "-o", "json").stdout)
    assert [(each["task_id"], each["map_index"]) for each in listed] == [("make", -1), ("work", 0), ("work", 2)]
    table = tailrace("xcom", "list", "mapped", "2024-01-01").stdout
    assert "\nwork[0] " in table and "\nwork[2] " in table
    assert (got("work", "--map-index", "0"), got("work", "--map-index", "2")) == ("ONE", "THREE")
    assert tailrace("xcom", "get", "mapped", "work", "2024-01-01", "--map-index", "2").stdout == "THREE\n"
    assert got("make") == got("make", "--map-index", "-1") == ["one", "bad", "three"]
    assert got("work") == ["ONE", "THREE"], "as xcom_pull gives it"
    said = tailrace("xcom", "get", "mapped", "work", "2024-01-01").stderr
    assert said == "note: not in it, for nothing was recorded: work[1] (failed)\n", "an entry's place is not its index"
    assert "it has return_value[0] and return_value[2]" in refused("work", "--map-index", "1")
    assert "has no map index 7: it has map indexes 0 to 2" in refused("work", "--map-index", "7")
    assert "has no map index -1: it has map indexes 0 to 2" in refused("work", "--map-index", "-1")
    assert "has no map index 0: it has one instance only" in refused("make", "--map-index", "0")
    assert "it has none, and is upstream_failed" in refused("gather")
