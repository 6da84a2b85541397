"""Runs tries in the process itself, one after the other, where a debugger can follow them: for ``DAG.test``.

What a worker does with a process of a task's own is done here without one. So nothing can be killed: a task that never
returns is ended by whoever debugs it.
"""

import bdb
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tailrace.authoring.dags.dag import DAG
from tailrace.effects.events import EventClaim, EventEnd
from tailrace.effects.requests import AwaitTask, Calls, Effect, Parked, ParkTask, StartTask, WaitResult
from tailrace.effects.tries import Claim, Submission, TaskReply, TaskRequest, TryOutcome
from tailrace.errors import InternalError
from tailrace.execution.context.task_instance import TaskInstance, build_context
from tailrace.execution.logs.files import heading, last_line, write_line
from tailrace.execution.messages.channel import decode, encode
from tailrace.execution.messages.record_requests import pulling
from tailrace.execution.messages.task_questions import ask_through
from tailrace.execution.messages.tries import order_for, outcome_in, question_in, reply_to
from tailrace.execution.system.identity import own_identity
from tailrace.execution.tries.callback_process import callbacks_of, context_of
from tailrace.execution.tries.calling import call_each
from tailrace.execution.tries.outcome_messages import with_pushes
from tailrace.execution.tries.process import environment_of, execute, lead
from tailrace.model.callbacks import EventState
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec

#: What ends the whole test and not only a task: Ctrl-C, and the debugger's own ``quit``.
_ENDS_ALL = (KeyboardInterrupt, bdb.BdbQuit)


class TasksHere:
    """Performs what a worker loop asks of a task's process. ``read`` gives the task what it asks for.

    A task of which ``succeeds`` is true is not run: it has succeeded.
    """

    def __init__(
        self,
        dag: DAG,
        spec: DagSpec,
        home: str,
        read: Callable[[TaskRequest], TaskReply],
        succeeds: Callable[[str], bool],
    ) -> None:
        self._dag, self._spec, self._home, self._succeeds = dag, spec, home, succeeds
        self._channel = _Asked(read)
        self._claim: Claim | None = None

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """While this holds, what tasks ask for Variables and Connections is replied to here, and about runs."""
        lead()
        ask_through(self._channel)
        try:
            yield
        finally:
            ask_through(None)

    def perform(self, effect: Effect[Any]) -> Any:
        """Perform one effect and return its result. Raises what ends the whole test."""
        match effect:
            case ParkTask(submission=submission):
                task = self._spec.by_id[submission.key.task_instance.task_id]
                return Parked(own_identity(), None, task, self._spec.code_hash)
            case StartTask(claim=claim):
                self._claim = claim
            case AwaitTask():
                return self._run()
        return None

    def _run(self) -> TryOutcome:
        claim = self._claim
        if claim is None:
            raise InternalError("a task is awaited that was not started; this is a bug in Tailrace")
        if self._succeeds(claim.task_instance.task_id):
            return TryOutcome(OutcomeKind.SUCCESS, "marked as success without running", in_log=True)
        order = order_for(claim, None)
        ti = TaskInstance(claim.key, order, pulling(self._channel))
        context = build_context(self._dag, order, ti)
        began = time.monotonic()
        write_line(heading(claim.key, order["started_at"], order["resumed_at"]).rstrip())
        with environment(environment_of(claim.key, order, self._home, self._spec.file)):
            message = execute(self._dag.task_dict[ti.task_id], context, ti, let_through=_ENDS_ALL)
            message = with_pushes(message, ti)
        write_line(last_line(OutcomeKind(message["kind"]).text, message["error"], time.monotonic() - began))
        return outcome_in(decode(encode({**message, "again": False})))

    def call_back(self, claim: EventClaim) -> EventEnd:
        """Call the callbacks of an event."""
        calls = Calls(claim.event, claim.try_state, timedelta(0))
        order = order_for(claim.try_of, None, calls=calls)
        ti = TaskInstance(claim.try_of.key, order, pulling(self._channel))
        context = context_of(self._dag, order, ti)
        callbacks = callbacks_of(self._dag, ti.task_id, order["calls"])
        with environment(environment_of(claim.try_of.key, order, self._home, self._spec.file)):
            wrong = "; ".join(call_each(callbacks, context))
        write_line(last_line(f"{claim.event.callback} {'failed' if wrong else 'called'}", wrong, None))
        return EventEnd(EventState.FAILED if wrong else EventState.CALLED, wrong)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """While this holds, these are in the environment, over what is there otherwise."""
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Asked:
    """Replies at once to what is asked, in the form in which it would have come from a worker."""

    def __init__(self, read: Callable[[TaskRequest], TaskReply]) -> None:
        self._read = read

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The reply."""
        number, request = question_in(decode(encode({**question, "id": 0})))
        return decode(encode(reply_to(number, self._read(request))))


class InProcessExecutor:
    """Runs each try that it is given when it is waited for: ``serve`` sees one to its end."""

    def __init__(self, serve: Callable[[Submission], None]) -> None:
        self._serve = serve
        self._waiting: dict[tuple[int, int], Submission] = {}

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries; one it already has is ignored."""
        for each in submissions:
            self._waiting.setdefault((each.id, each.key.try_number), each)

    def wait(self, seconds: float) -> WaitResult:
        """Run the one with the greatest priority; without any, wait."""
        if not self._waiting:
            time.sleep(seconds)
            return WaitResult()
        first = max(self._waiting, key=lambda each: self._waiting[each].priority)
        self._serve(self._waiting.pop(first))
        return WaitResult(finished=1, busy=len(self._waiting))

    def drain(self) -> None:
        """Forget the tries that have not begun."""
        self._waiting.clear()

    def terminate(self, *, at_once: bool = False) -> None:
        """Nothing runs while this is called."""

    def stop(self) -> None:
        """Nothing is left."""
