"""Who types a command, as history keeps it: ``user@host``. It names whom to ask; it proves nothing."""

import os
import pwd
import socket
from collections.abc import Callable, Mapping

from tailrace.model.plain_text import visible_line

#: Of a whole ``user@host``, in characters.
LONGEST_PERSON = 200


def _user_name(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name


def current_person(
    environ: Mapping[str, str] = os.environ,
    *,
    uid: Callable[[], int] = os.getuid,
    user_name: Callable[[int], str] = _user_name,
    host_name: Callable[[], str] = socket.gethostname,
) -> str:
    """The user of this process, or who became that user by sudo. Never fails; without a name it is ``uid 1000@host``.

    The user's name is the system's, not that of $USER, which is often somebody else's in a container or under ``su``.
    """
    user = environ.get("SUDO_USER") or _named(uid(), user_name)
    try:
        host = host_name()
    except OSError:
        host = ""
    return visible_line(f"{user}@{host or 'unknown host'}", LONGEST_PERSON)


def _named(uid: int, user_name: Callable[[int], str]) -> str:
    try:
        return user_name(uid) or f"uid {uid}"
    except (KeyError, OSError):  # a container may run as a number that has no entry, or none that can be asked
        return f"uid {uid}"
