"""A worker's side of its task's process: parks it, lets it go, listens to it, kills it. Performs those effects.

The next process is parked while the current one runs, so that a try never waits for a fork.
"""

import json
import select
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tailrace.effects.asks import (
    AnswerTask,
    AwaitTask,
    DropTask,
    KillTask,
    Parked,
    ParkTask,
    StartTask,
    StillRunning,
)
from tailrace.effects.tries import Claim, TryOutcome, XComQuery
from tailrace.execution.channel import Channel
from tailrace.execution.identity import boot_id, host_name, own_identity
from tailrace.model.keys import ProcessIdentity
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec

#: A process told to end by SIGTERM gets this long before its group is killed.
GRACE_SECONDS = 5.0
#: A process that cannot be parked within this is given up; the try stays queued.
PARK_SECONDS = 60.0


@dataclass(slots=True)
class _Process:
    """A parked or running process; ``pid`` is known once the zygote has answered."""

    channel: Channel
    pid: int = 0
    start: int = 0
    exit_code: int | None = None


class TaskPort:
    """One worker's processes. ``interrupted`` is a descriptor that becomes readable when the job says terminate."""

    def __init__(self, line: socket.socket, specs: Mapping[str, DagSpec], isolation: str) -> None:
        self._line = line
        self._specs = specs
        self._keeps_process = isolation == "worker"
        self._worker = own_identity()
        self._next: _Process | None = None
        self._running: _Process | None = None
        self._claim: Claim | None = None
        self._timeout_at: float | None = None
        self._kill_at: float | None = None
        self._ending: TryOutcome | None = None  # what a process we are killing will be reported as
        self._by_pid: dict[int, _Process] = {}
        self._unanswered: list[_Process] = []
        self._deadline_told = False

    def park(self, effect: ParkTask) -> Parked | None:
        """A process that waits for the word; None when there is no such task, or no process to be had."""
        key = effect.submission.key.task_instance
        spec = self._specs.get(key.dag_id)
        task = None if spec is None else spec.by_id.get(key.task_id)
        if spec is None or task is None:
            return None
        if self._next is not None and self._next.exit_code is not None:
            self._next = None  # it died while it waited
        if self._next is None:
            self._order_park()
        waiting = self._next
        assert waiting is not None
        give_up = time.monotonic() + PARK_SECONDS
        while not waiting.pid:
            if not self._hear_zygote(give_up - time.monotonic()):
                self._next = None
                return None
        identity = ProcessIdentity(host_name(), boot_id(), waiting.pid, waiting.start)
        return Parked(self._worker, identity, task, spec.code_hash)

    def drop(self, effect: DropTask) -> None:
        """The claim was refused: the parked process waits for the next one."""

    def start(self, effect: StartTask) -> None:
        """Give the word: user code runs from here."""
        assert self._next is not None
        self._running, self._next = self._next, None
        self._claim = effect.claim
        self._ending = self._kill_at = self._timeout_at = None
        self._deadline_told = False
        timeout = effect.task_spec.execution_timeout
        if timeout is not None:
            self._timeout_at = time.monotonic() + timeout.total_seconds()
        order = order_for(effect.claim, None if timeout is None else timeout.total_seconds())
        try:
            self._running.channel.send(order)
        except OSError:
            pass  # it is dead already; its end will be heard
        if not self._keeps_process:
            self._order_park()

    def wait(self, effect: AwaitTask, interrupted: int) -> TryOutcome | XComQuery | StillRunning:
        """Listen at most ``effect.seconds``; a lease's third, so twice missed is still in time."""
        running = self._running
        assert running is not None
        self._renew_deadline(effect.seconds * 2.5)
        until = time.monotonic() + effect.seconds
        while True:
            if running.channel.buffered:
                heard = self._hear_task(running)
                if heard is not None:
                    return heard
            now = time.monotonic()
            self._enforce(now)
            if running.exit_code is not None:
                return self._ended_without_outcome(running)
            limits = [until, *(t for t in (self._timeout_at, self._kill_at) if t is not None)]
            watched: list[Any] = [running.channel, self._line, *([interrupted] if interrupted >= 0 else [])]
            ready, _, _ = select.select(watched, [], [], max(0.0, min(limits) - now))
            if running.channel in ready and (heard := self._hear_task(running)) is not None:
                return heard
            if self._line in ready:
                self._hear_zygote(0)
            if interrupted in ready and self._ending is None:
                self._end(TryOutcome(OutcomeKind.LOST, "terminated by a second interrupt"), time.monotonic())
                interrupted = -1
            if time.monotonic() >= until:
                return StillRunning()

    def answer(self, effect: AnswerTask) -> None:
        """Send a running task the values it asked for."""
        assert self._running is not None
        try:
            self._running.channel.send({"xcom": [list(value) for value in effect.values]})
        except OSError:
            pass  # it died while asking; its end will be heard

    def kill(self, effect: KillTask) -> None:
        """Kill the running process's whole group and wait for its end."""
        running = self._running
        if running is None:
            return
        self._signal(running.pid, signal.SIGKILL)
        while running.exit_code is None and self._hear_zygote(GRACE_SECONDS):
            pass
        self._forget(running)

    def close(self) -> None:
        """Hang up on the zygote: it ends whatever process of this worker is left."""
        self._line.close()

    # --- the zygote ----------------------------------------------------------------------------------------

    def _order_park(self) -> None:
        ours, theirs = socket.socketpair()
        process = _Process(Channel(ours))
        message: dict[str, Any] = {"park": True}
        try:
            socket.send_fds(self._line, [json.dumps(message).encode()], [theirs.fileno()])
        except OSError:
            process.exit_code = -signal.SIGKILL  # no zygote any more
        theirs.close()
        self._unanswered.append(process)
        self._next = process

    def _hear_zygote(self, seconds: float) -> bool:
        """Take one message of the zygote; False when none came in time, or it is gone."""
        if not select.select([self._line], [], [], max(0.0, seconds))[0]:
            return False
        try:
            message = self._line.recv(4096)
        except ConnectionResetError:
            message = b""
        if not message:
            raise SystemExit(0)  # without its zygote a worker can do nothing more: its tries are found lost
        news = json.loads(message)
        if "parked" in news:
            process = self._unanswered.pop(0)
            process.pid, process.start = news["parked"], news["start"] or 0
            self._by_pid[process.pid] = process
        elif (ended := self._by_pid.pop(news["ended"], None)) is not None:
            ended.exit_code = news["status"]
        return True

    def _signal(self, pid: int, number: int) -> None:
        self._line.send(json.dumps({"pid": pid, "kill": int(number)}).encode())

    def _renew_deadline(self, seconds: float) -> None:
        assert self._running is not None
        self._line.send(json.dumps({"pid": self._running.pid, "deadline": seconds}).encode())

    # --- the task ------------------------------------------------------------------------------------------

    def _hear_task(self, running: _Process) -> TryOutcome | XComQuery | None:
        message = running.channel.receive()
        if message is None:
            if running.exit_code is None:
                while running.exit_code is None and self._hear_zygote(GRACE_SECONDS):
                    pass
                if running.exit_code is None:  # it hung up and lives on: nothing more can come of it
                    self._signal(running.pid, signal.SIGKILL)
                    self._hear_zygote(GRACE_SECONDS)
            return self._ended_without_outcome(running)
        if "query" in message:
            query = message["query"]
            return XComQuery(
                query["dag_id"], query["run_id"], tuple(query["task_ids"]), query["key"], query["map_index"]
            )
        if self._ending is not None:
            return None  # too late: it is being killed
        self._forget(running)
        followed = message["followed"]
        return TryOutcome(
            OutcomeKind(message["kind"]),
            message["error"],
            message["xcoms"],
            None if followed is None else tuple(followed),
        )

    def _ended_without_outcome(self, running: _Process) -> TryOutcome:
        self._forget(running)
        if self._ending is not None:
            return self._ending
        code = running.exit_code
        if code is None:
            how = "it could not be ended"
        elif code < 0:
            how = f"it was killed by {signal.Signals(-code).name}"
        else:
            how = f"it exited with code {code}"
        return TryOutcome(OutcomeKind.FAILED, f"the task's process ended without an outcome: {how}")

    def _enforce(self, now: float) -> None:
        assert self._running is not None
        if self._kill_at is not None and now >= self._kill_at:
            self._signal(self._running.pid, signal.SIGKILL)
            self._kill_at = now + GRACE_SECONDS
        elif self._timeout_at is not None and now >= self._timeout_at and self._ending is None:
            assert self._claim is not None
            self._timeout_at = None
            self._end(TryOutcome(OutcomeKind.FAILED, "timed out: its execution_timeout has passed"), now)

    def _end(self, outcome: TryOutcome, now: float) -> None:
        """Ask the group to end, and kill it when the grace is over."""
        assert self._running is not None
        self._ending = outcome
        self._signal(self._running.pid, signal.SIGTERM)
        self._kill_at = now + GRACE_SECONDS

    def _forget(self, running: _Process) -> None:
        self._running = None
        if self._keeps_process and running.exit_code is None and self._ending is None:
            self._next = running
        else:
            running.channel.close()


def order_for(claim: Claim, timeout_seconds: float | None) -> dict[str, Any]:
    """What a task's process is told: everything its context is made of."""
    order = asdict(claim)
    ti = claim.task_instance
    order["key"] = {**asdict(ti), "try_number": claim.key.try_number}
    order["logical_date"] = claim.logical_date.isoformat()
    order["started_at"] = claim.started_at.isoformat()
    order["data_interval"] = [claim.data_interval.start.isoformat(), claim.data_interval.end.isoformat()]
    success = claim.previous_success
    order["previous_success"] = None if success is None else [success.start.isoformat(), success.end.isoformat()]
    previous = claim.previous_logical_date
    order["previous_logical_date"] = None if previous is None else previous.isoformat()
    order["run_conf"] = dict(claim.run_conf)
    order["timeout_seconds"] = timeout_seconds
    return order
