"""What ``ti.xcom_pull`` and ``xcom_push`` answer, as an Airflow author knows them."""

import copy
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any

import pytest

from tailrace.authoring.operators.shipped import EmptyOperator
from tailrace.errors import XComUnreadable
from tailrace.execution.xcoms.jsonable import NotJson
from tailrace.model.tagged_values import Tagged
from tests.unit.execution.builders import DAY, context_of, dag

STORED: list[list[Any]] = [["a", -1, 1], ["m", 0, "x"], ["m", 1, "y"], ["z", -1, None]]


def ti(stored: list[list[Any]] = STORED) -> Any:
    def pull(
        dag_id: str, run_id: str, task_ids: tuple[str, ...], key: str, map_index: int | None, until: Any = None
    ) -> list[Any]:
        found = [row for row in stored if not task_ids or row[0] in task_ids]
        return [row for row in found if map_index is None or row[1] == map_index]

    with dag():
        return context_of(EmptyOperator(task_id="me"), pull)["ti"]


def test_one_task_gives_one_value() -> None:
    assert ti().xcom_pull("a") == 1
    assert ti().xcom_pull(task_ids="absent") is None
    assert ti().xcom_pull("absent", default=0) == 0


def test_several_tasks_give_a_list_in_their_order() -> None:
    assert ti().xcom_pull(["z", "absent", "a"]) == [None, None, 1]


def test_a_mapped_task_gives_the_list_of_its_indexes() -> None:
    assert ti().xcom_pull("m") == ["x", "y"]
    assert ti().xcom_pull("m", map_indexes=1) == "y"


def test_without_a_task_the_last_one_in_topological_order_counts() -> None:
    assert ti(STORED[:3]).xcom_pull() == ["x", "y"]
    assert ti(STORED[:1]).xcom_pull() == 1
    assert ti([]).xcom_pull(default="none") == "none"


def test_what_a_task_pushed_it_can_pull() -> None:
    mine = ti()
    mine.xcom_push("k", (1, 2))
    assert mine.xcom_pull("me", key="k") == (1, 2)
    assert mine.pushed == {"k": Tagged({"$": "tuple", "of": [1, 2]})}


def test_what_it_pushed_is_kept_as_it_was() -> None:
    mine, rows = ti(), [1]
    mine.xcom_push("k", rows)
    rows.append(2)
    mine.xcom_pull("me", key="k").append(3)
    assert mine.xcom_pull("me", key="k") == [1]


def test_only_json_is_pushed() -> None:
    with pytest.raises(NotJson, match="the XCom 'k' of me must be JSON"):
        ti().xcom_push("k", object())


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (1, TypeError, "xcom_push: key must be text, not 1"),
        (None, TypeError, "xcom_push: key must be text, not None"),
        ("a\0b", ValueError, "xcom_push: key must be text that can be stored, not 'a\\x00b'"),
        ("\udcff", ValueError, "xcom_push: key must be text that can be stored, not '\\udcff'"),
        ("k" * 513, ValueError, "xcom_push: key must be at most 512 characters long, not 513"),
    ],
)
def test_only_text_is_a_key(key: Any, error: type[Exception], words: str) -> None:
    mine = ti()
    with pytest.raises(error) as refused:
        mine.xcom_push(key, 1)
    assert str(refused.value) == words
    assert mine.pushed == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"task_ids": 5}, "task_ids must be a task id, or several, not 5"),
        ({"task_ids": [5, None]}, "task_ids must be text, not 5"),
        ({"task_ids": [{"a": 1}]}, "task_ids must be text, not {'a': 1}"),
        ({"task_ids": b"a"}, "task_ids must be text, not 97"),
        ({"task_ids": ["a\0"]}, "task_ids must be text that can be stored, not 'a\\x00'"),
        ({"task_ids": "\udcff"}, "task_ids must be text that can be stored, not '\\udcff'"),
        ({"key": 5}, "key must be text, not 5"),
        ({"key": None}, "key must be text, not None"),
        ({"key": ["a"]}, "key must be text, not ['a']"),
        ({"key": "a\0"}, "key must be text that can be stored, not 'a\\x00'"),
        ({"dag_id": 0}, "dag_id must be text, not 0"),
        ({"run_id": ["a"]}, "run_id must be text, not ['a']"),
        ({"run_id": 10**40}, f"run_id must be text, not {10**40}"),
        ({"map_indexes": 10**40}, "map_indexes is no index that a task instance can have"),
        ({"map_indexes": -2}, "map_indexes is no index that a task instance can have"),
        ({"map_indexes": True}, "map_indexes must be one index, a whole number, not True"),
        ({"map_indexes": "0"}, "map_indexes must be one index, a whole number, not '0'"),
        ({"map_indexes": [0]}, "map_indexes must be one index, a whole number, not [0]"),
    ],
)
def test_what_cannot_be_pulled_is_reported(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        ti().xcom_pull(**{"task_ids": "a", **arguments})
    assert str(refused.value) == f"xcom_pull: {words}"


def test_several_are_any_texts_that_can_be_iterated_and_none_are_none() -> None:
    assert ti().xcom_pull(iter(["a", "a"])) == [1, 1]
    assert ti().xcom_pull({"a": 0}.keys()) == [1]
    assert ti().xcom_pull([]) == []
    assert ti().xcom_pull("a", dag_id="", run_id="") == 1  # asked as given: here whoever answers has it


def test_a_process_that_the_task_forked_neither_pushes_nor_pulls() -> None:
    mine = ti()
    pid = os.fork()
    if pid == 0:
        refused = 0
        for do in (lambda: mine.xcom_push("k", 1), lambda: mine.xcom_pull("a")):
            try:
                do()
            except RuntimeError as no:
                refused += "in the task's own process" in str(no)
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_a_copy_of_a_context_has_the_same_ti() -> None:
    mine = ti()
    assert copy.deepcopy({"ti": mine})["ti"] is mine and copy.copy(mine) is mine
    with pytest.raises(TypeError, match="ti cannot be sent to another"):
        pickle.dumps(mine)


def test_once_it_is_over_nothing_is_pushed_into_the_void() -> None:
    mine = ti()
    mine.xcom_push("k", 1)
    assert mine.all_pushed() == {"k": 1}
    for late in (lambda: mine.xcom_push("k", 2), lambda: mine.xcom_pull("a")):
        with pytest.raises(RuntimeError, match="until the try ends, and this one has ended"):
            late()
    assert mine.all_pushed() == {"k": 1}


def test_pushes_of_many_threads_all_land() -> None:
    mine = ti()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: mine.xcom_push(f"k{n}", n), range(500)))
    assert mine.all_pushed() == {f"k{n}": n for n in range(500)}


def test_prior_dates_are_asked_for_up_to_its_own() -> None:
    asked: list[Any] = []

    def pull(*query: Any) -> list[Any]:
        asked.append(query)
        return [["a", -1, 1], ["me", -1, "earlier"]]

    with dag():
        mine = context_of(EmptyOperator(task_id="me"), pull)["ti"]
    assert mine.xcom_pull("a", include_prior_dates=True) == 1
    assert asked == [("example", mine.run_id, ("a",), "return_value", None, DAY)] and type(asked[0][-1]) is datetime
    assert mine.xcom_pull("me", key="k", include_prior_dates=True) == "earlier"
    mine.xcom_push("k", "now")
    assert mine.xcom_pull("me", key="k", include_prior_dates=True) == "now"
    mine.xcom_pull("a")
    assert len(asked[-1]) == 5


def test_what_a_task_instance_says_of_itself() -> None:
    with dag():
        task = EmptyOperator(task_id="me", pool="small", priority_weight=3)
    context = context_of(task)
    mine, run = context["ti"], context["dag_run"]
    assert (mine.task, mine.operator, mine.pool, mine.priority_weight) == (task, "EmptyOperator", "small", 3)
    assert mine.get_dagrun() is run is mine.dag_run
    assert (run.state, run.get_state(), run.execution_date, run.end_date) == ("running", "running", DAY, None)
    assert (mine.try_number, mine.max_tries, mine.prev_attempted_tries, mine.map_index) == (2, 3, 1, -1)
    assert (mine.current_state(), mine.end_date, mine.duration, mine.pid) == ("running", None, None, os.getpid())
    assert mine.log_url.startswith("file:///") and mine.log_url.endswith("/me.2.log")
    assert context["logical_date"] == DAY == context["data_interval_start"]


def test_what_another_task_pushed_is_made_again() -> None:
    stored = [["a", -1, Tagged({"$": "date", "of": "2024-01-31"})], ["m", 0, 1], ["m", 1, Tagged({"$": "of tomorrow"})]]
    assert ti(stored).xcom_pull("a") == date(2024, 1, 31)
    assert ti(stored).xcom_pull("m", map_indexes=0) == 1
    with pytest.raises(XComUnreadable, match=r"^the XCom 'return_value' of m\[1\] is stored as what cannot be read"):
        ti(stored).xcom_pull("m")


def test_what_is_refused_names_the_line_that_pushes_it() -> None:
    mine = ti()
    with pytest.raises(NotJson) as refused:
        mine.xcom_push("k", {1: 2})
    line = refused.traceback[0].lineno + 1
    assert f": the key 1 is int, not text ({os.path.relpath(__file__)}:{line}); " in str(refused.value)
