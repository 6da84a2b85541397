"""``DAG.test``: what an author calls in a debugger or a test, and what it returns."""

import importlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from msgspec import Struct, field

from tailrace.authoring.relations.xcom_args import RETURN_VALUE
from tailrace.errors import AuthoringError
from tailrace.model.keys import UNMAPPED
from tailrace.secrets.names import SecretKind


class TestedTask(Struct, frozen=True):
    """One task instance of a tested run. ``map_index`` is -1 for a task that is not mapped."""

    __test__ = False  # pytest would take it for a test

    task_id: str
    map_index: int
    state: str
    reason: str
    xcoms: Mapping[str, Any]


class TestedRun(Struct, frozen=True):
    """What became of a run that ``DAG.test`` has made: ``state`` is success, failed or deadlocked."""

    __test__ = False

    dag_id: str
    run_id: str
    logical_date: datetime
    state: str
    reason: str
    task_instances: tuple[TestedTask, ...] = field(default=())

    def get_task_instance(self, task_id: str, map_index: int = UNMAPPED) -> TestedTask:
        """The task instance of this id. Raises KeyError."""
        for each in self.task_instances:
            if (each.task_id, each.map_index) == (task_id, map_index):
                return each
        index = "" if map_index == UNMAPPED else f" with map index {map_index}"
        raise KeyError(f"{self.run_id} has no task {task_id!r}{index}")

    def xcom(self, task_id: str, key: str = RETURN_VALUE, map_index: int = UNMAPPED) -> Any:
        """What the task pushed under ``key``, by default what it returned; None: nothing. Raises KeyError."""
        return self.get_task_instance(task_id, map_index).xcoms.get(key)


class Testable:
    """What can be tested where it is written: a DAG."""

    __test__ = False

    dag_id: str
    being_loaded: ClassVar[bool] = False  # DAG files are, by Tailrace

    def test(
        self,
        logical_date: datetime | str | None = None,
        run_conf: Mapping[str, Any] | None = None,
        *,
        mark_success_pattern: str | None = None,
        variable_file_path: str | None = None,
        conn_file_path: str | None = None,
    ) -> TestedRun:
        """Run the DAG once, here: every task in this process, one after the other, so that breakpoints hold.

        ``logical_date`` is now by default; a naive one is in the DAG's zone. ``run_conf`` is the run's conf. Tasks
        whose id contains a match of ``mark_success_pattern``, a regular expression, succeed without being run. The two
        files are JSON objects of Variables and Connections, which go before all others.

        What the run records is thrown away. A task that fails is not tried again, ``execution_timeout`` and pools
        do not count, and depends_on_past finds no earlier run. Raises AuthoringError for a DAG that is wrong, and
        CommandError for a conf or a date that cannot be.
        """
        if Testable.being_loaded:
            raise AuthoringError(
                f'{self.dag_id}.test() runs as the file is loaded; put it below `if __name__ == "__main__":`'
            )
        tester = importlib.import_module("tailrace.service.dag_test")
        files = {SecretKind.VARIABLE: variable_file_path, SecretKind.CONNECTION: conn_file_path}
        run: TestedRun = tester.run_here(self, logical_date, run_conf, mark_success_pattern, files)
        return run
