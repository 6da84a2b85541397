"""Which files are DAG files, what is in them, and what shows that one has changed. No user code runs here.

A name, a link or a kind of file that nobody can load harms itself alone: it is a mistake, and the others are found.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from tailrace.authoring.mistakes.dag_errors import DagError
from tailrace.model.plain_text import on_one_line

#: No DAG file is longer; what is (a log, a dump, a sparse file) was named ``.py`` by mistake.
LONGEST_FILE = 64 * 1024 * 1024

#: No file system's clock ticks slower.
_TIMESTAMP_NS = 2 * 10**9

#: What a file that is none is called.
_KINDS = {
    stat.S_IFIFO: "a FIFO (a named pipe)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

#: Where a folder really is, whatever names lead to it: device and inode.
_Place: TypeAlias = tuple[int, int]


class Unreadable(Exception):
    """A file that cannot be read as source; the message says why, as text that follows its name."""


def find_dag_files(path: Path) -> tuple[list[Path], list[DagError]]:
    """The DAG files at a path, in sorted order, and the folders that could not be looked into.

    ``path`` is a file, or a folder: then every ``*.py`` below it, but not what begins with ``.`` or ``_``, nor a
    virtual environment. Links to folders are followed, except into a folder that the link lies in.
    """
    path = path.absolute()
    if not os.path.lexists(path):
        return [], [DagError(on_one_line(path), 0, None, "no such file or folder of DAG files")]
    if not path.is_dir():
        return [path], []
    mistakes: list[DagError] = []
    return sorted(map(Path, _python_files(str(path), (".", "_"), mistakes, _folders_above(path)))), mistakes


def is_dag_file(file: Path, root: Path) -> bool:
    """Whether a file below a folder of DAG files is one by its name; else it is there to be imported."""
    return file.suffix == ".py" and not any(part.startswith((".", "_")) for part in file.relative_to(root).parts)


def _folders_above(path: Path) -> tuple[_Place, ...]:
    places = (os.stat(folder) for folder in path.resolve().parents)
    return tuple((found.st_dev, found.st_ino) for found in places)


def _python_files(
    folder: str, without: tuple[str, ...], mistakes: list[DagError], above: tuple[_Place, ...]
) -> Iterator[str]:
    """Every Python file below a folder, but what begins so. ``above``: the folders it lies in."""
    try:
        found = os.stat(folder)
        with os.scandir(folder) as entries:
            names = {entry.name: _is_folder(entry) for entry in entries}
    except OSError as trouble:
        mistakes.append(DagError(on_one_line(folder), 0, None, f"this folder cannot be read: {trouble.strerror}"))
        return
    here = (found.st_dev, found.st_ino)
    if here in above or "pyvenv.cfg" in names:
        return
    for name, is_folder in names.items():
        if name.startswith(without) or name == "__pycache__":
            continue
        if is_folder:
            yield from _python_files(os.path.join(folder, name), without, mistakes, (*above, here))
        elif name.endswith(".py"):
            yield os.path.join(folder, name)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def read_source(file: str | Path) -> bytes:
    """The bytes of a file. Raises Unreadable for what is no file (opening a FIFO would wait for ever), or too long."""
    try:
        _require_file(os.stat(file))
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            _require_file(os.fstat(descriptor))  # it may have been replaced since
            return opened.read()
    except OSError as trouble:
        target = "; it is a link" if os.path.islink(file) else ""
        raise Unreadable(f"cannot be read: {trouble.strerror}{target}") from None


def _require_file(found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise Unreadable(f"is {_KINDS.get(kind, 'no file')}, not a file: it is not opened")
    if found.st_size > LONGEST_FILE:
        raise Unreadable(f"is {found.st_size:,} bytes long; no DAG file is longer than {LONGEST_FILE:,}")


class FolderWatch:
    """Tells what is in the Python files at a path, to be compared with what was loaded.

    Sizes and times may be equal by accident, or kept by whoever put the files there (git-sync, rsync): a file is read
    again when anything about it is new, its inode and the time it was last touched included.
    """

    def __init__(self, path: Path) -> None:
        self.seen: dict[str, str] = {}  # what ``digests`` returned last
        self._path = path.absolute()
        self._known: dict[str, _Seen] = {}

    def digests(self) -> dict[str, str]:
        """What is in each Python file, as a hash; of one that cannot be read, why. Helper modules are among them."""
        path = self._path
        files = _python_files(str(path), (".",), [], _folders_above(path)) if path.is_dir() else [str(path)]
        self._known = {file: self._look_at(file) for file in files if os.path.lexists(file)}
        self.seen = {on_one_line(file): seen.digest for file, seen in self._known.items()}
        return self.seen

    def _look_at(self, file: str) -> "_Seen":
        now = time.time_ns()
        try:
            found = os.stat(file)
        except OSError as trouble:
            return _Seen((), str(trouble.strerror), now)
        stat_key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._known.get(file)
        # One that had just been touched when it was read may have been touched again within the same tick.
        if known is not None and known.stat_key == stat_key and known.read_at > found.st_ctime_ns + _TIMESTAMP_NS:
            return known
        try:
            digest = hashlib.sha256(read_source(file)).hexdigest()
        except Unreadable as why:
            digest = str(why)
        return _Seen(stat_key, digest, now)


class _Seen(Struct, frozen=True):
    stat_key: tuple[int, ...]
    digest: str
    read_at: int
