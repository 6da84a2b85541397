"""The task's own process: waits for the word, runs user code, says how it ended. The only place where user code runs.

It has no database connection; what it needs of other tasks it asks its worker for.
"""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.authoring.loading import LoadedDags
from tailrace.authoring.operator import BaseOperator
from tailrace.authoring.results import Followed
from tailrace.authoring.xcom_args import RETURN_VALUE
from tailrace.errors import TaskFailed, TaskSkipped
from tailrace.execution.channel import LONGEST_MESSAGE, Channel
from tailrace.execution.context import TaskInstance, build_context
from tailrace.execution.jsonable import NotJson
from tailrace.execution.logs import log_path, send_output_to
from tailrace.execution.rendering import render_fields
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind

_OURS = str(Path(__file__).parent.parent) + os.sep
_EXAMPLES = _OURS + "examples" + os.sep
_BACKSTOP_SECONDS = 15


def serve(channel: Channel, loaded: LoadedDags, home: Path, *, serve_again: bool) -> int:
    """Wait for the word and run the try; with ``serve_again``, the next ones too. Answers the exit code."""
    while True:
        order = channel.receive()
        if order is None:
            return 0
        gc.enable()
        outcome = run_try(order, loaded, home, channel)
        try:
            channel.send(outcome)
        except OSError:
            return 0  # the worker is gone; the zygote is about to end this group
        if not serve_again:
            return 0


def run_try(order: Mapping[str, Any], loaded: LoadedDags, home: Path, channel: Channel) -> dict[str, Any]:
    """Run one try with its output in its log file; answers the outcome as a message."""
    named = order["key"]
    ti = TaskInstanceKey(named["dag_id"], named["run_id"], named["task_id"], named["map_index"])
    key = TryKey(ti, named["try_number"])
    try:
        send_output_to(log_path(home, key))
    except OSError as trouble:
        return _message(OutcomeKind.FAILED, f"its log file cannot be written: {trouble}")
    if order["timeout_seconds"] is not None:
        # The worker ends the group at the timeout; should no one be left to do that, the kernel ends this process.
        signal.setitimer(signal.ITIMER_REAL, order["timeout_seconds"] + _BACKSTOP_SECONDS)
    print(f"--- {key}, started {order['started_at']}", flush=True)
    dag = loaded.dags.get(ti.dag_id)
    if dag is None or ti.task_id not in dag.task_dict:
        return _message(OutcomeKind.FAILED, f"{ti.dag_id}.{ti.task_id} is not in the DAG files this process has loaded")
    os.environ.update(environment_of(key, order, home))

    def pull(dag_id: str, run_id: str, task_ids: tuple[str, ...], name: str, map_index: int | None) -> list[Any]:
        query = {"dag_id": dag_id, "run_id": run_id, "task_ids": task_ids, "key": name, "map_index": map_index}
        channel.send({"query": query})
        answer = channel.receive()
        if answer is None:
            raise ConnectionError("the worker of this task is gone")
        values: list[Any] = answer["xcom"]
        return values

    task_instance = TaskInstance(key, order, pull)
    outcome = execute(dag.task_dict[ti.task_id], build_context(dag, order, task_instance), task_instance)
    print(f"--- {outcome['kind']}{': ' + outcome['error'] if outcome['error'] else ''}", flush=True)
    return outcome


def environment_of(key: TryKey, order: Mapping[str, Any], home: Path) -> dict[str, str]:
    """The variables a task finds in its environment."""
    ti = key.task_instance
    return {
        "TAILRACE_HOME": str(home),
        "TAILRACE_DAG_ID": ti.dag_id,
        "TAILRACE_RUN_ID": ti.run_id,
        "TAILRACE_TASK_ID": ti.task_id,
        "TAILRACE_TRY_NUMBER": str(key.try_number),
        "TAILRACE_TRY_TOKEN": try_token(key, order["token"]),
        "TAILRACE_LOGICAL_DATE": order["logical_date"],
    }


def try_token(key: TryKey, token: int) -> str:
    """The token as user code gets it: unique to this claim of this try, so it can serve as an idempotency key."""
    ti = key.task_instance
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}#{token}"


def execute(task: BaseOperator, context: Mapping[str, Any], task_instance: TaskInstance) -> dict[str, Any]:
    """Render the task's templates and run it; whatever it raises becomes an outcome."""
    try:
        render_fields(task, context)
        result = task.execute(context)
    except TaskSkipped as skipped:
        return _message(OutcomeKind.SKIPPED, str(skipped) or "skipped", task_instance)
    except TaskFailed as failed:
        _print_traceback(failed)
        return _message(OutcomeKind.FAILED_FOR_GOOD, str(failed) or "failed for good", task_instance)
    except SystemExit as ended:
        return _message(OutcomeKind.FAILED, f"the task called exit({ended.code!r})", task_instance)
    except BaseException as failed:
        _print_traceback(failed)
        first = f"{type(failed).__name__}: {failed}".strip().splitlines()[0]
        return _message(OutcomeKind.FAILED, first, task_instance)
    return _finished(task, result, task_instance)


def _finished(task: BaseOperator, result: Any, task_instance: TaskInstance) -> dict[str, Any]:
    followed = None
    if isinstance(result, Followed):
        followed, result = result.task_ids, result.value
    if result is not None and task.do_xcom_push:
        try:
            task_instance.xcom_push(RETURN_VALUE, result)
        except NotJson as wrong:
            print(wrong, file=sys.stderr)
            return _message(OutcomeKind.FAILED, str(wrong), task_instance)
    message = _message(OutcomeKind.SUCCESS, "", task_instance, followed)
    size = sum(len(repr(value)) for value in message["xcoms"].values())
    if size > LONGEST_MESSAGE:
        text = (
            f"its XCom values are {size:,} bytes long together; {LONGEST_MESSAGE:,} is the limit: pass a path instead"
        )
        return _message(OutcomeKind.FAILED, text)
    return message


def _message(
    kind: OutcomeKind,
    error: str,
    task_instance: TaskInstance | None = None,
    followed: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    xcoms = {} if task_instance is None else task_instance.pushed
    return {"kind": str(kind), "error": error, "xcoms": xcoms, "followed": followed}


def _print_traceback(failed: BaseException) -> None:
    """The author's frames only: Tailrace's own would hide them."""
    summary = traceback.TracebackException.from_exception(failed)
    own = [
        frame for frame in summary.stack if not frame.filename.startswith(_OURS) or frame.filename.startswith(_EXAMPLES)
    ]
    if own:
        summary.stack = traceback.StackSummary.from_list(own)
    print("".join(summary.format()), file=sys.stderr, end="", flush=True)
