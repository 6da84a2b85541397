"""A worker's connection to the zygote: orders to park, signal and renew; events of what was parked and has ended."""

import math
import select
import socket
from dataclasses import dataclass

from tailrace.execution.messages.channel import WorkerEnd
from tailrace.execution.zygote.handle import ZygoteGone
from tailrace.execution.zygote.protocol import ENDED, EVENT, NO_CHANGE, ORDER, PARKED, REFUSED


@dataclass(slots=True)
class Child:
    """A task's process; ``pid`` and ``start`` (its start time) are known once the zygote has replied.

    ``deadline``: when the zygote kills it unless it is renewed, on the monotonic clock; infinite: never.
    """

    end: WorkerEnd
    pid: int = 0
    start: int = 0
    gone: bool = False
    exit_code: int | None = None  # negative: the signal that killed it; None with ``gone``: it never was
    deadline: float = math.inf
    overdue: bool = False  # the zygote killed it because its deadline was not renewed
    refused: int = 0  # the errno of what could not be had for it


class ZygoteClient:
    """Raises ZygoteGone once the zygote is gone: a worker can do nothing more then."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unconfirmed: list[Child] = []
        self._by_pid: dict[int, Child] = {}

    def fileno(self) -> int:
        """The descriptor on which messages arrive."""
        return self._connection.fileno()

    def park(self, running: Child | None = None, deadline: float | None = None) -> Child:
        """Order a new process, and in the same breath renew the ``deadline`` of the running one.

        Raises OSError where there is no descriptor left for it.
        """
        ours, theirs = socket.socketpair()
        child = Child(WorkerEnd(ours))
        if running is not None and deadline is not None:
            running.deadline = deadline
        order = ORDER.pack(0 if running is None else running.pid, 0, NO_CHANGE if deadline is None else deadline)
        try:
            socket.send_fds(self._connection, [order], [theirs.fileno()])
        except (BrokenPipeError, ConnectionResetError):
            raise _gone() from None
        finally:
            theirs.close()
        self._unconfirmed.append(child)
        return child

    def deadline(self, child: Child, at: float) -> None:
        """Have the process killed then (monotonic clock), unless this comes again; infinite: let it wait for ever."""
        child.deadline = at
        self._order(child.pid, 0, at)

    def signal(self, child: Child, number: int) -> None:
        """Send a signal to the process's whole group, unless it has ended."""
        self._order(child.pid, number, NO_CHANGE)

    def listen(self, seconds: float) -> None:
        """Receive all messages that are there; wait this long for the first."""
        while select.select([self._connection], [], [], max(0.0, seconds))[0]:
            try:
                message = self._connection.recv(EVENT.size)
            except ConnectionResetError:
                message = b""
            if not message:
                raise _gone()
            self._take(*EVENT.unpack(message))
            seconds = 0

    def close(self) -> None:
        """Hang up: the zygote ends what is left of this worker's processes."""
        self._connection.close()

    def _take(self, kind: int, pid: int, number: int, overdue: int) -> None:
        if kind == PARKED:
            child = self._unconfirmed.pop(0)
            child.pid, child.start = pid, number
            self._by_pid[pid] = child
        elif kind == REFUSED:
            refused = self._unconfirmed.pop(0)
            refused.gone, refused.refused = True, number
        elif kind == ENDED and pid in self._by_pid:
            child = self._by_pid.pop(pid)
            child.gone, child.exit_code, child.overdue = True, number, bool(overdue)

    def _order(self, pid: int, number: int, deadline: float) -> None:
        try:
            self._connection.send(ORDER.pack(pid, number, deadline))
        except OSError:
            raise _gone() from None


def _gone() -> ZygoteGone:
    return ZygoteGone("the process that starts tasks is gone")
