"""JSON lines over a socket, between a worker and its task's process. Never pickle: user code is at one end.

The task's end blocks; the worker's end never does, so that a task that stops in the middle of a message cannot keep its
worker from renewing the lease. The worker believes nothing of what comes: a line is of a bounded length, and an object.
"""

import json
import os
import socket
import threading
from typing import Any, Protocol

#: One message may be this many bytes long, XCom values included; more is an error of the task, reported in one line.
LONGEST_MESSAGE = 16 * 1024 * 1024

_PIECE = 1 << 16


class ProtocolError(Exception):
    """The task's end sent something that is no message."""


class ClosedByTask(OSError):
    """The task's own code has closed its end."""


class NotToBeAsked(Exception):
    """The worker cannot be asked from here, or no longer; the message says why."""


def what_is_open(descriptor: int) -> tuple[int, ...] | None:
    """What a descriptor leads to: user code can close any, and what it opens then may get the number of ours."""
    try:
        return os.fstat(descriptor)[:3]  # its kind, inode and device
    except OSError:
        return None


#: How the lines begin that a task waits for.
_ORDER, _REPLY = b'{"key": ', b'{"reply_to": %d, '

_encoder = json.JSONEncoder(ensure_ascii=False)
_decoder = json.JSONDecoder()


def encode(message: dict[str, Any]) -> bytes:
    """One message as it travels. Halves of characters travel as they are: UTF-8 has a form for them, if no name."""
    return _encoder.encode(message).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes | bytearray) -> dict[str, Any]:
    """The message of a line. Raises ProtocolError for what is none: no JSON, no object, or too deep to be read."""
    try:
        message = _decoder.decode(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ProtocolError("something that is no message of Tailrace's")
    return message


class Asked(Protocol):
    """Whom a task asks for what it needs of others."""

    def ask(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """The reply; None when there is nobody any more."""


class TaskEnd:
    """The task's end of the conversation: of the process that it was made in alone, and of all its threads."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._opened = what_is_open(end.fileno())
        self._buffer = bytearray()
        self._owner = os.getpid()
        self._turn = threading.RLock()  # a signal's handler may come in while its own thread has the turn
        self._asked = 0
        self._is_asking = self._has_reported = False

    def receive(self) -> dict[str, Any] | None:
        """The next order; None when the worker is gone."""
        order = self._next(_ORDER)
        self._has_reported = False
        return order

    def send(self, message: dict[str, Any]) -> None:
        """Send a message that has no reply, between the queries of all threads.

        Raises ClosedByTask, or another OSError when the worker is gone.
        """
        with self._turn:
            self._send(encode(message))

    def report(self, outcome: dict[str, Any]) -> None:
        """Send the outcome of the try, the last message of it. Raises as ``send`` does."""
        with self._turn:
            self._has_reported = True  # whoever asked now would take the next order for a reply
            self.send(outcome)

    def ask(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """Send a query and wait for its own reply; None when the worker is gone. One query at a time.

        Raises NotToBeAsked in a process that the task has forked, once the outcome is reported, in the handler of a
        signal that came while its own thread was asking, and for a question that is too long.
        """
        if os.getpid() != self._owner:
            raise NotToBeAsked("only the task's own process can ask its worker, not one that it has forked")
        with self._turn:
            if self._is_asking:
                raise NotToBeAsked("a signal's handler cannot ask while the code that it interrupted does")
            if self._has_reported:
                raise NotToBeAsked("the try has ended")
            self._is_asking = True
            try:
                self._asked += 1
                asked = encode({**question, "id": self._asked})
                if len(asked) > LONGEST_MESSAGE:
                    raise NotToBeAsked(f"its question is {len(asked):,} bytes long; {LONGEST_MESSAGE:,} is the limit")
                self._send(asked)
                return self._next(_REPLY % self._asked)
            finally:
                self._is_asking = False

    def _send(self, line: bytes) -> None:
        if what_is_open(self._end.fileno()) != self._opened:
            raise ClosedByTask("the task's own code has closed the connection to its worker")
        self._end.sendall(line)

    def _next(self, beginning: bytes) -> dict[str, Any] | None:
        """The next line that begins so: any other is a reply that an exception kept somebody from taking.

        Half of one may be in the buffer, its rest on its way, or lost with the exception.
        """
        self._buffer.clear()
        while (line := self._line()) is not None:
            if line.startswith(beginning):
                return decode(line)
        return None

    def _line(self) -> bytearray | None:
        """The next line, without its end; None when the worker is gone."""
        looked = 0
        while (found := self._buffer.find(b"\n", looked)) < 0:
            looked = len(self._buffer)
            try:
                piece = self._end.recv(_PIECE)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            self._buffer += piece
        line = self._buffer[:found]
        del self._buffer[: found + 1]
        return line


class WorkerEnd:
    """The worker's end: takes what is there and sends what fits, and waits for neither."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._received = bytearray()
        self._looked = 0  # no line ends before this
        self._unsent = bytearray()
        self.hung_up = False

    def fileno(self) -> int:
        """The socket's descriptor, for poll."""
        return self._end.fileno()

    @property
    def sending(self) -> bool:
        """Whether a message is still on its way: poll for writing, and call ``go_on``."""
        return bool(self._unsent)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, now or as the task takes it. One that is gone is noticed by its end, not here."""
        self._unsent += encode(message)
        self.go_on()

    def go_on(self) -> None:
        """Send more of what is on its way."""
        try:
            while self._unsent:
                del self._unsent[: self._end.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()

    def give_up(self) -> None:
        """Send no more of what is on its way: the task is gone."""
        self._unsent.clear()

    def receive(self) -> dict[str, Any] | None:
        """The next message that is whole, or None. Sets ``hung_up`` at the end.

        Nothing is received while a reply is being sent: a task that queries and never reads fills no memory.
        Raises ProtocolError, and receives nothing after that.
        """
        if self._unsent:
            return None
        while (found := self._received.find(b"\n", self._looked)) < 0:
            self._looked = len(self._received)
            if self._looked > LONGEST_MESSAGE:
                self.stop_receiving()
                raise ProtocolError(f"a message of more than {LONGEST_MESSAGE:,} bytes")
            if self.hung_up:
                return None
            try:
                piece = self._end.recv(_PIECE)
            except BlockingIOError:
                return None
            except OSError:
                piece = b""
            if not piece:
                self.hung_up = True
                return None
            self._received += piece
        line = bytes(self._received[:found])
        del self._received[: found + 1]
        self._looked = 0
        try:
            return decode(line)
        except ProtocolError:
            self.stop_receiving()
            raise

    @property
    def is_silent(self) -> bool:
        """Whether the task has sent nothing that was not asked for, and has not hung up."""
        try:
            return self.receive() is None and not self.hung_up and not self._received
        except ProtocolError:
            return False

    def stop_receiving(self) -> None:
        """Hear nothing more from a task that has sent what is no message: as if it had hung up."""
        self.hung_up = True
        self._received.clear()
        self._looked = 0

    def close(self) -> None:
        """Close the connection; the task notices."""
        self._end.close()
