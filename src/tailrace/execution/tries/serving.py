"""What a task's process does from its start to its end: waits for its order, runs the try, reports how it ended.

Its order may be to call the callbacks of an event instead.
"""

import gc
import os
import signal
import time
from typing import Any

from tailrace.execution.logs.files import has_own_streams
from tailrace.execution.messages.channel import ClosedByTask, TaskEnd
from tailrace.execution.messages.task_questions import ask_through
from tailrace.execution.messages.tries import CLOSED_BY_TASK
from tailrace.execution.system.identity import has_children, leads_others
from tailrace.execution.system.process_guard import adopt_orphans
from tailrace.execution.tries.callback_process import call_back
from tailrace.execution.tries.process import WELL, Leader, Load, run_try
from tailrace.execution.tries.reuse import attributes

#: So often a process that is about to end looks whether the others of its group have ended.
_LOOK_SECONDS = 0.05


def serve(channel: TaskEnd, load: Load, home: str) -> int:
    """Wait for the order and run the try, and the next ones too where the order says so. Returns the exit code.

    ``load`` returns the DAG files, at least that of the DAG it is given.
    """
    Leader.pid = os.getpid()
    ask_through(channel)
    made: tuple[Any, ...] = ()
    while True:
        order = channel.receive()
        if order is None:
            return 0
        gc.enable()
        Leader.asked_to_end = False
        if order["again"]:
            adopt_orphans()  # what the try leaves behind will be seen below
            made = made or attributes()
        run = call_back if "calls" in order else run_try
        outcome, as_new = run(order, load, home, channel)
        if Leader.asked_to_end:
            _await_group(order["grace_seconds"])
        if order["timeout_seconds"] is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        # After a failure no other: this process may be the reason.
        again = order["again"] and as_new and outcome["kind"] in WELL and _is_as_made(made)
        outcome["again"] = again
        try:
            channel.report(outcome)
        except ClosedByTask:
            return CLOSED_BY_TASK
        except OSError:
            return 0  # the worker is gone; the zygote is about to end this group
        if not again:
            return 0


def _is_as_made(made: tuple[Any, ...]) -> bool:
    """Whether a try has left this process as it was."""
    return not has_children() and attributes() == made and has_own_streams()


def _await_group(seconds: float) -> None:
    """The others of this group were asked to end as well, and are killed as soon as this process ends."""
    until = time.monotonic() + seconds
    while leads_others() and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
