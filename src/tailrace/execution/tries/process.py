"""One try in the task's own process: runs user code, and makes an outcome of how it ended. (What it does before and
after is in ``serving``.)

It has no database connection; what it needs of other tasks it asks its worker for.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

from tailrace.authoring.context.current import Context, running
from tailrace.authoring.context.results import BranchResult, is_success, settled
from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.loading.load import LoadedDags
from tailrace.authoring.relations.xcom_args import RETURN_VALUE, PullFor
from tailrace.authoring.templates.rendering import render_fields
from tailrace.execution.context.task_instance import TaskInstance, build_context, place_of, try_token
from tailrace.execution.logs import log_masking
from tailrace.execution.logs.files import (
    flush_streams,
    heading,
    last_line,
    send_output_to_log,
    write_line,
)
from tailrace.execution.messages.channel import TaskEnd
from tailrace.execution.messages.record_requests import pulling
from tailrace.execution.system.identity import has_children, living_children
from tailrace.execution.tries import mp_main
from tailrace.execution.tries.calling import call_on_execute
from tailrace.execution.tries.finishing import Finished, finish, forget_loading, may_need_finishing
from tailrace.execution.tries.instance_names import NAME, named
from tailrace.execution.tries.open_files import flush_c_streams
from tailrace.execution.tries.outcome_messages import message_of, with_pushes
from tailrace.execution.tries.outcomes import TaskTerminated, outcome_of, with_rule
from tailrace.execution.tries.raised import full_text, print_traceback
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.secrets.known import masked

BACKSTOP_SECONDS = 10
WELL = (OutcomeKind.SUCCESS, OutcomeKind.SKIPPED, OutcomeKind.RESCHEDULED)

#: Of the time between SIGTERM and SIGKILL, what threads get: some must be left for what follows.
_THREADS_PART = 0.5

#: Returns the DAG files that hold the DAG of this id.
Load: TypeAlias = Callable[[str], LoadedDags]

#: No kernel takes a timer of more than some 292 years; in seconds.
LONGEST_TIMER = 1e9


class Leader:
    """What this process knows of itself, so that its copies know that they are none."""

    pid = 0
    asked_to_end = False  # by SIGTERM
    handlers: tuple[Any, ...] = ()  # of signals, that are ours


def after_loading() -> None:
    """In a process that has loaded DAG files, before any try. ``gc.freeze`` is to follow."""
    forget_loading()
    log_masking.listen()
    mp_main.be_main_of_children()


def lead() -> None:
    """From here on this process is the one that runs a task and reports its outcome; no copy of it is."""
    Leader.pid = os.getpid()
    Leader.handlers = (end_by_exception,)


def handle_signals(zygote: int = 0) -> None:
    """Set up SIGINT and SIGTERM: in a zygote (its pid) for itself and all its children, else for this process.

    The zygote ignores both. SIGTERM raises TaskTerminated in the leader of a task's group; any other process ends as
    it would without Tailrace.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == zygote:
            return
        if number == signal.SIGTERM:
            end_by_exception(number, frame)
        _end_by(number)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    Leader.handlers = (handle, end_by_exception)


def end_by_exception(number: int, frame: FrameType | None) -> None:
    """A signal's handler: raises TaskTerminated in the process that runs a task; any other ends by the signal."""
    if os.getpid() == Leader.pid:
        Leader.asked_to_end = True
        raise TaskTerminated
    _end_by(number)


def _end_by(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _leave_signals_to_the_kernel() -> None:
    """In a process that the task has forked: SIGTERM ends it as it would end a script's, at once.

    A handler in Python runs at the next bytecode only: one that was about to wait for a lock when the signal came went
    on waiting, and whoever had sent it, multiprocessing's ``Pool.terminate`` say, waited for its end.
    """
    if Leader.pid in (0, os.getpid()):
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in Leader.handlers:
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_signals_to_the_kernel)


def run_try(order: Mapping[str, Any], load: Load, home: str, channel: TaskEnd) -> tuple[dict[str, Any], bool]:
    """Run one try with its output in its log file; its outcome as a message, and whether nothing is left of it."""
    key = key_in(order)
    ti = key.task_instance
    began = time.monotonic()
    try:
        send_output_to_log(home, key, heading(key, order["started_at"], order["resumed_at"]))
        log_masking.begin()
    except OSError as trouble:
        return message_of(OutcomeKind.FAILED, f"its log file cannot be written: {trouble}"), True
    timeout = order["timeout_seconds"]
    if timeout is not None:
        # The worker ends the group at the timeout; should no one be left to do that, the kernel ends this process.
        signal.setitimer(signal.ITIMER_REAL, min(timeout + order["grace_seconds"] + BACKSTOP_SECONDS, LONGEST_TIMER))
    loaded = load(ti.dag_id)
    log_masking.renew()
    dag = loaded.dags.get(ti.dag_id)
    if dag is None or ti.task_id not in dag.task_dict:
        why = f": {loaded.mistakes[0]}" if loaded.mistakes else ""
        text = f"{ti.dag_id}.{ti.task_id} is not in the DAG files this process has loaded{why}"
        write_line(last_line(OutcomeKind.FAILED.text, text, time.monotonic() - began))
        return message_of(OutcomeKind.FAILED, text), True
    space = loaded.enter(ti.dag_id)
    for name, value in environment_of(key, order, home, loaded.specs[ti.dag_id].file).items():
        os.environ[name] = value

    def wait(what: str) -> None:
        write_line(f"--- {what}")
        with suppress(OSError):
            channel.send({"waiting": masked(what)})

    task_instance = TaskInstance(key, order, pulling(channel))
    task = dag.task_dict[ti.task_id]
    context = build_context(dag, order, task_instance)
    to_its_end = partial(run_to_its_end, keep=order["again"])
    outcome, as_new = space.run(to_its_end, task, context, wait, order["grace_seconds"])
    write_line(last_line(OutcomeKind(outcome["kind"]).text, outcome["error"], time.monotonic() - began))
    return outcome, as_new


def key_in(order: Mapping[str, Any]) -> TryKey:
    """The try that an order is about."""
    named = order["key"]
    ti = TaskInstanceKey(named["dag_id"], named["run_id"], named["task_id"], named["map_index"])
    return TryKey(ti, named["try_number"])


def run_to_its_end(
    task: BaseOperator,
    context: Context,
    waiting: Callable[[str], None],
    grace_seconds: float,
    *,
    keep: bool = False,
    run: Callable[[BaseOperator, Context, TaskInstance], dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Run the task, and whatever it left to the end of its process; returns the outcome, and whether nothing is left.

    ``waiting`` is called with what is waited for after its function has returned; ``keep``: the process is to serve
    again. ``run`` is called instead of the task, where it is given.
    """
    ti = context["ti"]
    outcome = (run or execute)(task, context, ti)
    flush_c_streams()
    if not may_need_finishing():
        return with_pushes(outcome, ti), True
    name = {key: outcome[key] for key in (NAME,) if key in outcome}
    left = finish(waiting, keep=keep, within=grace_seconds * _THREADS_PART if Leader.asked_to_end else None)
    leave_if_copy()
    if has_children() and (living := living_children(log_masking.masker_pid())):
        write_line(f"--- nobody waits for these processes, so they end with it: {', '.join(living)}")
    return {**with_pushes(_with_what_was_left(outcome, left), ti), **name}, left.as_new


def _with_what_was_left(outcome: dict[str, Any], left: Finished) -> dict[str, Any]:
    if left.trouble:
        write_line(left.trouble)
    if OutcomeKind(outcome["kind"]) in WELL:
        if left.stopped is not None:
            return outcome_of(left.stopped)
        if left.trouble:
            return message_of(OutcomeKind.FAILED, left.trouble)
    return outcome


def environment_of(key: TryKey, order: Mapping[str, Any], home: str, file: str) -> dict[str, str]:
    """The variables a task finds in its environment; its DAG was loaded from this file."""
    ti = key.task_instance
    return {
        mp_main.VARIABLE: file,
        "TAILRACE_HOME": home,
        "TAILRACE_DAG_ID": ti.dag_id,
        "TAILRACE_RUN_ID": ti.run_id,
        "TAILRACE_TASK_ID": ti.task_id,
        "TAILRACE_MAP_INDEX": str(ti.map_index),
        "TAILRACE_TRY_NUMBER": str(key.try_number),
        "TAILRACE_TRY_TOKEN": try_token(key, order["token"]),
        "TAILRACE_LOGICAL_DATE": order["logical_date"],
    }


def execute(
    task: BaseOperator,
    context: Context,
    task_instance: TaskInstance,
    let_through: tuple[type[BaseException], ...] = (),
) -> dict[str, Any]:
    """Render the task's templates and run it; whatever it raises becomes an outcome, but for what is let through."""
    policy = task.retry_policy
    try:
        task = context["task"] = task_instance.task = instance_of(task, task_instance)
        with running(context):
            render_fields(task, context)
            if task.on_execute_callback and not task_instance.reschedules:  # once, as its try begins
                call_on_execute(task, context)
            result = task.execute(context)
            if result is not None:
                result = settled(result)
        leave_if_copy()
        return named(_finished(task, result, task_instance), task, context)
    except BaseException as raised:
        leave_if_copy(raised)
        if isinstance(raised, let_through):
            raise
        if isinstance(raised, SystemExit) and is_success(raised):
            return named(message_of(OutcomeKind.SUCCESS, ""), task, context)
        return named(with_rule(outcome_of(raised), policy, raised), task, context)


def leave_if_copy(raised: BaseException | None = None) -> None:
    """End a process that the task forked and that came out of its code: as its own script's end would, and no more.

    The outcome is not its to report, nor are the task's handlers and files its to finish.
    """
    if Leader.pid in (0, os.getpid()):
        return
    code: object = 0
    if isinstance(raised, SystemExit):
        code = raised.code
    elif raised is not None:
        print_traceback(raised)
        code = 1
    if not isinstance(code, int | None):
        write_line(full_text(code))
        code = 1
    flush_streams()
    os._exit((code or 0) & 0xFF)


def instance_of(task: BaseOperator, ti: TaskInstance) -> BaseOperator:
    """What runs as this task instance: a copy, because rendering changes it, or made of the values of its map index."""
    if task.mapped_over is not None:
        return task.for_index(ti.map_index, PullFor(ti))
    copied = object.__new__(type(task))
    copied.__dict__.update(task.__dict__)
    return copied


def _finished(task: BaseOperator, result: Any, task_instance: TaskInstance) -> dict[str, Any]:
    followed = None
    if isinstance(result, BranchResult):
        followed, result = result.task_ids, result.value
    if result is not None and task.do_xcom_push:
        task_instance.keep(RETURN_VALUE, result, place_of(task))
    return message_of(OutcomeKind.SUCCESS, "", followed)
