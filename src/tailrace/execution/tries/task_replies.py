"""Gives a task that is tried out at a terminal what it asks for, as a worker would: from a thread of its own.

The task's process has no connection to the metastore, and the thread that watches it waits for signals.
"""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress

from tailrace.effects.tries import TaskReply, TaskRequest, Unreadable
from tailrace.errors import TailraceError
from tailrace.execution.messages.channel import ProtocolError, TaskEnd, WorkerEnd
from tailrace.execution.messages.tries import question_in, reply_to


class TaskReplies:
    """A connection whose other end is the task's. ``read``, and ``close`` at the end, are called in the thread."""

    def __init__(self, read: Callable[[TaskRequest], TaskReply], close: Callable[[], None]) -> None:
        self._read, self._close = read, close
        self._own, self._of_task = socket.socketpair()
        self._thread = threading.Thread(target=self._reply, daemon=True)

    def for_task(self) -> TaskEnd:
        """The end of the task's process, which calls this."""
        self._own.close()
        return TaskEnd(self._of_task)

    def start(self) -> None:
        """Reply from now on. To be called after the fork, with those signals blocked that others wait for."""
        self._of_task.close()
        self._thread.start()

    def stop(self) -> None:
        """Reply no more: the task has ended."""
        with suppress(OSError):
            self._own.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._own.close()

    def _reply(self) -> None:
        end, poll = WorkerEnd(self._own), select.poll()
        with closing(self), suppress(ProtocolError):  # the task has sent what is none of ours: it gets no more replies
            while not end.hung_up:
                poll.register(end, select.POLLIN | (select.POLLOUT if end.sending else 0))
                poll.poll()
                end.go_on()
                while (message := end.receive()) is not None:
                    number, query = question_in(message)
                    end.send(reply_to(number, self._reply_to(query)))

    def close(self) -> None:
        """Hang up, and close what was read by. Called in the thread."""
        with suppress(OSError):
            self._own.shutdown(socket.SHUT_RDWR)
        self._close()

    def _reply_to(self, query: TaskRequest) -> TaskReply:
        try:
            return self._read(query)
        except TailraceError as trouble:
            return Unreadable(str(trouble))
