"""Takes secrets out of what a process and its children write, at descriptor level: between them and the log.

A process that is given a secret puts a pipe in the place of its output, and starts one of its own behind it, which
writes what comes on, masked. That one is in no group that is killed: what was written last is in the log even so, and
it ends when nobody can write to the pipe any more. A process that is given none pays nothing.
"""

import gc
import os
import select
import signal
import socket
import struct
import warnings
from contextlib import suppress
from typing import NoReturn

from msgspec import DecodeError, Struct, msgpack

from tailrace.execution.logs.files import flush_streams, set_line_filter
from tailrace.execution.messages.channel import what_is_open
from tailrace.secrets import known
from tailrace.secrets.masking import MaskedStream

_OUTPUTS = (1, 2)
_PIECE = 1 << 16
_HEAD = struct.Struct("!I")
_PID = struct.Struct("!i")


class _Masking:
    """What this process knows of the one that masks its output."""

    owner = 0  # the process that has put the pipe there; a copy of it has a line to nobody
    pid = 0  # of the one that masks
    line: socket.socket | None = None
    opened: tuple[int, ...] | None = None
    pipes: frozenset[tuple[int, ...]] = frozenset()  # what is open as an output
    instead: tuple[tuple[int, int], ...] = ()  # of each output, where what it led to before was kept
    before: tuple[tuple[int, ...] | None, ...] = ()  # what that is, of each


def listen() -> None:
    """From here on, what this process and its forks write is masked once they are given a secret."""
    known.listen(_learned)


def begin() -> None:
    """The output goes elsewhere by now, as a new try begins, say: it is masked if there is a secret already."""
    if known.patterns():
        _hang_up()
        _start()


def renew() -> None:
    """Something may have put the output back to where it went before: it is masked again, if there is a secret."""
    if _Masking.owner == os.getpid() and known.patterns() and not _is_in_place():
        flush_streams()
        _hang_up()
        _start()


def end() -> None:
    """Write out what is on its way, and have this process write to where it wrote before, unmasked."""
    drain()
    if _Masking.owner == os.getpid():
        for output, kept in _Masking.instead:
            os.dup2(kept, output)
    _hang_up()
    set_line_filter(None)
    known.listen(None)


def drain() -> None:
    """Wait until all that this process has written so far is written out."""
    flush_streams()
    _ask(None)


def masker_pid() -> int:
    """The process that masks this one's output; 0: there is none."""
    return _Masking.pid if _Masking.owner == os.getpid() else 0


def _without_secrets(line: str) -> str:
    """Before a line of our own is written, which goes to the log directly."""
    drain()
    return known.masked(line)


def _learned() -> None:
    flush_streams()
    if _Masking.owner == os.getpid() and _is_own(_Masking.line) and _is_in_place():
        _ask(known.patterns())
    else:
        _hang_up()
        _start()


class _Request(Struct, frozen=True):
    """To the process that masks: new patterns; or, None, to write out all that has come."""

    patterns: tuple[bytes, ...] | None


def _ask(patterns: tuple[bytes, ...] | None) -> None:
    line = _Masking.line
    if line is None or _Masking.owner != os.getpid() or not _is_own(line):
        return
    packed = msgpack.encode(_Request(patterns))
    with suppress(OSError):  # it is gone: somebody has killed it
        line.sendall(_HEAD.pack(len(packed)) + packed)
        line.recv(1)


def _is_own(line: socket.socket | None) -> bool:
    """User code may have closed it, and what it opened then may have its number."""
    return line is not None and what_is_open(line.fileno()) == _Masking.opened


def _is_in_place() -> bool:
    """Whether whatever is open as an output is a pipe of ours."""
    return all((found := what_is_open(output)) is None or found in _Masking.pipes for output in _OUTPUTS)


def _hang_up() -> None:
    line, _Masking.line, _Masking.pid = _Masking.line, None, 0
    for (_, kept), was in zip(_Masking.instead, _Masking.before, strict=True):
        if what_is_open(kept) == was:
            os.close(kept)
    _Masking.instead = _Masking.before = ()
    if line is not None:
        if _is_own(line):
            line.close()
        else:
            line.detach()


def _start() -> None:
    """Put pipes in the place of this process's output, and a process behind them. Raises OSError."""
    places: dict[tuple[int, ...], int] = {}  # what is open as an output → the pipe's end that takes its place
    streams: list[tuple[int, int]] = []  # of each pipe its other end, and where it leads
    instead: list[tuple[int, int]] = []
    for output in _OUTPUTS:
        if (opened := what_is_open(output)) is None:
            continue
        kept = os.dup(output)
        if opened not in places:
            reads, places[opened] = os.pipe()
            streams.append((reads, kept))
        instead.append((output, kept))
    ours, theirs = socket.socketpair()
    _fork(streams, theirs)
    theirs.close()
    for output, _ in instead:
        pipe = places[what_is_open(output) or ()]
        os.dup2(pipe, output)
    _Masking.pipes = frozenset(opened for pipe in places.values() if (opened := what_is_open(pipe)) is not None)
    for descriptor in (*places.values(), *(reads for reads, _ in streams)):
        os.close(descriptor)
    set_line_filter(_without_secrets)
    _Masking.owner, _Masking.line, _Masking.opened = os.getpid(), ours, what_is_open(ours.fileno())
    _Masking.instead = tuple(instead)
    _Masking.before = tuple(what_is_open(kept) for _, kept in instead)
    pid = ours.recv(_PID.size)
    _Masking.pid = _PID.unpack(pid)[0] if len(pid) == _PID.size else 0


def _fork(streams: list[tuple[int, int]], line: socket.socket) -> None:
    """Twice, so that it is no child of this process, which may wait for all it has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads: what is forked calls the kernel alone
        pid = os.fork()
        if pid == 0:
            try:
                if os.fork() == 0:
                    _be_masker(streams, line)
            finally:
                os._exit(0)
    with suppress(ChildProcessError):  # the task may leave its children to the kernel
        os.waitpid(pid, 0)


def _be_masker(streams: list[tuple[int, int]], line: socket.socket) -> NoReturn:
    try:
        gc.disable()
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _close_all_but({line.fileno(), *(descriptor for pair in streams for descriptor in pair)})
        os.chdir("/")
        line.sendall(_PID.pack(os.getpid()))
        _mask(streams, line)
    finally:
        os._exit(0)


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if (descriptor := int(name)) not in kept:
            with suppress(OSError):
                os.close(descriptor)


def _mask(streams: list[tuple[int, int]], line: socket.socket) -> None:
    """Write on what comes, until nothing can come any more."""
    masked = {reads: (MaskedStream(known.patterns()), target) for reads, target in streams}
    poll = select.poll()
    for descriptor in (*masked, line.fileno()):
        if descriptor in masked:
            os.set_blocking(descriptor, False)
        poll.register(descriptor, select.POLLIN)
    while masked:
        ready = [descriptor for descriptor, _ in poll.poll()]
        for reads in [each for each in ready if each in masked]:
            if not _copy(reads, *masked[reads]):
                _write(masked[reads][1], masked.pop(reads)[0].end())
                poll.unregister(reads)
        if line.fileno() in ready and not _serve(line, masked):
            poll.unregister(line.fileno())
            line.close()


def _serve(line: socket.socket, masked: dict[int, tuple[MaskedStream, int]]) -> bool:
    """Do what the process asks for whose output this is. False: it has hung up."""
    try:
        (size,) = _HEAD.unpack(line.recv(_HEAD.size, socket.MSG_WAITALL))
        request = msgpack.decode(line.recv(size, socket.MSG_WAITALL), type=_Request)
    except (OSError, struct.error, DecodeError):
        return False
    for reads, (stream, target) in masked.items():
        if request.patterns is not None:
            stream.patterns = request.patterns
            continue
        while _copy(reads, stream, target) and _has_more(reads):
            pass
        _write(target, stream.end())
    with suppress(OSError):
        line.send(b".")
    return True


def _has_more(reads: int) -> bool:
    poll = select.poll()
    poll.register(reads, select.POLLIN)
    return any(what & select.POLLIN for _, what in poll.poll(0))


def _copy(reads: int, stream: MaskedStream, target: int) -> bool:
    """Write on what is there. False: no more will come."""
    try:
        piece = os.read(reads, _PIECE)
    except BlockingIOError:
        return True
    except OSError:
        piece = b""
    if piece:
        _write(target, stream.feed(piece))
    return bool(piece)


def _write(target: int, text: bytes) -> None:
    with suppress(OSError):  # the disk is full, or the terminal is gone: as for whoever writes there directly
        while text:
            text = text[os.write(target, text) :]
