"""Runs a no-op through the whole path of a try, in the zygote, before anything is forked. No user code runs.

What Python writes when code runs for the first time (caches in code objects, types and templates) it then writes
once here, into pages every child shares, and not again in each child: about a third of a small task's cost.
"""

import json
import os
from contextlib import suppress
from typing import Any

from tailrace.authoring.loading import LoadedDags
from tailrace.authoring.operators import EmptyOperator
from tailrace.execution import logs, process, rendering
from tailrace.execution.channel import encode
from tailrace.execution.context import TaskInstance, build_context
from tailrace.execution.files import flush_c_streams
from tailrace.execution.finishing import may_need_finishing
from tailrace.model.keys import TaskInstanceKey, TryKey

_TIMES = 20  # more than the runs after which Python has settled a piece of code

_ORDER = {
    "token": 1,
    "max_tries": 1,
    "run_type": "backfill",
    "run_conf": {},
    "logical_date": "2016-01-01T00:00:00+00:00",
    "started_at": "2016-01-02T00:00:00+00:00",
    "data_interval": ["2016-01-01T00:00:00+00:00", "2016-01-02T00:00:00+00:00"],
    "previous_success": None,
    "timeout_seconds": None,
    "grace_seconds": 5.0,
    "again": False,
}


def rehearse(loaded: LoadedDags) -> None:
    """Compile every template of the loaded DAGs, and run an empty task of each kind of order some times."""
    for dag in loaded.dags.values():
        for task in dag.task_dict.values():
            rendering.prepare(task)
    first = next(iter(loaded.dags.values()), None)
    if first is None or not first.task_dict:
        return
    empty = EmptyOperator.__new__(EmptyOperator)  # of no DAG: it must not appear in one
    empty.task_id, empty.do_xcom_push = next(iter(first.task_dict)), True
    for _ in range(_TIMES):
        with suppress(Exception):  # what cannot be rehearsed is done for the first time in the child
            _run(first, empty)


def _run(dag: Any, task: EmptyOperator) -> None:
    order = json.loads(encode(_ORDER))
    key = TryKey(TaskInstanceKey(dag.dag_id, "rehearsal", task.task_id), 1)
    process.environment_of(key, order, "", "")

    def nothing(*query: Any) -> list[Any]:
        return []

    ti = TaskInstance(key, order, nothing)
    outcome = process.with_pushes(process.execute(task, build_context(dag, order, ti), ti), ti)
    flush_c_streams()
    may_need_finishing()
    logs.say("--- success", os.devnull)
    encode(outcome)
