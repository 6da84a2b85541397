"""The job's hold on its zygote: the small process that loads the DAG files and forks the tasks' processes.

A file whose loading never ends, or ends its process, harms itself alone: the process is ended and another one loads the
others. A zygote that dies later is started again with the code that was loaded first, whatever the files are by then.
"""

import os
import select
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from tailrace.errors import EnvironmentBroken
from tailrace.execution.messages.loading_process import (
    CLOSED_PIPE,
    LoadReport,
    LoadRequest,
    MessageReader,
    file_for_sources,
)
from tailrace.execution.messages.secret_requests import OfEnvironment, Replies, send_reply
from tailrace.execution.messages.tries import signal_name
from tailrace.execution.zygote.starting import Started, execute_zygote, fork_zygote
from tailrace.secrets.requests import SecretQuery

#: A file that has taken so long is named, long before it is given up.
_SLOW_SECONDS = 5.0
#: The interpreter that loads it has at least so long to start.
_STARTING_SECONDS = 60.0
#: So often a process may die while it loads a file before the file is taken for the cause: the first time it may have
#: been killed.
_DEATHS = 2
#: So often a wait looks whether it was interrupted.
_LOOK_SECONDS = 0.5
#: One that sends nothing more has this long to have ended.
_ENDING_SECONDS = 1.0
#: A killed process that does not end for so long hangs in the kernel: it is left to it.
_STUCK_SECONDS = 5.0
#: Whoever only looks whether the files are loaded replies to so many seconds of their queries, and waits so long for
#: the next.
_ASKING_SECONDS, _NEXT_QUERY_SECONDS = 0.5, 0.02


class ZygoteGone(EnvironmentBroken):
    """The process that starts tasks is gone, and whatever ran in it."""


@dataclass(slots=True)
class _Loading:
    """A process that loads DAG files."""

    report: int
    reader: MessageReader = field(default_factory=MessageReader)
    file: str = ""  # which it has begun; none before the first, and after the last
    since: float = field(default_factory=time.monotonic)
    slow_reported: bool = False  # that it takes long


class ZygoteHandle:
    """One zygote, or those that follow one another in its place. ``notify`` is called with lines for a person while it
    loads.
    """

    def __init__(
        self,
        request: LoadRequest,
        timeout: float,
        start: Callable[[LoadRequest, int, int], Started],
        kept: int,
        former: int = -1,
        secrets: Replies | None = None,
    ) -> None:
        self._secrets = secrets or OfEnvironment()
        self.notify: Callable[[str], None] = lambda text: None
        self.interrupted = False  # somebody wants what waits for it to end
        self.given_up: dict[str, str] = {}  # files that were not loaded to their end, and why
        self._request = request
        self.timeout = timeout  # so many seconds each file may take
        self._kept = kept
        self._former = former
        self._deaths: Counter[str] = Counter()
        self._first: LoadReport | None = None
        self._report: LoadReport | None = None
        self._loading: _Loading | None = None
        self._replied = False  # to a query, the last time that something was received
        self._control: socket.socket | None = None
        self.pid = 0
        self._status: int | None = None
        self._take(start(request, kept, former))

    def _take(self, started: Started) -> None:
        self.pid, self._control, self._status = started.pid, started.control, None
        self._loading = _Loading(started.report)

    # --- loading -------------------------------------------------------------------------------------------

    def loaded(self) -> LoadReport:
        """What the DAG files hold; waits until they are loaded.

        Raises EnvironmentBroken where no process can do it, KeyboardInterrupt once it is ``interrupted``.
        """
        while self._report is None:
            if self.interrupted:
                raise KeyboardInterrupt
            self._advance(min(self._patience(), _LOOK_SECONDS))
        self._secrets.close()
        return self._report

    def is_loaded(self) -> bool:
        """Whether ``loaded`` would return without waiting. Raises EnvironmentBroken where no process can do it."""
        until = time.monotonic() + _ASKING_SECONDS
        while self._report is None and self._advance(_NEXT_QUERY_SECONDS if self._replied else 0.0):
            if time.monotonic() > until:
                break
        self._secrets.close()
        return self._report is not None

    def fileno(self) -> int:
        """A descriptor with messages while the files are loaded; -1 when there is none."""
        return -1 if self._loading is None else self._loading.report

    def _patience(self) -> float:
        """How long nothing has to be done unless something is received."""
        if self._loading is None:
            return 0.0
        limit = self._limit(self._loading)
        due = limit if self._loading.slow_reported else min(_SLOW_SECONDS, limit)
        return max(0.0, self._loading.since + due - time.monotonic())

    def _limit(self, loading: _Loading) -> float:
        """How long it may take to load a file, or to begin, or to end."""
        return self.timeout if loading.file else max(self.timeout, _STARTING_SECONDS)

    def _advance(self, seconds: float) -> bool:
        """Wait so long for a message, and take it, or do what is due. False: nothing has happened."""
        loading = self._loading
        if loading is None:
            self._take(execute_zygote(self._request, self._kept, self._former))
            return True
        poll = select.poll()
        poll.register(loading.report, select.POLLIN)
        if poll.poll(seconds * 1000):
            self._receive(loading)
            return True
        waited = time.monotonic() - loading.since
        if waited >= self._limit(loading):
            self._is_overdue(loading)
            return True
        if waited >= _SLOW_SECONDS and not loading.slow_reported:
            loading.slow_reported = True
            if loading.file:
                limit = f"{self.timeout:g} s (load_timeout_seconds)"
                self.notify(f"{loading.file}: it has been loading for {waited:.0f} s, and is given up after {limit}")
        return False

    def _reply(self, loading: _Loading, query: SecretQuery) -> None:
        """Reply to a DAG file that asks for a Variable or a Connection; the time that takes is not the file's."""
        asked = time.monotonic()
        reply = self._secrets.reply(query)
        if self._control is not None:
            with suppress(OSError):  # one that is gone is noticed by its end
                send_reply(self._control, reply)
        loading.since += time.monotonic() - asked
        self._replied = True

    def _receive(self, loading: _Loading) -> None:
        self._replied = False
        try:
            piece = os.read(loading.report, 1 << 16)
        except BlockingIOError:
            return
        try:
            messages = loading.reader.take(piece)
        except ValueError:  # somebody else has written there: nothing that follows can be believed
            messages, piece = [], b""
        for message in messages:
            if isinstance(message, SecretQuery):
                self._reply(loading, message)
                continue
            if isinstance(message, LoadReport):
                os.close(loading.report)
                self._loading, self._report = None, message
                self._first = self._first or message
                return
            loading.file, loading.since, loading.slow_reported = (
                "" if message == "." else message,
                time.monotonic(),
                False,
            )
        if not piece:
            self._died(loading)

    def _died(self, loading: _Loading) -> None:
        how = self.how_it_ended(_ENDING_SECONDS, with_its_group=True)
        if how is None or os.waitstatus_to_exitcode(self._status or 0) == CLOSED_PIPE:
            how = "it closed descriptors that it had not opened"
        self._end_loading()
        self._deaths[loading.file] += 1
        if self._deaths[loading.file] < _DEATHS:
            return
        if not loading.file:
            raise EnvironmentBroken(f"the process that loads the DAG files ends by itself ({how})")
        self._give_up(loading.file, f"loading it ended its process ({how}); correct or remove it")

    def _is_overdue(self, loading: _Loading) -> None:
        self._end_loading()
        if not loading.file:
            limit = self._limit(loading)
            raise EnvironmentBroken(f"the process that loads the DAG files has done nothing for {limit:g} s")
        why = f"loading it did not end within {self.timeout:g} s (load_timeout_seconds); correct or remove it"
        self._give_up(loading.file, why)

    def _give_up(self, file: str, why: str) -> None:
        self.given_up[file] = why
        self._request = replace(self._request, skip={**self._request.skip, file: why})

    def _end_loading(self) -> None:
        """End the process that loads and what it has started. The next step starts another."""
        assert self._loading is not None, "it is asked for while one loads"
        os.close(self._loading.report)
        self._loading = None
        self._hang_up()
        self._kill()

    # --- dying ---------------------------------------------------------------------------------------------

    def has_ended(self) -> bool:
        """Whether the process is over."""
        return self.how_it_ended(0.0) is not None

    def how_it_ended(self, within: float, *, with_its_group: bool = False) -> str | None:
        """How the process ended; None if it still lives after so many seconds. What it has started may be ended too."""
        self._wait(within, with_its_group)
        return None if self._status is None else _how(self._status)

    def begin_again(self) -> None:
        """Start another in the place of one that died: it loads the code that was loaded first. ``is_loaded`` then."""
        self._hang_up()
        self._kill()
        self._report, self._request = None, replace(self._request, again=True, skip={}, stale={})
        self._deaths.clear()

    def another(self, file: str) -> "ZygoteHandle":
        """One more, of the same code, but of one DAG file alone."""
        request = replace(self._request, again=True, skip={}, stale={}, only=(file,))
        return ZygoteHandle(request, self.timeout, execute_zygote, os.dup(self._kept), secrets=self._secrets)

    def successor(self, stale: Mapping[str, str], skip: Mapping[str, str]) -> "ZygoteHandle":
        """One that loads the files as they are now; what does not load so keeps the code of this one, or is skipped."""
        request = replace(self._request, again=False, skip=dict(skip), only=(), stale=dict(stale))
        kept = file_for_sources()
        return ZygoteHandle(request, self.timeout, execute_zygote, kept, os.dup(self._kept), self._secrets)

    # --- serving -------------------------------------------------------------------------------------------

    def connect(self) -> socket.socket:
        """A new line to the zygote, for one worker; when its last copy is closed, that worker's tasks are killed.

        Raises ZygoteGone.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            if self._control is None:
                raise BrokenPipeError
            socket.send_fds(self._control, [b"worker"], [theirs.fileno()])
        except (BrokenPipeError, ConnectionResetError):
            ours.close()
            raise ZygoteGone("the process that starts tasks is gone") from None
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def disown(self) -> None:
        """In a forked worker: forget the job's own line to the zygote."""
        self._hang_up()
        self._forget_sources()
        if self._loading is not None:
            os.close(self._loading.report)
            self._loading = None  # several executors of one process may have it, and disown it

    def stop(self) -> None:
        """Hang up and wait for its end. It ends once no worker holds a line to it; what still runs is killed."""
        if self._loading is not None:
            self._end_loading()  # in the middle of user code: nothing else would end that
        self._hang_up()
        self._wait(None)
        self._forget_sources()

    def _forget_sources(self) -> None:
        for descriptor in {self._kept, self._former} - {-1}:
            os.close(descriptor)
        self._kept = self._former = -1

    def _hang_up(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def _kill(self) -> None:
        if self._status is not None:
            return
        for kill in (os.killpg, os.kill):  # with what a DAG file may have started; before all, it may lead no group yet
            with suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)
        self._wait(_STUCK_SECONDS)
        if self._status is None:
            self.pid = 0  # nobody waits for it any more

    def _wait(self, seconds: float | None, with_its_group: bool = False) -> None:
        """Wait for its end, at most so many seconds."""
        until = None if seconds is None else time.monotonic() + seconds
        look = os.WEXITED | os.WNOWAIT | (0 if until is None else os.WNOHANG)
        while self._status is None and self.pid:
            if os.waitid(os.P_PID, self.pid, look) is not None:
                if with_its_group:  # while the zombie keeps the number of the group from being another's
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(self.pid, signal.SIGKILL)
                _, self._status = os.waitpid(self.pid, 0)
            elif until is not None:
                if time.monotonic() >= until:
                    return
                time.sleep(0.002)


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal_name(os.WTERMSIG(status))}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def start_zygote(
    dags: Path,
    home: Path,
    *,
    isolation: str = "fork",
    timeout: float = 30.0,
    small: bool = True,
    secrets: Replies | None = None,
    checks_secrets: bool = False,
    notify: Iterable[str] = (),
) -> ZygoteHandle:
    """Start a zygote; it loads the DAG files while the caller goes on. ``isolation``: fork, spawn or worker.

    ``timeout``: so many seconds each file may take. ``small``: nothing heavy has been imported here yet, so that this
    process can be forked. ``secrets`` replies to files that ask for a Variable or a Connection as they load, and with
    ``checks_secrets`` for their templates. ``notify``: what all DAGs are called back for besides. Raises
    EnvironmentBroken where the kernel has no pidfds (Linux has them since 5.3).
    """
    if not hasattr(os, "pidfd_open"):
        raise EnvironmentBroken(f"tasks can be run on Linux (5.3 or newer) only; this is {sys.platform}")
    request = replace(
        LoadRequest.of(dags, home, isolation), checks_secrets=checks_secrets, notify=tuple(sorted(notify))
    )
    return ZygoteHandle(request, timeout, fork_zygote if small else execute_zygote, file_for_sources(), secrets=secrets)
