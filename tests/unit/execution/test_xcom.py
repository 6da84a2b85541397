"""What ``ti.xcom_pull`` and ``xcom_push`` answer, as an Airflow author knows them."""

from typing import Any

import pytest

from tailrace.authoring.operators import EmptyOperator
from tailrace.execution.jsonable import NotJson
from tests.unit.execution.builders import context_of, dag

STORED: list[list[Any]] = [["a", -1, 1], ["m", 0, "x"], ["m", 1, "y"], ["z", -1, None]]


def ti(stored: list[list[Any]] = STORED) -> Any:
    def pull(dag_id: str, run_id: str, task_ids: tuple[str, ...], key: str, map_index: int | None) -> list[Any]:
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
    assert mine.xcom_pull("me", key="k") == [1, 2]
    assert mine.pushed == {"k": [1, 2]}


def test_only_json_is_pushed() -> None:
    with pytest.raises(NotJson, match="the XCom 'k' of me must be JSON"):
        ti().xcom_push("k", object())
