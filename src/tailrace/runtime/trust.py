"""Whose settings, homes and DAG files are obeyed where nobody named them: the person's own, and root's.

Whoever can write to a folder above the working folder (/tmp is above many) could otherwise run code as whoever types a
command below it. Git has the same rule; as with git, TAILRACE_SAFE_DIRECTORIES names exceptions, for bind mounts and
containers, and what a person names (an option, a variable) is obeyed whoever owns it.
"""

import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tailrace.model.plain_text import on_one_line

SAFE_DIRECTORIES = "TAILRACE_SAFE_DIRECTORIES"


class Untrusted(Struct, frozen=True):
    """Why something that was found is not certainly the person's own. ``foreign``: it is certainly not."""

    path: Path
    why: str
    foreign: bool

    def __str__(self) -> str:
        return f"{on_one_line(self.path)} {self.why}"

    @property
    def remedy(self) -> str:
        """How to have it obeyed all the same."""
        return f"{SAFE_DIRECTORIES}={on_one_line(self.path.parent)} trusts what is there"


class Trust:
    """Whom a process trusts: itself, root, and under sudo whoever typed that."""

    def __init__(self, environ: Mapping[str, str], cwd: Path) -> None:
        own = os.geteuid()
        self._users = {0, own}
        typed = environ.get("SUDO_UID", "")
        if own == 0 and typed.isdecimal():
            self._users.add(int(typed))
        named = [text for text in environ.get(SAFE_DIRECTORIES, "").split(os.pathsep) if text]
        self._everything = "*" in named
        self._safe = {_real(cwd, text) for text in named if not text.endswith("/*")}
        self._safe_below = [_real(cwd, text[:-2] or "/") for text in named if text.endswith("/*")]

    def untrusted(self, path: Path) -> Untrusted | None:
        """Why ``path``, which nobody named, may be another user's; None for one that may be obeyed, or is not there."""
        try:
            seen = [os.lstat(path), os.stat(path)]
            around = os.stat(path.parent)
        except OSError:
            return None
        if self._is_safe(path.parent):
            return None
        for each in (*seen, around):
            if each.st_uid not in self._users:
                whose = "belongs to" if each is not around else "is in a folder of"
                return Untrusted(path, f"{whose} {_name(each.st_uid)}", foreign=True)
        if seen[1].st_mode & stat.S_IWOTH:
            return Untrusted(path, "may be written to by everybody (chmod o-w)", foreign=False)
        if around.st_mode & stat.S_IWOTH and not around.st_mode & stat.S_ISVTX:
            return Untrusted(path, "is in a folder where everybody may replace it (chmod o-w)", foreign=False)
        return None

    def _is_safe(self, folder: Path) -> bool:
        if self._everything:
            return True
        real = Path(os.path.realpath(folder))
        return real in self._safe or any(real.is_relative_to(above) for above in self._safe_below)


def _real(cwd: Path, text: str) -> Path:
    return Path(os.path.realpath(cwd / os.path.expanduser(text)))


def _name(user: int) -> str:
    try:
        return f"{pwd.getpwuid(user).pw_name} (uid {user})"
    except KeyError:
        return f"uid {user}"
