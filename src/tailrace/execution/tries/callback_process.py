"""Calls the callbacks of an event, in a process of their own that was forked for them alone, as one is for a try.

Their output stands in a file beside the log of the try that their context is about.
"""

import importlib
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec.structs import replace

from tailrace.authoring.context.current import Context
from tailrace.authoring.context.moments import Moment
from tailrace.authoring.dags.dag import DAG, BaseOperator
from tailrace.errors import TryFailed
from tailrace.execution.context.task_instance import TaskInstance, build_context
from tailrace.execution.logs import log_masking
from tailrace.execution.logs.files import last_line, send_output_to_log, write_line
from tailrace.execution.messages.channel import TaskEnd
from tailrace.execution.messages.record_requests import pulling
from tailrace.execution.tries.calling import call_each
from tailrace.execution.tries.outcome_messages import message_of
from tailrace.execution.tries.outcomes import TaskTerminated
from tailrace.execution.tries.process import (
    BACKSTOP_SECONDS,
    LONGEST_TIMER,
    Load,
    environment_of,
    key_in,
    leave_if_copy,
    run_to_its_end,
)
from tailrace.execution.tries.raised import print_traceback
from tailrace.model.callbacks import CallbackName
from tailrace.model.outcomes import OutcomeKind
from tailrace.secrets.known import masked

_FAILURES = (CallbackName.ON_FAILURE, CallbackName.ON_RETRY)


def call_back(order: Mapping[str, Any], load: Load, home: str, channel: TaskEnd) -> tuple[dict[str, Any], bool]:
    """Call the callbacks of one event; what came of it as a message, and whether nothing is left of it."""
    key, calls, began = key_in(order), order["calls"], time.monotonic()
    ti = key.task_instance
    try:
        heading = f"--- {calls['callback']}, event {calls['event_id']}\n"
        send_output_to_log(home, key, heading, of_callbacks=True)
        log_masking.begin()
    except OSError as trouble:
        return message_of(OutcomeKind.FAILED, f"the log cannot be written: {trouble}"), True
    limit = order["timeout_seconds"] + order["grace_seconds"] + BACKSTOP_SECONDS
    signal.setitimer(signal.ITIMER_REAL, min(limit, LONGEST_TIMER))
    loaded = load(ti.dag_id)
    log_masking.renew()
    dag = loaded.dags.get(ti.dag_id)
    callbacks = () if dag is None else callbacks_of(dag, ti.task_id, calls)
    if dag is None or not callbacks:
        text = "the DAG file has no such callback any more"
        write_line(_end(calls, text, began))
        return message_of(OutcomeKind.FAILED, text), True
    space = loaded.enter(ti.dag_id)
    for name, value in environment_of(key, order, home, loaded.specs[ti.dag_id].file).items():
        os.environ[name] = value
    os.environ["TAILRACE_EVENT_ID"] = calls["event_id"]

    def wait(what: str) -> None:
        write_line(f"--- {what}")
        with suppress(OSError):
            channel.send({"waiting": masked(what)})

    instance = TaskInstance(key, order, pulling(channel))
    context = context_of(dag, order, instance)
    task = dag.task_dict[ti.task_id]
    run = partial(_call_all, callbacks)
    outcome, as_new = space.run(partial(run_to_its_end, run=run), task, context, wait, order["grace_seconds"])
    write_line(_end(calls, outcome["error"], began))
    return outcome, as_new


def callbacks_of(dag: DAG, task_id: str, calls: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is to be called for the event of an order."""
    task = dag.task_dict.get(task_id)
    if task is None:
        return ()
    found: tuple[Any, ...] = getattr(task if calls["kind"] == "task_instance" else dag, calls["callback"], ())
    if calls["also"]:
        notifier_of = importlib.import_module("tailrace.authoring.notifiers").notifier_of
        found = (*found, *map(notifier_of, calls["also"]))
    return found


def context_of(dag: DAG, order: Mapping[str, Any], instance: TaskInstance) -> Context:
    """That of the try, and what has become of it."""
    calls = order["calls"]
    instance.state = calls["try_state"]
    context = build_context(dag, order, instance)
    reason = calls["reason"]
    is_failure = calls["callback"] in _FAILURES
    context.update(
        event_id=calls["event_id"],
        event=calls["callback"],
        about=calls["kind"],
        state=calls["after"],
        reason=reason,
        exception=TryFailed(reason) if is_failure else None,
    )
    if calls["kind"] == "dag_run" and calls["callback"] != CallbackName.ON_LATE:
        ended = Moment.fromisoformat(calls["at"])
        context["dag_run"] = instance.dag_run = replace(instance.dag_run, state=calls["after"], end_date=ended)
    if calls["kind"] == "task_instance":
        instance.end_date = Moment.fromisoformat(calls["at"])
        instance.duration = (instance.end_date - instance.start_date).total_seconds()
    if calls["kind"] == "backfill":
        context["backfill_id"] = calls["backfill_id"]
    return context


def _call_all(
    callbacks: tuple[Any, ...], task: BaseOperator, context: Context, instance: TaskInstance
) -> dict[str, Any]:
    try:
        wrong = call_each(callbacks, context)
        leave_if_copy()
    except BaseException as raised:
        leave_if_copy(raised)
        print_traceback(raised)
        what = "its process was asked to end" if isinstance(raised, TaskTerminated) else type(raised).__name__
        wrong = [what]
    if instance.pushed:
        write_line("--- what a callback pushes is no XCom: the task has ended")
        instance.pushed.clear()
    return message_of(OutcomeKind.FAILED if wrong else OutcomeKind.SUCCESS, "; ".join(wrong))


def _end(calls: Mapping[str, Any], error: str, began: float) -> str:
    word = f"{calls['callback']} {'failed' if error else 'called'}"
    return last_line(word, error, time.monotonic() - began)
