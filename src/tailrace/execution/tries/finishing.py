"""What an interpreter does once a script has come to its end, done before a try's outcome is reported.

A task's process is left by ``os._exit``, so this is where its threads are awaited, its ``atexit`` handlers run and its
files written out: as Python does it, and in that order. What DAG files left to the end of the process that loaded them
is no try's to do: handlers registered there are forgotten, and what was written there is written out, once.
"""

import atexit
import gc
import logging
import math
import os
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from tailrace.execution.logs.files import write_line
from tailrace.execution.system.identity import has_children
from tailrace.execution.tries.open_files import HARMLESS, forget_files, store_files

#: A wait for a try's end that takes longer is reported, with what it waits for.
PATIENCE_SECONDS = 1.0

#: Log handlers that have nothing to do at the end.
_PLAIN_HANDLERS = (logging.StreamHandler, logging.NullHandler, logging.FileHandler, type(logging.lastResort))


#: Python keeps to itself what it does at the end of a script; these are its own lists of that.
_finalize: Any = weakref.finalize
_threading: Any = threading
_logging: Any = logging


class _Loaded:
    """What there was when loading was over: threads, log handlers that may hold something back, the last of all, files.

    (The interpreter of a single try may have threads then; a process that is forked has none.)
    """

    threads: tuple[threading.Thread, ...] = ()
    handlers: tuple[logging.Handler, ...] = ()
    last: object = None
    has_writers = False


class Finished(NamedTuple):
    """``trouble``: what could not be stored, "" for nothing. ``stopped``: what put an end to the waiting.

    ``ran``: code of the author's ran meanwhile. ``as_new``: nothing of the try is left, and nothing was shut down.
    """

    trouble: str = ""
    stopped: BaseException | None = None
    ran: bool = False
    as_new: bool = True


def forget_loading() -> None:
    """In a process that has loaded DAG files: leave nothing of that to the end of a try. ``gc.freeze`` is to follow."""
    atexit._clear()
    os.register_at_fork(after_in_child=atexit._clear)  # a copy of a task's process has none of its handlers either
    for each in list(_finalize._registry):
        each.atexit = False
    _finalize._registered_with_atexit = False  # the next one registers anew
    if "multiprocessing.process" in sys.modules:
        sys.modules["multiprocessing.process"]._children.clear()  # only their own parent may join them
    _Loaded.threads = tuple(threading.enumerate())
    _Loaded.handlers, _Loaded.last = tuple(_log_handlers()), _logging._handlerList[-1]
    _flush_log_handlers()
    _Loaded.has_writers = forget_files() > 0 or bool(_Loaded.handlers)


def may_need_finishing() -> bool:
    """Whether ``finish`` may have anything to do. Most tries leave nothing; then this is all that they pay for it.

    So it calls as few functions as it can: each is a page or two of memory that the process must get a copy of.
    """
    return (
        len(_threading._active) > 1
        or atexit._ncallbacks() > 0
        or "multiprocessing.util" in sys.modules
        or _Loaded.has_writers
        or _logging._handlerList[-1] is not _Loaded.last
        or not HARMLESS.issuperset(map(type, gc.get_objects()))
        or has_children()
    )


def finish(notify: Callable[[str], None], *, keep: bool = False, within: float | None = None) -> Finished:
    """Do what is left to the end of this process and is this try's. ``notify`` is called with what is waited for long.

    With ``keep`` a process that has nothing to shut down is left as it is, to serve another try. ``within``: so many
    seconds threads are waited for at most; an exception from a signal's handler ends that wait too.
    """
    ran = _has_threads() or _has_handlers()
    if keep and not ran:
        _flush_log_handlers()
        anew = any(each not in _Loaded.handlers for each in _log_handlers())
        if not anew and (trouble := store_files(closing=False)) is not None:
            return Finished(trouble)
    stopped: BaseException | None = None
    until = math.inf if within is None else time.monotonic() + within
    for is_left, see_through in _IN_TURN:
        try:
            if is_left():
                see_through(notify, until)
        except BaseException as raised:  # SIGTERM's, say: then no thread is waited for any more
            stopped, until = stopped or raised, 0.0
    try:
        trouble = store_files(closing=True)
    except BaseException as raised:
        stopped = stopped or raised
        trouble = store_files(closing=True)  # what is left of it
    return Finished(trouble or "", stopped, ran=ran, as_new=False)


# --- threads -----------------------------------------------------------------------------------------------


def _has_threads() -> bool:
    return len(_threading._active) > 1  # without the lock of ``active_count``


def _await_threads(notify: Callable[[str], None], until: float) -> None:
    """In this thread a signal's handler can end the wait; so another one waits for them."""
    try:
        waiting = threading.Thread(target=_end_threads, name="tailrace: the end of threads", daemon=True)
        waiting.start()
    except Exception:  # there can be no more threads
        _end_threads()
        return
    reported = ""
    while waiting.is_alive() and (left := until - time.monotonic()) > 0:
        waiting.join(min(PATIENCE_SECONDS, left))
        names = [each.name for each in _awaited_threads()]
        if waiting.is_alive() and names and (text := f"waiting for {_listed('thread', names)} to end") != reported:
            notify(text)
            reported = text


def _end_threads() -> None:
    """As ``threading._shutdown``, which may be called by the main thread only."""
    for end_executors in reversed(getattr(_threading, "_threading_atexits", ())):
        try:
            end_executors()
        except BaseException:
            write_line(traceback.format_exc().rstrip())
    while threads := _awaited_threads():
        for each in threads:
            each.join()


def _awaited_threads() -> list[threading.Thread]:
    own = (*_Loaded.threads, threading.main_thread(), threading.current_thread())
    return [each for each in threading.enumerate() if not each.daemon and each not in own]


def _listed(kind: str, names: list[str]) -> str:
    if len(names) == 1:
        return f"{kind} {names[0]}"
    shown = ", ".join(names[:3])
    return f"{len(names)} {kind}s: {shown}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# --- handlers ----------------------------------------------------------------------------------------------


def _has_handlers() -> bool:
    return atexit._ncallbacks() > 0 or _has_processes()


def _run_handlers(notify: Callable[[str], None], until: float) -> None:
    """What is wrong with one is printed, and the others run: as an interpreter does it."""
    with _reporting(notify, _awaited_by_handlers):
        atexit._run_exitfuncs()
        if "multiprocessing.util" in sys.modules:  # its handler may be among those forgotten after loading
            sys.modules["multiprocessing.util"]._exit_function()


@contextmanager
def _reporting(notify: Callable[[str], None], what: Callable[[], str]) -> Iterator[None]:
    """Tell what is waited for, once it has taken long; the main thread is busy with it."""
    over = threading.Event()

    def watch() -> None:
        if not over.wait(PATIENCE_SECONDS):
            notify(f"waiting for {what()}")

    with suppress(Exception):  # there can be no more threads
        threading.Thread(target=watch, name="tailrace: the end of handlers", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _awaited_by_handlers() -> str:
    names = [each.name for each in list(_processes()) if not each.daemon]
    return f"{_listed('process', names)} to end" if names else "its atexit handlers"


def _has_processes() -> bool:
    """Whether ``multiprocessing`` was used since this process was forked."""
    util = sys.modules.get("multiprocessing.util")
    own = os.getpid()
    return util is not None and (bool(_processes()) or any(e._pid == own for e in util._finalizer_registry.values()))


def _processes() -> Collection[Any]:
    module = sys.modules.get("multiprocessing.process")
    return () if module is None else module._children


# --- logging -----------------------------------------------------------------------------------------------


def _log_handlers() -> list[logging.Handler]:
    """Those that may hold something back, for a while or until they are closed."""
    handlers = [handler for each in _logging._handlerList if (handler := each()) is not None]
    return [each for each in handlers if type(each) not in _PLAIN_HANDLERS]


def _flush_log_handlers() -> None:
    for each in _log_handlers():
        with suppress(Exception):
            each.flush()


def _close_log_handlers(notify: Callable[[str], None], until: float) -> None:
    """As ``logging.shutdown``, but for what is wrong with one: the others are closed all the same."""
    with _reporting(notify, lambda: "its log handlers"):
        for reference in reversed(_logging._handlerList[:]):
            handler = reference()
            try:
                if handler is not None:
                    handler.flush()
                    handler.close()
            except Exception:
                write_line(traceback.format_exc().rstrip())


#: Handlers may start threads again.
_IN_TURN: tuple[tuple[Callable[[], Any], Callable[[Callable[[str], None], float], None]], ...] = (
    (_has_threads, _await_threads),
    (_has_handlers, _run_handlers),
    (_has_threads, _await_threads),
    (_log_handlers, _close_log_handlers),
)
