"""Calls callbacks, one after the other: what one of them raises is logged, and keeps no other from being called."""

from collections.abc import Sequence
from typing import Any

from tailrace.authoring.arguments.callbacks import Callback, name_of
from tailrace.authoring.context.current import Context, running
from tailrace.authoring.context.results import is_success, settled
from tailrace.authoring.context.variables import ON_DEMAND
from tailrace.authoring.dags.dag import BaseOperator
from tailrace.execution.logs.files import write_line
from tailrace.execution.tries.raised import first_line_of, print_traceback
from tailrace.model.callbacks import ON_EXECUTE


def call_each(callbacks: Sequence[Callback], context: Context) -> list[str]:
    """Call each with the context; what went wrong, a line for each that failed.

    What is no Exception (the task is asked to end) ends the calls too, and is raised.
    """
    wrong: list[str] = []
    for callback in callbacks:
        try:
            _call(callback, context)
        except Exception as raised:
            print_traceback(raised)
            text = f"{type(raised).__name__}: {first_line_of(raised)}".rstrip(": ")
            wrong.append(f"{name_of(callback)}: {text}")
        except SystemExit as ended:
            if not is_success(ended):
                wrong.append(f"{name_of(callback)} called exit({ended.code!r})")
    return wrong


def call_on_execute(task: BaseOperator, context: Context) -> None:
    """Call what is to be called before the task; the task goes on whatever they come to."""
    ti = context["ti"]
    told = Context(context, lambda: {name: context[name] for name in ON_DEMAND})
    told.update(event=ON_EXECUTE, about="task_instance", state=ti.state, reason="", event_id=ti.try_token)
    for wrong in call_each(task.on_execute_callback, told):
        write_line(f"--- {ON_EXECUTE} failed, and the task goes on: {wrong}")


def _call(callback: Callback, context: Context) -> None:
    with running(context):
        result: Any = callback(context)
        if result is not None:
            settled(result)
