"""Files of seals: written whole or not at all, never over anything but a seal that still holds, and read with care."""

import os
from contextlib import suppress
from pathlib import Path

from tailrace.audit.seals import NoSeal, Seal, root_of, seal_from, seal_lines
from tailrace.errors import CommandError
from tailrace.permissions import create_file

#: A header is shorter; what begins with a longer line is no seal, however large it is.
_LONGEST_HEADER = 1000


def read_seal(file: Path) -> Seal:
    """The seal in a file. Raises CommandError, in one line, for one that cannot be read or holds none."""
    try:
        with file.open("rb") as opened:
            header = opened.readline(_LONGEST_HEADER)
            lines = [header, *opened] if header.endswith(b"\n") else [header]
        return seal_from([line.rstrip(b"\n") for line in lines])
    except OSError as error:
        raise CommandError(f"{file}: the seal cannot be read: {error.strerror}") from None
    except NoSeal as wrong:
        raise CommandError(f"{file}: {wrong}; name a file that an audit wrote with --seal") from None


def require_new(file: Path) -> None:
    """Raise CommandError where a seal would be written over something."""
    if os.path.lexists(file):
        raise CommandError(
            f"{file}: it exists, and a seal is not written over anything; name another file, "
            "or give the same one with --against as well, to go on from it"
        )


def write_seal(file: Path, seal: Seal) -> str:
    """Write it, whole or not at all; its root. Raises CommandError where the file cannot be written."""
    lines = seal_lines(seal)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(create_file(partial), "wb") as opened:
            opened.writelines(line + b"\n" for line in lines)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(partial, file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise CommandError(f"{file}: the seal cannot be written: {error.strerror}") from None
    return root_of(lines)
