"""The files that a task leaves open: what was written to them is stored before the outcome of its try is reported.

An interpreter that ends does it as it clears away whatever is left. Here they are looked for among the objects that
the garbage collector follows, which are those made since it was set to leave all earlier ones alone.
"""

import ctypes
import gc
import io
import socket
import traceback
import weakref
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from tailrace.execution.logs.files import write_line

_FILE = io.IOBase.__mro__[-2]  # the class of every file, those written in C included

_fflush = ctypes.CDLL(None).fflush
_fflush.argtypes = (ctypes.c_void_p,)

#: Of these, what was written is stored by a flush. The others may have an end of their own to write, as gzip has.
_FLUSHED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair)

#: They have no buffer, or read only, or store nothing.
_UNBUFFERED = (io.BytesIO, io.StringIO, io.FileIO, io.BufferedReader, socket.SocketIO)

#: Classes known to hold nothing back: whoever finds no other among all objects need not look for files.
HARMLESS: set[type] = set()

#: Files that were open before: a try may have written to them, but they are not its to close.
_earlier: list[weakref.ref[Any]] = []


def forget_files() -> int:
    """In a process that has loaded DAG files: store what is written so far, once. Returns how many files are open."""
    flush_c_streams()
    HARMLESS.update(kind for kind in _every_class() if not _may_hold(kind))
    files = [each for each in _left_open() if _is_file(each) and not _is_standard(each)]
    _earlier[:] = map(weakref.ref, files)
    for trouble in _store(files, closing=False):
        write_line(trouble)
    return len(files)


def flush_c_streams() -> None:
    """Write out what C code has printed, or written to files of its own: a library's ``FILE``, not Python's."""
    if _fflush(None) != 0:
        write_line("--- something that C code has written could not be stored")


def store_files(*, closing: bool) -> str | None:
    """Store what was written to any file; what went wrong with some of them, "" if nothing did.

    None, without ``closing``: there is one whose end is stored only when it is closed.
    """
    found = _left_open()
    if not closing and any(_needs_closing(each, found) for each in found):
        return None
    earlier = [file for each in _earlier if (file := each()) is not None and _is_written(file)]
    return "; ".join(dict.fromkeys([*_store(found, closing=closing), *_store(earlier, closing=False)]))


def _left_open() -> list[Any]:
    """Every file that may hold something back, and what does something as it goes (``zipfile.ZipFile`` closes one)."""
    everything = gc.get_objects()
    kinds = {kind for kind in set(map(type, everything)) - HARMLESS if _may_hold(kind)}
    return [each for each in everything if type(each) in kinds and (not _is_file(each) or _is_written(each))]


def _every_class() -> set[type]:
    found, new = set[type](), {object}
    while new:
        found |= new
        new = {kind for each in new for kind in type.__subclasses__(each)} - found
    return found


def _may_hold(kind: type) -> bool:
    classes = kind.__mro__
    if _FILE in classes:
        return kind not in _UNBUFFERED and (kind in _FLUSHED or io.RawIOBase not in classes)
    return type(next((vars(each)["__del__"] for each in classes if "__del__" in vars(each)), None)) is FunctionType


def _is_file(found: Any) -> bool:
    return _FILE in type(found).__mro__


def _is_written(file: Any) -> bool:
    try:
        return not file.closed and bool(file.writable())
    except Exception:  # it was never opened, or it is of a class of the author's
        return False


def _needs_closing(one: Any, found: list[Any]) -> bool:
    """Whether its end is stored only as it is closed. What holds no file, a connection say, may stay open."""
    if _is_file(one):
        return not _needs_only_flush(one)
    files = {id(each) for each in found if _is_file(each)}
    return any(id(held) in files for held in _held_by(one))


def _needs_only_flush(found: Any) -> bool:
    return type(found) in _FLUSHED and type(getattr(found, "raw", None)) in (type(None), *_UNBUFFERED)


def _store(found: list[Any], *, closing: bool) -> list[str]:
    return [trouble for each in _outer_first(found) if (trouble := _store_one(each, closing))]


def _store_one(found: Any, closing: bool) -> str:
    if _is_file(found) and not _is_written(found):
        return ""  # another one that writes through it has closed it
    try:
        if not _is_file(found) and not closing:
            return ""
        if not closing or _needs_only_flush(found):
            found.flush()
        elif _is_file(found):
            found.close()
        else:
            type(found).__del__(found)
    except ConnectionError:
        return ""  # whoever would have read it is gone
    except Exception as wrong:
        if not isinstance(wrong, OSError) and not _is_file(found):
            write_line(traceback.format_exc().rstrip())
            return ""
        return "" if _is_standard(found) else f"what it wrote to {_name_of(found)} could not be stored: {wrong}"
    return ""


def _outer_first(found: list[Any]) -> list[Any]:
    """Those that write through another one come before it."""
    known = set(map(id, found))
    outer: dict[int, list[Any]] = {}
    for each in found:
        for held in _held_by(each):
            if id(held) in known:
                outer.setdefault(id(held), []).append(each)
    ordered: list[Any] = []

    def take(each: Any) -> None:
        if id(each) in known:
            known.discard(id(each))
            for holder in outer.get(id(each), ()):
                take(holder)
            ordered.append(each)

    for each in reversed(found):  # what writes through another one is made after it
        take(each)
    return ordered


def _held_by(found: Any) -> Iterator[Any]:
    for held in gc.get_referents(found):
        yield held
        if type(held) is dict:
            yield from held.values()


def _is_standard(file: Any) -> bool:
    """Whether it leads to where this process's output goes, which a try need not store."""
    try:
        return bool(file.fileno() <= 2)
    except Exception:
        return False


def _name_of(file: Any) -> str:
    try:
        return str(file.name)
    except Exception:
        return f"a {type(file).__name__}"
