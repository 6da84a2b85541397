"""A worker's line to the zygote: orders to park, signal and renew; news of what was parked and what has ended."""

import json
import select
import socket
from dataclasses import dataclass
from typing import Any

from tailrace.errors import EnvironmentBroken
from tailrace.execution.channel import WorkerEnd


@dataclass(slots=True)
class Child:
    """A task's process; ``pid`` and ``start`` (its start time) are known once the zygote has answered."""

    end: WorkerEnd
    pid: int = 0
    start: int = 0
    gone: bool = False
    exit_code: int | None = None  # negative: the signal that killed it; None with ``gone``: it never was
    overdue: bool = False  # the zygote killed it because its deadline was not renewed


class ZygoteLine:
    """Raises EnvironmentBroken once the zygote is gone: a worker can do nothing more then."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._unanswered: list[Child] = []
        self._by_pid: dict[int, Child] = {}

    def fileno(self) -> int:
        """The descriptor that has news."""
        return self._line.fileno()

    def park(self, running: Child | None = None, deadline: float | None = None) -> Child:
        """Order a new process, and in the same breath renew the deadline of the running one."""
        ours, theirs = socket.socketpair()
        child = Child(WorkerEnd(ours))
        order: dict[str, Any] = {"pid": 0 if running is None else running.pid}
        if deadline is not None:
            order["deadline"] = deadline
        try:
            socket.send_fds(self._line, [json.dumps(order).encode()], [theirs.fileno()])
        except OSError:
            raise _gone() from None
        finally:
            theirs.close()
        self._unanswered.append(child)
        return child

    def deadline(self, child: Child, seconds: float) -> None:
        """Have the process killed in so many seconds, unless this comes again."""
        self._order({"pid": child.pid, "deadline": seconds})

    def no_deadline(self, child: Child) -> None:
        """Let the process wait for as long as it may take."""
        self._order({"pid": child.pid, "deadline": None})

    def signal(self, child: Child, number: int) -> None:
        """Send a signal to the process's whole group, unless it has ended."""
        self._order({"pid": child.pid, "kill": int(number)})

    def listen(self, seconds: float) -> None:
        """Take all news that is there; wait this long for the first."""
        while select.select([self._line], [], [], max(0.0, seconds))[0]:
            try:
                message = self._line.recv(4096)
            except ConnectionResetError:
                message = b""
            if not message:
                raise _gone()
            self._take(json.loads(message))
            seconds = 0

    def close(self) -> None:
        """Hang up: the zygote ends what is left of this worker's processes."""
        self._line.close()

    def _take(self, news: dict[str, Any]) -> None:
        if "parked" in news:
            child = self._unanswered.pop(0)
            child.pid, child.start = news["parked"], news["start"] or 0
            self._by_pid[child.pid] = child
        elif "refused" in news:
            self._unanswered.pop(0).gone = True
        elif news["ended"] in self._by_pid:
            child = self._by_pid.pop(news["ended"])
            child.gone, child.exit_code, child.overdue = True, news["status"], news["overdue"]

    def _order(self, order: dict[str, Any]) -> None:
        try:
            self._line.send(json.dumps(order).encode())
        except OSError:
            raise _gone() from None


def _gone() -> EnvironmentBroken:
    return EnvironmentBroken("the process that starts tasks is gone; run the same command again to continue")
