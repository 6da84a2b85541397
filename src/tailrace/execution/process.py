"""The task's own process: waits for the word, runs user code, says how it ended. The only place where user code runs.

It has no database connection; what it needs of other tasks it asks its worker for.
"""

import gc
import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeAlias

from tailrace.authoring.loading import LoadedDags
from tailrace.authoring.operator import BaseOperator
from tailrace.authoring.results import Followed
from tailrace.authoring.xcom_args import RETURN_VALUE
from tailrace.errors import RenderingFailed, TaskFailed, TaskSkipped
from tailrace.execution.channel import LONGEST_MESSAGE, TaskEnd, encode
from tailrace.execution.context import TaskInstance, build_context, try_token
from tailrace.execution.jsonable import NotJson
from tailrace.execution.leash import adopt_orphans
from tailrace.execution.logs import flush_streams, is_mid_line, send_output_to_log
from tailrace.execution.rendering import render_fields
from tailrace.execution.reuse import attributes
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind

_OURS = str(Path(__file__).parent.parent) + os.sep
_EXAMPLES = _OURS + "examples" + os.sep
_PYTHON = os.path.dirname(os.__file__) + os.sep
_LIBRARIES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
_TEMPLATES = os.sep + "jinja2" + os.sep
_BACKSTOP_SECONDS = 15

#: Answers the DAG files that hold the DAG of this id.
Load: TypeAlias = Callable[[str], LoadedDags]

#: No kernel takes a timer of more than some 292 years; in seconds.
LONGEST_TIMER = 1e9


class TaskTerminated(BaseException):
    """SIGTERM came: raised in the task's main thread, so that its ``finally`` blocks run before the group is killed."""


def serve(channel: TaskEnd, load: Load, home: str) -> int:
    """Wait for the word and run the try, and the next ones too where the order says so. Answers the exit code.

    ``load`` answers the DAG files, at least that of the DAG it is given.
    """
    leader = os.getpid()
    made: tuple[Any, ...] = ()
    while True:
        order = channel.receive()
        if order is None:
            return 0
        gc.enable()
        if order["again"]:
            adopt_orphans()  # what the try leaves behind will be seen below
            made = made or attributes()
        outcome = run_try(order, load, home, channel)
        flush_streams()
        if os.getpid() != leader:
            return 70  # a process the task forked came out of its code: the outcome is not its to tell
        if order["timeout_seconds"] is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        # After a failure no other: this process may be the reason.
        ended_well = outcome["kind"] in (OutcomeKind.SUCCESS, OutcomeKind.SKIPPED)
        again = order["again"] and ended_well and not _has_children() and attributes() == made
        outcome["again"] = again
        try:
            channel.send(outcome)
        except OSError:
            return 0  # the worker is gone; the zygote is about to end this group
        if not again:
            return 0


def _has_children() -> bool:
    """Whether anything is left of what the try started: then this group must end before the next one."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def heed_signals(zygote: int = 0) -> None:
    """Set up SIGINT and SIGTERM: in a zygote (its pid) for itself and all its children, else for this process.

    The zygote ignores both. SIGTERM raises TaskTerminated in the leader of a task's group; any other process ends as
    it would without Tailrace.
    """

    def heard(number: int, frame: FrameType | None) -> None:
        own = os.getpid()
        if own == zygote:
            return
        if number == signal.SIGTERM and own == os.getpgrp():
            raise TaskTerminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(own, number)

    signal.signal(signal.SIGINT, heard)
    signal.signal(signal.SIGTERM, heard)


def run_try(order: Mapping[str, Any], load: Load, home: str, channel: TaskEnd) -> dict[str, Any]:
    """Run one try with its output in its log file; answers the outcome as a message."""
    named = order["key"]
    ti = TaskInstanceKey(named["dag_id"], named["run_id"], named["task_id"], named["map_index"])
    key = TryKey(ti, named["try_number"])
    try:
        send_output_to_log(home, key)
        print(f"--- {key}, started {order['started_at']}")
    except OSError as trouble:
        return _message(OutcomeKind.FAILED, f"its log file cannot be written: {trouble}")
    timeout = order["timeout_seconds"]
    if timeout is not None:
        # The worker ends the group at the timeout; should no one be left to do that, the kernel ends this process.
        signal.setitimer(signal.ITIMER_REAL, min(timeout + _BACKSTOP_SECONDS, LONGEST_TIMER))
    loaded = load(ti.dag_id)
    dag = loaded.dags.get(ti.dag_id)
    if dag is None or ti.task_id not in dag.task_dict:
        why = f": {loaded.mistakes[0]}" if loaded.mistakes else ""
        text = f"{ti.dag_id}.{ti.task_id} is not in the DAG files this process has loaded{why}"
        return _message(OutcomeKind.FAILED, text)
    space = loaded.enter(ti.dag_id)
    for name, value in environment_of(key, order, home).items():
        os.environ[name] = value

    def pull(dag_id: str, run_id: str, task_ids: tuple[str, ...], name: str, map_index: int | None) -> list[Any]:
        query = {"dag_id": dag_id, "run_id": run_id, "task_ids": task_ids, "key": name, "map_index": map_index}
        channel.send({"query": query})
        answer = channel.receive()
        if answer is None:
            raise ConnectionError("the worker of this task is gone")
        values: list[Any] = answer["xcom"]
        return values

    task_instance = TaskInstance(key, order, pull)
    context = build_context(dag, order, task_instance)
    outcome = space.run(execute, dag.task_dict[ti.task_id], context, task_instance)
    ended = OutcomeKind(outcome["kind"]).words
    _say(f"--- {ended}{': ' + outcome['error'] if outcome['error'] else ''}", sys.stdout)
    return outcome


def _say(text: str, stream: TextIO) -> None:
    """Write a line of its own to the log. A disk that is full by now takes no outcome away."""
    with suppress(OSError):
        print(f"\n{text}" if is_mid_line() else text, file=stream)


def environment_of(key: TryKey, order: Mapping[str, Any], home: str) -> dict[str, str]:
    """The variables a task finds in its environment."""
    ti = key.task_instance
    return {
        "TAILRACE_HOME": home,
        "TAILRACE_DAG_ID": ti.dag_id,
        "TAILRACE_RUN_ID": ti.run_id,
        "TAILRACE_TASK_ID": ti.task_id,
        "TAILRACE_MAP_INDEX": str(ti.map_index),
        "TAILRACE_TRY_NUMBER": str(key.try_number),
        "TAILRACE_TRY_TOKEN": try_token(key, order["token"]),
        "TAILRACE_LOGICAL_DATE": order["logical_date"],
    }


def execute(task: BaseOperator, context: dict[str, Any], task_instance: TaskInstance) -> dict[str, Any]:
    """Render the task's templates and run it; whatever it raises becomes an outcome."""
    try:
        task = context["task"] = _copy_of(task)  # rendering changes it, and this process may run it again
        render_fields(task, context)
        result = task.execute(context)
        return _finished(task, result, task_instance)
    except TaskSkipped as skipped:
        return _message(OutcomeKind.SKIPPED, _text(skipped) or "skipped", task_instance)
    except TaskFailed as failed:
        _print_traceback(failed)
        return _message(OutcomeKind.FAILED_FOR_GOOD, _text(failed) or "failed for good", task_instance)
    except (RenderingFailed, NotJson) as wrong:
        _say(str(wrong), sys.stderr)
        return _message(OutcomeKind.FAILED, str(wrong), task_instance)
    except TaskTerminated as terminated:
        _print_traceback(terminated)
        return _message(OutcomeKind.FAILED, "its process was asked to end by SIGTERM", task_instance)
    except SystemExit as ended:
        return _message(OutcomeKind.FAILED, f"the task called exit({ended.code!r})", task_instance)
    except BaseException as failed:
        _print_traceback(failed)
        return _message(OutcomeKind.FAILED, f"{type(failed).__name__}: {_text(failed)}".rstrip(": "), task_instance)


def _copy_of(task: BaseOperator) -> BaseOperator:
    copied = object.__new__(type(task))
    copied.__dict__.update(task.__dict__)
    return copied


def _finished(task: BaseOperator, result: Any, task_instance: TaskInstance) -> dict[str, Any]:
    followed = None
    if isinstance(result, Followed):
        followed, result = result.task_ids, result.value
    if result is not None and task.do_xcom_push:
        task_instance.xcom_push(RETURN_VALUE, result)
    return _message(OutcomeKind.SUCCESS, "", task_instance, followed)


def _message(
    kind: OutcomeKind,
    error: str,
    task_instance: TaskInstance | None = None,
    followed: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    xcoms = {} if task_instance is None else task_instance.pushed
    message = {"kind": str(kind), "error": error, "xcoms": xcoms, "followed": followed, "again": False}
    if xcoms and (size := len(encode(message))) > LONGEST_MESSAGE:
        text = (
            f"its XCom values are {size:,} bytes long together; {LONGEST_MESSAGE:,} is the limit: pass a path instead"
        )
        _say(text, sys.stderr)
        return _message(OutcomeKind.FAILED, text)
    return message


def _text(raised: BaseException) -> str:
    """The first line of what an exception says; user code may have broken its ``str`` too."""
    try:
        return next(iter(str(raised).strip().splitlines()), "")
    except Exception as broken:
        return f"(its text cannot be told: {type(broken).__name__})"


def _print_traceback(failed: BaseException) -> None:
    """From the author's first frame on; where no code of the author's took part, only what went wrong."""
    summary = traceback.TracebackException.from_exception(failed)
    told: traceback.TracebackException | None = summary
    while told is not None:
        shown = list(itertools.dropwhile(lambda frame: not _is_authors(frame.filename), told.stack))
        told.stack = traceback.StackSummary.from_list([frame for frame in shown if not _is_ours(frame.filename)])
        told = told.__cause__ or told.__context__
    _say("".join(summary.format() if summary.stack else summary.format_exception_only()).rstrip("\n"), sys.stderr)


def _is_ours(file: str) -> bool:
    return file.startswith(_OURS) and not file.startswith(_EXAMPLES)


def _is_authors(file: str) -> bool:
    of_python = file.startswith((_PYTHON, "<frozen ")) and not any(each in file for each in _LIBRARIES)
    return not (_is_ours(file) or of_python or _TEMPLATES in file)
