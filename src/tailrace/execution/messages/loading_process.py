"""The request to a process that loads DAG files, and its messages: which file it begins, and in the end its report.

User code runs in that process and may write anything: what is read here is data of known types, and never a pickle.
"""

import fcntl
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tailrace.authoring.loading.sources import Sources
from tailrace.authoring.mistakes.dag_errors import DagError, Note
from tailrace.execution.messages.secret_requests import unpacked_query
from tailrace.model.spec import DagSpec
from tailrace.secrets.requests import SecretQuery

#: Goes before each message: its kind (a file's name, the report, a query for a secret), and its length. The pipe's end
#: proves nothing: user code may hold it open.
_HEAD = struct.Struct("!BQ")
_FILE, _REPORT, _QUERY = range(3)

#: With this exit code a loading process ends that cannot report any more what it loads.
CLOSED_PIPE = 71

#: No file's name and no report is longer: what is has been written by somebody else.
_LONGEST_NAME, _LONGEST_REPORT = 1 << 16, 1 << 31


class LoadRequest(Struct, frozen=True):
    """What is to be loaded, and what for. ``isolation`` is as the settings say it: fork, spawn or worker.

    ``again``: not the files as they are now but the code that was kept. ``only`` and ``skip`` are as in ``load_dags``.
    ``stale``: files that do not load as they are now, and why; their DAGs are those that a former load has kept.
    ``checks_secrets``: note which Variables and Connections templates name that are not there.
    ``notify``: what all DAGs are called back for besides, by the keys of the setting.
    """

    dags: bytes
    home: bytes
    isolation: str
    again: bool = False
    only: tuple[str, ...] = ()
    skip: dict[str, str] = {}
    stale: dict[str, str] = {}
    checks_secrets: bool = False
    notify: tuple[str, ...] = ()

    @classmethod
    def of(cls, dags: Path, home: Path, isolation: str) -> "LoadRequest":
        """A request to load these files as they are."""
        return cls(os.fsencode(dags.absolute()), os.fsencode(home.absolute()), isolation)


class LoadReport(Struct, frozen=True):
    """What is in the DAG files. ``isolation`` is what tries will really get; ``notices`` are for people.

    ``reusable``: (dag id, task id) of the tasks whose process may serve the next of them too.
    """

    specs: Mapping[str, DagSpec]
    mistakes: tuple[DagError, ...] = ()
    isolation: str = "fork"
    notices: tuple[str, ...] = ()
    reusable: frozenset[tuple[str, str]] = frozenset()
    notes: tuple[Note, ...] = ()

    @property
    def to_keep(self) -> tuple[DagSpec, ...]:
        """The DAGs, to be remembered. One with mistakes in its file has no hash of it: there is more to that file."""
        wrong = {mistake.file for mistake in self.mistakes}
        return tuple(replace(spec, code_hash="") if spec.file in wrong else spec for spec in self.specs.values())


def write_request(request: LoadRequest) -> int:
    """The request in a file of no name; returns its descriptor, which another process may read from."""
    descriptor = file_for_sources()
    _write(descriptor, msgspec.msgpack.encode(request))
    return descriptor


def read_request(descriptor: int) -> LoadRequest:
    """What ``write_request`` wrote."""
    return msgspec.msgpack.decode(_read_all(descriptor), type=LoadRequest)


def file_for_sources() -> int:
    """A file of no name in which what was loaded is kept, to be loaded again; returns its descriptor."""
    return os.memfd_create("tailrace-dag-files", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def keep_sources(descriptor: int, loads: Sequence[bytes]) -> None:
    """Fill such a file with what one load or several packed: no task can change the code that others will run."""
    _write(descriptor, msgspec.msgpack.encode(list(loads)))


def _write(descriptor: int, packed: bytes) -> None:
    written = 0
    while written < len(packed):
        written += os.pwrite(descriptor, packed[written:], written)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def read_sources(descriptor: int) -> list[Sources]:
    """What is kept in such a file: that of each load."""
    loads = msgspec.msgpack.decode(_read_all(descriptor), type=list[bytes])
    return [Sources.unpacked(packed) for packed in loads]


class MessageWriter:
    """The loading process's end of the pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._is = _file_at(pipe)

    def begins(self, file: Path) -> None:
        """A file is about to run: it may be the last thing that this process does."""
        self._send(_FILE, os.fsencode(file))

    def report(self, report: LoadReport) -> None:
        """Every file has been loaded. Nothing can be sent after this."""
        self._send(_REPORT, msgspec.msgpack.encode(report))
        os.close(self._pipe)

    def ask(self, query: bytes) -> None:
        """Ask for a Variable or a Connection. The reply comes on the line to the job."""
        self._send(_QUERY, query)

    def _send(self, kind: int, payload: bytes) -> None:
        message = _HEAD.pack(kind, len(payload)) + payload
        if _file_at(self._pipe) != self._is:
            os._exit(CLOSED_PIPE)  # a DAG file has closed it, and may have opened another there
        while message:
            message = message[os.write(self._pipe, message) :]


def _file_at(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class MessageReader:
    """The job's end: takes what is there, and waits for nothing."""

    def __init__(self) -> None:
        self._received = bytearray()

    def take(self, piece: bytes) -> "list[str | LoadReport | SecretQuery]":
        """The messages that are whole now: the printable name of a file that begins, a query, or the report.

        Raises ValueError where it was somebody else who wrote.
        """
        self._received += piece
        messages: list[str | LoadReport | SecretQuery] = []
        while len(self._received) >= _HEAD.size:
            kind, length = _HEAD.unpack(self._received[: _HEAD.size])
            if kind > _QUERY or length > (_LONGEST_REPORT if kind == _REPORT else _LONGEST_NAME):
                raise ValueError("a message of impossible length")
            if len(self._received) < _HEAD.size + length:
                break
            payload = bytes(self._received[_HEAD.size : _HEAD.size + length])
            del self._received[: _HEAD.size + length]
            messages.append(_READ[kind](payload))
        return messages


_READ: Mapping[int, Callable[[bytes], str | LoadReport | SecretQuery]] = {
    _FILE: os.fsdecode,
    _REPORT: msgspec.msgpack.Decoder(LoadReport).decode,
    _QUERY: unpacked_query,
}


def _read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    data = b""
    while len(data) < size and (piece := os.pread(descriptor, size - len(data), len(data))):
        data += piece
    return data
