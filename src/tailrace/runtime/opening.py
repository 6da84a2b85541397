"""Opens the metastore of the settings, in a home that is the person's own, or shared with the group they name."""

import grp
import os
import shlex
import stat
import uuid
from pathlib import Path

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.metastore.store import Metastore
from tailrace.model.plain_text import on_one_line
from tailrace.permissions import is_shared, make_folder
from tailrace.runtime.person import current_person
from tailrace.runtime.settings import Settings


def open_metastore(settings: Settings, *, runs_tasks: bool = False, person: str | None = None) -> Metastore:
    """The metastore, created or migrated if need be; ``runs_tasks``: and the home, for the logs of their tries.

    ``person`` is whose commands are written there; by default the user of this process.
    """
    prepare_folders(settings, runs_tasks=runs_tasks)
    return Metastore.open(
        settings.database_url,
        sqlite_synchronous=settings.sqlite_synchronous,
        person=current_person() if person is None else person,
    )


def prepare_folders(settings: Settings, *, runs_tasks: bool = False) -> None:
    """Make the folder of a SQLite file that is to be made, and the home if tasks run. Raises EnvironmentBroken.

    With ``shared_group`` raises CommandError for a folder that is there and is not shared: nothing is changed that
    somebody made.
    """
    file = settings.sqlite_file
    folders = [settings.home] if runs_tasks else []
    if file is not None and not file.exists():
        folders.append(file.parent)
    for folder in dict.fromkeys(folders):
        _prepare(folder, settings.shared_group)
        _refuse_planted(folder, [settings.logs, *([] if file is None else [file])])


def _prepare(folder: Path, named: str) -> None:
    group = _number(named)
    try:
        make_folder(folder, group)
        about = folder.stat()
    except OSError as trouble:
        advice = "; a folder is shared by a member of the group, or by root" if group is not None else ""
        raise EnvironmentBroken(
            f"{on_one_line(folder)} cannot be made ({trouble.strerror}){advice}; "
            "make it writable or set TAILRACE_HOME to another folder"
        ) from trouble
    if group is not None and not (about.st_gid == group and is_shared(folder)):
        where = shlex.quote(str(folder))
        raise CommandError(
            f"{on_one_line(folder)} is there already, and not shared with the group {named}; share it: "
            f"{on_one_line(f'chgrp -R {named} {where} && chmod -R g+rwX {where} && chmod g+s {where}')}"
        )


def _number(group: str) -> int | None:
    if not group:
        return None
    return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid


def _refuse_planted(folder: Path, ours: list[Path]) -> None:
    """Where everybody may write, another user may have put what we would write to."""
    if not folder.stat().st_mode & stat.S_IWOTH:
        return
    for path in ours:
        if path.parent == folder and _is_another_users(path):
            raise EnvironmentBroken(
                f"{on_one_line(path)} is another user's, in a folder where everybody may write; "
                "set TAILRACE_HOME to a folder of your own"
            )


def _is_another_users(path: Path) -> bool:
    try:
        return os.lstat(path).st_uid not in (0, os.geteuid())
    except FileNotFoundError:
        return False


def new_write_id() -> str:
    """A client-made id for one write: the same id repeats the same write, so a lost result costs nothing."""
    return uuid.uuid4().hex
