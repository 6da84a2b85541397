"""JSON lines over a socket, between a worker and its task's process. Never pickle: user code is at one end.

The task's end blocks; the worker's end never does, so that a task that stops in the middle of a word cannot keep its
worker from renewing the lease.
"""

import json
import os
import socket
from typing import Any

#: One message may be this many bytes long, XCom values included; more is a mistake of the task, said in one line.
LONGEST_MESSAGE = 16 * 1024 * 1024

_PIECE = 1 << 16


class Garbled(Exception):
    """The task's end sent something that is no message."""


class ClosedByTask(OSError):
    """The task's own code has closed its end."""


def what_is_open(descriptor: int) -> tuple[int, ...] | None:
    """What a descriptor leads to: user code can close any, and what it opens then may get the number of ours."""
    try:
        return os.fstat(descriptor)[:3]  # its kind, inode and device
    except OSError:
        return None


_encoder = json.JSONEncoder()
_decoder = json.JSONDecoder()


def encode(message: dict[str, Any]) -> bytes:
    """One message as it travels."""
    return _encoder.encode(message).encode() + b"\n"


class TaskEnd:
    """The task's end of the conversation."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._opened = what_is_open(end.fileno())
        self._buffer = bytearray()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message. Raises ClosedByTask, or another OSError when the worker is gone."""
        if what_is_open(self._end.fileno()) != self._opened:
            raise ClosedByTask("the task's own code has closed the connection to its worker")
        self._end.sendall(encode(message))

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the worker is gone."""
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
        text = self._buffer[:found].decode()
        del self._buffer[: found + 1]
        message: dict[str, Any] = _decoder.raw_decode(text)[0]
        return message


class WorkerEnd:
    """The worker's end: takes what is there and sends what fits, and waits for neither."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._heard = bytearray()
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

    def post(self, message: dict[str, Any]) -> None:
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

    def hear(self) -> dict[str, Any] | None:
        """The next message that is whole, or None. Sets ``hung_up`` at the end. Raises Garbled."""
        while (found := self._heard.find(b"\n", self._looked)) < 0:
            self._looked = len(self._heard)
            if self._looked > LONGEST_MESSAGE:
                raise Garbled(f"a message of more than {LONGEST_MESSAGE:,} bytes")
            try:
                piece = self._end.recv(_PIECE)
            except BlockingIOError:
                return None
            except OSError:
                piece = b""
            if not piece:
                self.hung_up = True
                return None
            self._heard += piece
        line = bytes(self._heard[:found])
        del self._heard[: found + 1]
        self._looked = 0
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise Garbled("something that is no message of Tailrace's")
        return message

    def close(self) -> None:
        """Hang up; the task hears it."""
        self._end.close()
