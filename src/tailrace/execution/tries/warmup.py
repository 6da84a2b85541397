"""Runs a no-op through the whole path of a try, in the zygote, before anything is forked. No user code runs.

What Python writes when code runs for the first time (caches in code objects, types and templates) it then writes
once here, into pages every child shares, and not again in each child: about a third of a small task's cost.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from tailrace.authoring.loading.load import LoadedDags
from tailrace.authoring.operators.shipped import EmptyOperator
from tailrace.authoring.templates import rendering
from tailrace.execution.context.task_instance import TaskInstance, build_context
from tailrace.execution.logs import files as logs
from tailrace.execution.logs import log_masking
from tailrace.execution.messages.channel import TaskEnd, encode
from tailrace.execution.messages.task_questions import ask_through
from tailrace.execution.tries import outcome_messages, process
from tailrace.execution.tries.finishing import may_need_finishing
from tailrace.execution.tries.open_files import flush_c_streams
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.permissions import is_shared
from tailrace.secrets import known

_TIMES = 20  # more than the runs after which Python has settled a piece of code

_ORDER = {
    "token": 1,
    "max_tries": 1,
    "run_type": "backfill",
    "run_conf": {},
    "logical_date": "2016-01-01T00:00:00+00:00",
    "started_at": "2016-01-02T00:00:00+00:00",
    "resumed_at": None,
    "reschedules": 0,
    "data_interval": ["2016-01-01T00:00:00+00:00", "2016-01-02T00:00:00+00:00"],
    "run_started_at": None,
    "previous_success": None,
    "timeout_seconds": None,
    "grace_seconds": 5.0,
    "again": False,
}


def warm_up(loaded: LoadedDags) -> None:
    """Compile every template of the loaded DAGs, and run an empty task of each kind of order some times."""
    for dag in loaded.dags.values():
        for task in dag.task_dict.values():
            rendering.prepare(task)
    first = next(iter(loaded.dags.values()), None)
    if first is None or not first.task_dict:
        return
    empty = EmptyOperator.__new__(EmptyOperator)  # of no DAG: it must not appear in one
    empty.task_id, empty.do_xcom_push = next(iter(first.task_dict)), True
    ours, theirs = socket.socketpair()
    end = TaskEnd(theirs)
    for _ in range(_TIMES):
        with suppress(Exception):  # what cannot be warmed up is done for the first time in the child
            _run(loaded, first, empty, ours, end)
    ask_through(None)
    ours.close()
    theirs.close()


def _run(loaded: LoadedDags, dag: Any, task: EmptyOperator, worker: socket.socket, end: TaskEnd) -> None:
    named = {"dag_id": dag.dag_id, "run_id": "warmup", "task_id": task.task_id, "map_index": -1, "try_number": 1}
    worker.sendall(encode({"key": named, **_ORDER}))
    order = end.receive() or {}
    key = TryKey(TaskInstanceKey(dag.dag_id, "warmup", task.task_id), 1)
    logs.log_path(Path(), key)
    is_shared(os.curdir)
    ask_through(end)
    if not known.patterns():  # else it would put a pipe in the place of this process's output
        log_masking.begin()
        log_masking.renew()
    environment = {name: os.environ.get(name) for name in process.environment_of(key, order, "", "")}
    for name, value in environment.items():
        os.environ[name] = value or ""
        if value is None:
            del os.environ[name]

    def nothing(*query: Any) -> list[Any]:
        return []

    ti = TaskInstance(key, order, nothing)
    context = build_context(dag, order, ti)
    outcome = loaded.spaces[dag.dag_id].run(process.execute, task, context, ti)
    flush_c_streams()
    may_need_finishing()
    logs.write_line("--- success", os.devnull)
    end.report(outcome_messages.with_pushes(outcome, ti))
    worker.recv(1 << 16)
