"""The bytes of the files of a DAG folder, read once: kept, the same code can be loaded again whatever became of them.

A job runs the code that it has loaded. When the process that holds it is gone, another loads it anew from these bytes,
and not from files that may have changed since.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tailrace.authoring.loading.dag_files import read_source


class _Written(msgspec.Struct, array_like=True):
    """As it is written down. Names are bytes, as the kernel has them."""

    root: bytes
    dag_files: dict[str, bytes]
    sources: dict[bytes, bytes]


class Kept(msgspec.Struct, frozen=True):
    """What a load that is to be done again has found: the DAG folder, and the DAG file of each DAG."""

    root: Path
    dag_files: dict[str, Path]


class Sources:
    """What was read of a DAG folder, now or (``kept``) when it was loaded first."""

    def __init__(self, kept: Kept | None = None, read: dict[str, bytes] | None = None) -> None:
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

    def packed(self, root: Path, dag_files: Mapping[str, Path]) -> bytes:
        """All that was read, and the DAG file of each DAG, to be loaded again by another process."""
        files = {dag_id: os.fsencode(file) for dag_id, file in dag_files.items()}
        read = {os.fsencode(file): data for file, data in self._read.items()}
        return msgspec.msgpack.encode(_Written(os.fsencode(root), files, read))

    @classmethod
    def unpacked(cls, packed: bytes) -> "Sources":
        """What ``packed`` returned."""
        written = msgspec.msgpack.decode(packed, type=_Written)
        files = {dag_id: Path(os.fsdecode(file)) for dag_id, file in written.dag_files.items()}
        read = {os.fsdecode(file): data for file, data in written.sources.items()}
        return cls(Kept(Path(os.fsdecode(written.root)), files), read)
