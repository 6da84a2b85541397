"""What code can change of the Python interpreter it runs in: limits, hooks, logging, warnings, what others patch."""

import faulthandler
import gc
import importlib
import locale
import logging
import os
import socket
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from tailrace.authoring.loading.aspect import Aspect

#: What was not there: an attribute that nobody had set.
_ABSENT = object()

#: Modules of the standard library in which people replace functions and classes.
_PATCHED = ("builtins", "datetime", "json", "os", "socket", "ssl", "subprocess", "threading", "time")

#: What of them is another's as they are imported: a DAG file may be the first to import one, and to replace it.
_ALIASES = {"ssl": (("_create_default_https_context", "create_default_context"),)}

#: The functions and classes as they were when the module was first seen.
_ORIGINALS: dict[str, dict[str, Any]] = {}


def _attributes(module: str, names: Iterable[str]) -> dict[str, Any]:
    """Of a module that nobody has imported yet: what it begins with, which for all of them is None."""
    found = sys.modules.get(module)
    return {name: None if found is None else getattr(found, name, _ABSENT) for name in names}


def _set_attributes(module: str, values: Mapping[str, Any]) -> None:
    found = sys.modules.get(module)
    for name, value in values.items() if found is not None else ():
        if value is not _ABSENT:
            setattr(found, name, value)
        elif hasattr(found, name):
            delattr(found, name)


def _replaced() -> dict[str, Any]:
    """Which functions and classes of the standard library have been replaced, and by what. Data is left alone."""
    found = {}
    for name in _PATCHED:
        module = sys.modules.get(name)
        if module is None:
            continue
        now = vars(module)
        originals = _ORIGINALS.get(name)
        if originals is None:
            originals = _ORIGINALS[name] = {each: value for each, value in now.items() if callable(value)}
            originals.update({each: now[of] for each, of in _ALIASES.get(name, ())})
        found.update(
            {f"{name} {each}": now.get(each, _ABSENT) for each in originals if now.get(each) is not originals[each]}
        )
    return found


def _replace(by: Mapping[str, Any]) -> None:
    for name, originals in _ORIGINALS.items():
        values = vars(sys.modules[name])
        for each, original in originals.items():
            wanted = by.get(f"{name} {each}", original)
            if wanted is _ABSENT:
                values.pop(each, None)
            elif values.get(each) is not wanted:
                values[each] = wanted


def _loggers() -> dict[str, tuple[Any, ...]]:
    """Every logger that has been set up in some way, by name; what only says that nothing is to be logged does not."""
    root = logging.root
    found = {"": _set_up(root)}
    for name, logger in root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (how := _set_up(logger)) != _NOT_SET_UP:
            found[name] = how
    return found


def _set_up(logger: logging.Logger) -> tuple[Any, ...]:
    handlers = tuple(each for each in logger.handlers if type(each) is not logging.NullHandler)
    return logger.level, logger.propagate, bool(logger.disabled), handlers, tuple(logger.filters)


def _set_loggers(loggers: Mapping[str, tuple[Any, ...]]) -> None:
    """Those of libraries that are loaded keep what these set up as they were imported: no other file imports them."""
    for name in _loggers().keys() - loggers.keys():
        if name.partition(".")[0] not in sys.modules:
            _set_logger(logging.getLogger(name), _NOT_SET_UP)
    for name, how in loggers.items():
        _set_logger(logging.getLogger(name) if name else logging.root, how)


def _set_logger(logger: logging.Logger, how: tuple[Any, ...]) -> None:
    level, logger.propagate, logger.disabled, handlers, filters = how
    silent = [each for each in logger.handlers if type(each) is logging.NullHandler]
    logger.handlers[:], logger.filters[:] = [*silent, *handlers], filters
    logger.setLevel(level)


_NOT_SET_UP = (logging.NOTSET, True, False, (), ())


def _set_filters(filters: tuple[Any, ...]) -> None:
    warnings.resetwarnings()  # by which Python learns that the list is another
    warnings.filters[:] = filters  # type: ignore[index]  # a list, which typeshed calls a sequence


def _garbage() -> tuple[Any, ...]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug(), tuple(gc.callbacks)


def _set_garbage(how: tuple[Any, ...]) -> None:
    enabled, threshold, debug, callbacks = how
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*threshold)
    gc.set_debug(debug)
    gc.callbacks[:] = callbacks


def _traces() -> tuple[Any, ...]:
    return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()


def _set_traces(how: tuple[Any, ...]) -> None:
    trace, profile, of_threads, profile_of_threads = how
    sys.settrace(trace)
    sys.setprofile(profile)
    threading.settrace(of_threads)
    threading.setprofile(profile_of_threads)


def _start_method() -> str | None:
    found = sys.modules.get("multiprocessing")
    return None if found is None else found.get_start_method(allow_none=True)


def _set_start_method(method: str | None) -> None:
    importlib.import_module("multiprocessing").set_start_method(method, force=True)


def _set_faulthandler(enabled: bool) -> None:
    if enabled:
        faulthandler.enable(2)
    else:
        faulthandler.disable()


def _streams() -> tuple[Any, ...]:
    """The text streams, and whether somebody has closed one."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return tuple((each, getattr(each, "closed", False)) for each in streams)


def _set_streams(streams: tuple[Any, ...]) -> None:
    """One that was closed is opened anew over its descriptor, which is open."""
    for number, (name, (stream, was_closed)) in enumerate(zip(("stdin", "stdout", "stderr"), streams, strict=True)):
        if not was_closed and getattr(stream, "closed", False):
            how = {"encoding": stream.encoding, "errors": stream.errors, "closefd": False}
            stream = os.fdopen(number, "w" if number else "r", buffering=1, **how)
        setattr(sys, name, stream)


def _set_arguments(arguments: tuple[str, ...]) -> None:
    sys.argv = list(arguments)


def _of(module: str, *names: str) -> Aspect:
    return Aspect(f"{module}.{names[0]}", partial(_attributes, module, names), partial(_set_attributes, module))


#: In the order in which they are put back: first what the rest may need.
OF_THE_INTERPRETER: Final = (
    Aspect("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Aspect("functions of the standard library", _replaced, _replace),
    _of("os", "environ"),
    Aspect("the standard streams", _streams, _set_streams),
    Aspect("the arguments (sys.argv)", lambda: tuple(sys.argv), _set_arguments),
    _of(
        "sys", "excepthook", "displayhook", "unraisablehook", "breakpointhook", "dont_write_bytecode", "tracebacklimit"
    ),
    Aspect("the locale", partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)),
    Aspect("logging", _loggers, _set_loggers),
    Aspect("logging.disable", lambda: logging.root.manager.disable, logging.disable),
    _of("logging", "raiseExceptions", "lastResort", "_loggerClass", "_logRecordFactory"),
    Aspect("warning filters", lambda: tuple(warnings.filters), _set_filters),
    _of("warnings", "showwarning", "formatwarning"),
    Aspect("garbage collection", _garbage, _set_garbage),
    Aspect("traces and profiles", _traces, _set_traces, own=False),
    Aspect("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
    Aspect("the digits of an int", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    Aspect("faulthandler", faulthandler.is_enabled, _set_faulthandler, own=False),
    Aspect("the time limit of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Aspect("the start method of multiprocessing", _start_method, _set_start_method),
    _of("asyncio.events", "_event_loop_policy"),
    _of("tempfile", "tempdir"),
    _of("urllib.request", "_opener"),
)
