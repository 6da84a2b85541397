"""What an author may give bash to run, and how bash gets it: a command of any length, an environment, a folder.

What no process could be given is a mistake where it is written, and one line where a template or a task made it.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.model.plain_text import shown

#: The kernel takes no single argument or variable longer than this many bytes, its end included.
_LONGEST = 32 * os.sysconf("SC_PAGE_SIZE")

#: Reads a command from a descriptor as ``bash -c`` would get it: nothing of that is left for what it starts.
_READER = 'mapfile -d "" -u {0} TAILRACE_COMMAND; exec {0}<&-; eval "unset TAILRACE_COMMAND; ${{TAILRACE_COMMAND[0]}}"'


class CannotStart(Exception):
    """A command or its environment is nothing that could be given to bash."""


class Given(NamedTuple):
    """What starts bash: its arguments, and the descriptors it needs."""

    arguments: list[str | bytes]
    descriptors: tuple[int, ...] = ()


def command(written: Any) -> Any:
    """Reads a command: text, or the output of a task."""
    if not isinstance(written, XComArg):
        _encoded(written)
    return written


def environment(written: Any) -> Any:
    """Reads variables by name, whose values are texts or outputs of tasks; None is that of the worker."""
    if written is None or isinstance(written, XComArg):
        return written
    if not isinstance(written, Mapping):
        raise ValueError(f"must be a dict of texts, not {shown(written)}")
    for name, value in written.items():
        try:
            pair = _variable(name, "" if isinstance(value, XComArg) else value)
        except ValueError:
            raise ValueError(
                f"must be a dict of texts (and no name with = in it), not {{{shown(name)}: {shown(value)}}}"
            ) from None
        if b"{" not in pair[1] and (long := _too_long(*pair)):  # else who knows what a template makes of it
            raise ValueError(f"has {shown(name)}, which {long}")
    return dict(written)


def folder(written: Any) -> Any:
    """Reads a folder's path, or the output of a task; None is where the worker is."""
    if written is None or isinstance(written, (os.PathLike, XComArg)):
        return written
    try:
        _encoded(written)
    except ValueError:
        raise ValueError(f"must be a folder's path, not {shown(written)}") from None
    return written


def exit_codes(written: Any) -> tuple[int, ...]:
    """Reads an exit code, or several; None is none."""
    one = isinstance(written, str) or not isinstance(written, Collection)
    codes = [] if written is None else [written] if one else list(written)
    for code in codes:
        if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 255:
            raise ValueError(f"must be a number, or several, from 0 to 255, not {shown(written)}")
    return tuple(codes)


@contextmanager
def given(to_run: Any) -> Iterator[Given]:
    """The arguments that make bash run a command; a long one lies in memory, and bash reads it. Raises CannotStart."""
    try:
        script = _encoded(to_run)
    except ValueError as wrong:
        raise CannotStart(f"bash_command {wrong}") from None
    if len(script) < _LONGEST:
        yield Given(["bash", "-c", script])
        return
    descriptor = os.memfd_create("bash_command")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(script)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield Given(["bash", "-c", _READER.format(descriptor)], (descriptor,))
    finally:
        os.close(descriptor)


def variables(written: Any, *, append: bool) -> dict[bytes, bytes]:
    """The environment that bash gets: these variables, beside our own or in their place. Raises CannotStart."""
    if not isinstance(written, Mapping):
        raise CannotStart(f"env must be a dict of texts, not {shown(written)}")
    found = dict(os.environb) if append else {}
    for name, value in written.items():
        try:
            key, content = _variable(name, value)
        except ValueError as wrong:
            raise CannotStart(f"env[{shown(name)}] {wrong}") from None
        if long := _too_long(key, content):
            raise CannotStart(f"env[{shown(name)}] {long}")
        found[key] = content
    return found


def too_much(environment: Mapping[bytes, bytes] | None) -> CannotStart:
    """What to say when the kernel takes each part and not the whole."""
    whole = environment if environment is not None else os.environb
    size = sum(len(name) + len(value) + 2 for name, value in whole.items())
    return CannotStart(
        f"its environment is {size:,} bytes long, more with its command than Linux takes (a quarter of `ulimit -s`): "
        f"write the longest to files and give their paths"
    )


def _variable(name: Any, value: Any) -> tuple[bytes, bytes]:
    key = _encoded(name)
    if not key or b"=" in key:
        raise ValueError("has a name that is empty or has = in it")
    return key, _encoded(value)


def _too_long(name: bytes, value: bytes) -> str:
    most = _LONGEST - len(name) - 2
    if len(value) <= most:
        return ""
    return f"is {len(value):,} bytes long, and Linux takes at most {most:,}: write it to a file and give its path"


def _encoded(value: Any) -> bytes:
    """A text as a process gets it. Raises ValueError with what is wrong with it."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}")
    try:
        encoded = os.fsencode(value)
    except UnicodeEncodeError:
        raise ValueError("has half a character in it, which no program can be given") from None
    if b"\0" in encoded:
        raise ValueError("has a NUL character in it, where a program would take it to end")
    return encoded
