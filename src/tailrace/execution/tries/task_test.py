"""``tailrace tasks test``: one task, here and now, with no state written anywhere. ``tasks render``: its templates.

The task runs in a process of the command's own group, to be debugged at its terminal. The command watches it as a
worker would: whatever becomes of that process, its outcome is reported. What the task starts is a descendant of ours,
wherever it has moved to since, and ends with it.
"""

import gc
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NoReturn

from msgspec import Struct

from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.loading.load import LoadedDags, load_dags
from tailrace.authoring.templates.rendering import render_fields
from tailrace.effects.tries import Claim, TaskReply, TaskRequest, TryOutcome
from tailrace.execution.context.task_instance import TaskInstance, build_context
from tailrace.execution.logs import log_masking
from tailrace.execution.logs.files import flush_streams, write_line
from tailrace.execution.messages.channel import ProtocolError, decode, encode, what_is_open
from tailrace.execution.messages.record_requests import pulling
from tailrace.execution.messages.task_questions import ask_through
from tailrace.execution.messages.tries import CLOSED_BY_TASK, order_for, outcome_in, timed_out, without_outcome
from tailrace.execution.system.identity import children_of
from tailrace.execution.system.process_guard import adopt_orphans
from tailrace.execution.system.withholding import withhold_secrets
from tailrace.execution.tries.outcome_messages import message_of
from tailrace.execution.tries.outcomes import outcome_of
from tailrace.execution.tries.process import (
    LONGEST_TIMER,
    after_loading,
    end_by_exception,
    environment_of,
    instance_of,
    lead,
    run_to_its_end,
)
from tailrace.execution.tries.task_replies import TaskReplies
from tailrace.execution.xcoms.jsonable import NotJson
from tailrace.execution.xcoms.limits import FRAMES
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.tagged_values import readable
from tailrace.secrets.known import masked_value

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: What the task's process sends as its task begins: its time runs from then.
_BEGINS = signal.SIGUSR1

#: So often we look whether what the task has started has ended.
_LOOK_SECONDS = 0.05

#: The ``si_code`` of a signal that no process sent.
_SENT_BY_KERNEL = 0x80


class TaskTest(Struct, frozen=True):
    """What is to be done: the claim's task, as this DAG file of ``dags`` has it, which must have been loaded safely
    before. ``read`` gives it what it asks for, in a thread that calls ``close`` at its end.
    """

    dags: Path
    file: str
    claim: Claim
    home: Path
    read: Callable[[TaskRequest], TaskReply]
    close: Callable[[], None]
    timeout: timedelta | None
    grace_seconds: float
    only_render: bool = False


def run_task_once(test: TaskTest) -> TryOutcome:
    """Run the task, or only render its templates: in the outcome are then the fields, in place of what it pushed.

    Its output goes where ours goes, nothing of it stays behind. Once it is asked to end it has ``grace_seconds`` for
    that.

    Raises KeyboardInterrupt where Ctrl-C ended the task; by SIGTERM and SIGHUP this process ends as well.
    """
    adopt_orphans()  # so that all it leaves behind is found below us
    handled = {each for each in _HANDLED if signal.getsignal(each) is not signal.SIG_IGN}  # nohup, a shell's &
    flush_streams()
    replies = TaskReplies(test.read, test.close)
    with tempfile.TemporaryFile(buffering=0) as output, tempfile.TemporaryDirectory() as frames:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {*handled, _BEGINS, signal.SIGCHLD})
        try:
            pid = os.fork()
            if pid == 0:
                _be_task(test, replies, output, before, frames)
            replies.start()
            watch = _Watch(pid, handled, test.timeout, test.grace_seconds)
            code = watch.until_its_end()
            watch.until_the_others_have_ended()
            _end_descendants(os.getpid())
        finally:
            replies.stop()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        output.seek(0)
        received_bytes = output.read()
    outcome = _outcome_in(received_bytes, code)
    if watch.asked in (signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), watch.asked)
    if watch.asked == signal.SIGINT and outcome.kind is OutcomeKind.FAILED:
        raise KeyboardInterrupt
    return timed_out(test.timeout) if watch.is_late and test.timeout is not None else outcome


def _outcome_in(received_bytes: bytes, code: int) -> TryOutcome:
    """What the task's process wrote down; that may be anything, and nothing."""
    if not received_bytes.endswith(b"\n"):
        return without_outcome(code)
    try:
        return outcome_in(decode(received_bytes))
    except ProtocolError as wrong:
        return TryOutcome(OutcomeKind.FAILED, f"its process wrote down {wrong}")


def _loaded_silently(dags: Path, file: str) -> LoadedDags:
    """What the files print as they load has been shown when they were loaded first, to be looked at."""
    flush_streams()
    kept, nowhere = (os.dup(1), os.dup(2)), os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        loaded = load_dags(dags, only=[file])
        flush_streams()
    finally:
        for number, former in enumerate(kept, 1):
            os.dup2(former, number)
            os.close(former)
        os.close(nowhere)
    return loaded


def _be_task(
    test: TaskTest, replies: TaskReplies, output: IO[bytes], mask: set[int | signal.Signals], frames: str
) -> NoReturn:
    """The task's process: loads its DAG, here and not before a fork that threads would not survive, runs the task, and
    writes its outcome down.
    """
    code, opened, claim = 70, what_is_open(output.fileno()), test.claim
    dag_id = claim.task_instance.dag_id
    try:
        lead()
        signal.signal(signal.SIGTERM, end_by_exception)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        withhold_secrets()
        channel = replies.for_task()
        ask_through(channel)
        loaded = _loaded_silently(test.dags, test.file)
        log_masking.begin()
        after_loading()
        gc.freeze()
        os.kill(os.getppid(), _BEGINS)
        with suppress(AttributeError):  # a DAG file may have put something else there
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        order = order_for(claim, None)
        dag, space = loaded.dags[dag_id], loaded.enter(dag_id)
        os.environ[FRAMES] = frames  # what it pushes is thrown away
        os.environ.update(environment_of(claim.key, order, str(test.home), loaded.specs[dag_id].file))
        context = build_context(dag, order, TaskInstance(claim.key, order, pulling(channel)))
        task = dag.task_dict[claim.task_instance.task_id]
        if test.only_render:
            outcome = space.run(_render, task, context)
        else:
            outcome, _ = space.run(run_to_its_end, task, context, _say_waiting, test.grace_seconds)
        log_masking.drain()
        if what_is_open(output.fileno()) == opened:
            output.write(encode({**outcome, "xcoms": masked_value(outcome["xcoms"])}))
            code = 0
        else:
            code = CLOSED_BY_TASK
    except Exception:
        traceback.print_exc()  # ours: whatever the task raises is its outcome
    finally:
        os._exit(code)


def _say_waiting(what: str) -> None:
    write_line(f"--- {what}")


def _render(task: BaseOperator, context: dict[str, Any]) -> dict[str, Any]:
    try:
        task = context["task"] = instance_of(task, context["ti"])
        render_fields(task, context)
        fields = {name: _shown(getattr(task, name, None)) for name in task.template_fields}
        return {**message_of(OutcomeKind.SUCCESS, ""), "xcoms": fields}
    except BaseException as raised:
        return outcome_of(raised)


def _shown(value: Any) -> Any:
    try:
        return readable(stored_xcom(value, "a field"))
    except NotJson:
        return repr(value)


class _Watch:
    """Sees the task's process to its end. Whoever asks it to end, its timeout or a person, does so gently at first."""

    def __init__(self, pid: int, signals: set[signal.Signals], timeout: timedelta | None, grace_seconds: float) -> None:
        self.asked: signal.Signals | None = None
        self.is_late = False
        self._pid = pid
        self._signals = signals
        self._grace_seconds = grace_seconds
        self._seconds = None if timeout is None else min(timeout.total_seconds(), LONGEST_TIMER)
        self._due: float | None = None

    def until_its_end(self) -> int:
        """The exit code of the task's process, once it has ended. Needs the signals blocked."""
        while True:
            left = LONGEST_TIMER if self._due is None else max(0.0, self._due - time.monotonic())
            received = signal.sigtimedwait({*self._signals, _BEGINS, signal.SIGCHLD}, left)
            if received is None:
                self._end(late=True)
            elif received.si_signo == _BEGINS:
                if self._seconds is not None:
                    self._due = time.monotonic() + self._seconds
                    self._seconds = None  # whoever sends it again changes nothing
            elif received.si_signo != signal.SIGCHLD:
                # Ctrl-C at a terminal reaches all of its group by itself; a signal that somebody sent does not.
                number = signal.Signals(received.si_signo)
                self._end(number, heard_by_all=number == signal.SIGINT and received.si_code == _SENT_BY_KERNEL)
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)

    def until_the_others_have_ended(self) -> None:
        """Once all were asked to end, what the task has started has as much time for it; a second signal ends that."""
        if self.asked is None and not self.is_late:
            return
        with suppress(ChildProcessError):
            while self._due is not None and time.monotonic() < self._due:
                os.waitpid(-1, os.WNOHANG)
                if signal.sigtimedwait(self._signals, _LOOK_SECONDS):
                    return

    def _end(self, asked: signal.Signals | None = None, *, late: bool = False, heard_by_all: bool = False) -> None:
        gently = self.asked is None and not self.is_late
        if gently:
            self.asked, self.is_late = asked, late
        self._due = time.monotonic() + self._grace_seconds
        if not (gently and heard_by_all):
            _signal_descendants(os.getpid(), signal.SIGTERM if gently else signal.SIGKILL)


def _end_descendants(own: int) -> None:
    """Kill everything below this process, and what that leaves, until nothing is there."""
    with suppress(ChildProcessError):
        while True:
            _signal_descendants(own, signal.SIGKILL)
            os.waitpid(-1, 0)


def _signal_descendants(pid: int, number: int) -> None:
    """Whoever waits for another gets the signal first: it must not go on because that one has ended."""
    below = children_of(pid)
    for each in below:
        below.extend(children_of(each))  # read on as it grows
    for each in below:
        with suppress(ProcessLookupError):
            os.kill(each, number)
