"""Whose the files and folders are that Tailrace makes: their owner's alone, whatever the umask; or a group's too.

A folder is *shared* when its group may write there and what is made in it gets that group (mode 2770): the setting
``shared_group`` makes the home so, or a person does, with chgrp and chmod. What is made in a shared folder is shared.
Only what is new gets a mode here: what somebody has opened or closed since stays so.
"""

import os
import stat
from pathlib import Path

_SHARED = stat.S_ISGID | stat.S_IWGRP


def is_shared(folder: str | Path) -> bool:
    """Whether what is made in this folder is its group's too."""
    return os.stat(folder).st_mode & _SHARED == _SHARED


def make_folder(folder: str | Path, group: int | None = None) -> None:
    """Make a folder, and those it is in, unless they are there; with ``group`` the new ones are shared with it.

    Raises OSError.
    """
    path = os.fspath(folder)
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        above = os.path.dirname(path)
        if not above or above == path:
            raise
        make_folder(above, group)
        make_folder(path, group)
        return
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    if group is not None:
        os.chown(path, -1, group)
        os.chmod(path, 0o2770)
    elif is_shared(os.path.dirname(path) or os.curdir):
        os.chmod(path, 0o2770)
    else:
        os.chmod(path, 0o700)


def create_file(file: str | Path, flags: int = os.O_RDWR) -> int:
    """A new file, open: its folder says whether it is shared. Raises FileExistsError, a link included, and OSError."""
    path = os.fspath(file)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        mode = 0o660 if is_shared(os.path.dirname(path) or os.curdir) else 0o600
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:  # a change costs more than a look
            os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
