"""Copies a SQLite metastore before its schema changes: beside it, as private as it is, never over another copy."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from tailrace.permissions import create_file


def back_up(file: Path, revision: str) -> Path:
    """The copy's path: ``NAME.REVISION.backup``, or with a number where that is taken. Raises OSError, sqlite3.Error.

    Called by whoever holds the file's write lock: what is copied is what will be changed.
    """
    target = _reserve(file, revision)
    partial = target.with_name(f"{target.name}.partial")
    try:
        os.close(create_file(partial))
        with closing(_connect(file)) as source, closing(_connect(partial)) as copy:
            source.backup(copy)
        os.replace(partial, target)
    except BaseException:
        for made in (partial, target):
            with suppress(OSError):
                made.unlink()
        raise
    return target


def _reserve(file: Path, revision: str) -> Path:
    number = 1
    while True:
        target = file.with_name(f"{file.name}.{revision}{'' if number == 1 else f'.{number}'}.backup")
        try:
            os.close(create_file(target))
            return target
        except FileExistsError:
            number += 1


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(os.fsencode(file))}?mode=rw", uri=True)
