"""What a person can do who may read a folder and not write there; root becomes another user for it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534

#: Before a command that root types: as another user, who may read all there is (where Python lies may be closed to
#: others) and write nothing.
READING = (
    (
        *("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"),
        *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"),
    )
    if os.geteuid() == 0
    else ()
)


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that everybody may look into; pytest closes its own to others whenever a session begins."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def close_to_writing(folder: Path) -> None:
    """Let everybody read what is there, and nobody but root write."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def open_to_writing(folder: Path) -> None:
    """Let its owner write there again."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextmanager
def without_write(folder: Path) -> Iterator[None]:
    """Be somebody who may only read what is in this folder: one made by ``readable_folder``."""
    close_to_writing(folder)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
            os.setegid(group)
        open_to_writing(folder)


@contextmanager
def with_write(folder: Path) -> Iterator[None]:
    """Be the one again who may write there, meanwhile, within ``without_write``."""
    user, group = os.geteuid(), os.getegid()
    if os.getuid() == 0:
        os.seteuid(0)
        os.setegid(0)
    open_to_writing(folder)
    try:
        yield
    finally:
        close_to_writing(folder)
        if os.getuid() == 0:
            os.setegid(group)
            os.seteuid(user)
