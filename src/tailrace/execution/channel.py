"""JSON lines over a socket, between a worker and its task's process. Never pickle: user code is at one end."""

import json
import select
import socket
from typing import Any

#: One message may be this long, XCom values included; more is a mistake of the task, said in one line.
LONGEST_MESSAGE = 16 * 1024 * 1024


class Channel:
    """One end of a conversation; messages are JSON objects."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = b""

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._end.fileno()

    @property
    def buffered(self) -> bool:
        """Whether a whole message is here already."""
        return b"\n" in self._buffer

    def send(self, message: dict[str, Any]) -> None:
        """Send one message. Raises OSError when the other end is gone."""
        self._end.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next message; None when the other end is gone. Raises TimeoutError."""
        while b"\n" not in self._buffer:
            if timeout is not None and not select.select([self._end], [], [], timeout)[0]:
                raise TimeoutError
            try:
                piece = self._end.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Hang up; the other end hears it."""
        self._end.close()
