"""The bytes of the files of a DAG folder, read once: kept, the same code can be loaded again whatever became of them.

A job runs the code that it has loaded. When the process that holds it is gone, another loads it anew from these bytes,
and not from files that may have changed since.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tailrace.authoring.dag_files import read_source


class _Kept(msgspec.Struct, array_like=True):
    """As it is written down. Names are bytes, as the kernel has them."""

    dag_files: list[bytes]
    sources: dict[bytes, bytes]


class Sources:
    """What was read of a DAG folder. ``kept`` are the DAG files of a load that is repeated; None: as they are now."""

    def __init__(self, kept: Sequence[Path] | None = None, read: dict[str, bytes] | None = None) -> None:
        self.kept = kept
        self._read = read or {}

    def read(self, file: str) -> bytes:
        """The bytes of a file, the first time from where it lies. Raises Unreadable."""
        found = self._read.get(file)
        if found is None:
            found = self._read[file] = read_source(file)
        return found

    def has(self, file: str, *, now: bool) -> bool:
        """Whether there is such a file: among those kept, or (``now``, or where nothing is kept) where it lies."""
        return file in self._read or ((now or self.kept is None) and os.path.isfile(file))

    def has_folder(self, folder: str) -> bool:
        """Whether a file that was read lies in this folder."""
        return any(file.startswith(folder + os.sep) for file in self._read)

    def packed(self, dag_files: Sequence[Path]) -> bytes:
        """All that was read, and which of it are the DAG files, to be loaded again by another process."""
        sources = {os.fsencode(file): data for file, data in self._read.items()}
        return msgspec.msgpack.encode(_Kept([os.fsencode(file) for file in dag_files], sources))

    @classmethod
    def unpacked(cls, packed: bytes) -> "Sources":
        """What ``packed`` said."""
        kept = msgspec.msgpack.decode(packed, type=_Kept)
        files = [Path(os.fsdecode(file)) for file in kept.dag_files]
        return cls(files, {os.fsdecode(file): data for file, data in kept.sources.items()})
