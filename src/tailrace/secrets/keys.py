"""The keys that stored secrets are encrypted with: of the environment, or of a file that is its owner's alone.

Each is a key of Fernet (32 bytes in URL-safe base64). The first encrypts; all of them decrypt, so that a key can be
replaced while others still know the former one. The file is made when the first secret is stored.
"""

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tailrace.errors import EnvironmentBroken
from tailrace.model.plain_text import on_one_line
from tailrace.permissions import create_file, is_shared

VARIABLE = "TAILRACE_SECRET_KEY"
FILE_NAME = "secret.key"

_KEY_BYTES = 32
_HOW_TO_MAKE = "`openssl rand -base64 32 | tr '+/' '-_'` makes one"
_MOST_BYTES = 100_000


class Keys(Struct, frozen=True):
    """The keys there are, the one that encrypts first, and where they are from. None: no secret was stored yet."""

    keys: tuple[str, ...]
    origin: str


class KeyStore(Struct, frozen=True):
    """Where the keys are: in ``environ``, or in ``file``."""

    file: Path
    environ: Mapping[str, str] = os.environ

    @property
    def is_from_environment(self) -> bool:
        """Whether the environment has them."""
        return bool(self.environ.get(VARIABLE))

    def read(self) -> Keys:
        """The keys there are; raises EnvironmentBroken where they cannot be used."""
        if text := self.environ.get(VARIABLE):
            return Keys(_checked(text.replace(",", "\n"), VARIABLE), f"environment {VARIABLE}")
        return Keys(self._read_file(), on_one_line(self.file))

    def read_or_make(self) -> Keys:
        """The same; a key is made where there is none."""
        found = self.read()
        if found.keys:
            return found
        beside = self._write_beside((new_key(),), 0)
        try:
            os.link(beside, self.file)  # whole, or not at all; another process may be first
        except FileExistsError:
            pass
        except OSError as trouble:
            raise _no_key_file(self.file, "cannot be made", trouble) from None
        finally:
            beside.unlink(missing_ok=True)
        found = self.read()
        if not found.keys:
            raise EnvironmentBroken(f"{found.origin} holds no key; remove it, or put the key into it")
        return found

    def add_first(self) -> Keys:
        """Put a new key in front of those in the file: what they encrypted can be read still.

        Keys of the environment stay as they are: only a person can change them.
        """
        found = self.read_or_make()
        if self.is_from_environment:
            return found
        keys = (new_key(), *found.keys)
        beside = self._write_beside(keys, stat.S_IMODE(os.stat(self.file).st_mode))
        try:
            os.replace(beside, self.file)
        except OSError as trouble:
            beside.unlink(missing_ok=True)
            raise _no_key_file(self.file, "cannot be written", trouble) from None
        return Keys(keys, found.origin)

    def _write_beside(self, keys: tuple[str, ...], mode: int) -> Path:
        """A file with these keys beside ours, of this mode (0: as its folder says)."""
        beside = self.file.with_name(f"{self.file.name}.{secrets.token_hex(4)}")
        try:
            descriptor = create_file(beside, os.O_WRONLY)
        except OSError as trouble:
            raise _no_key_file(self.file, "cannot be made", trouble) from None
        try:
            if mode:
                os.fchmod(descriptor, mode)
            _write_all(descriptor, "".join(f"{key}\n" for key in keys).encode())
            os.fsync(descriptor)
        except OSError as trouble:
            beside.unlink(missing_ok=True)
            raise _no_key_file(self.file, "cannot be written", trouble) from None
        finally:
            os.close(descriptor)
        return beside

    def _read_file(self) -> tuple[str, ...]:
        try:
            descriptor = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return ()
        except OSError as trouble:
            raise _no_key_file(self.file, "cannot be read", trouble) from None
        try:
            self._require_private(os.fstat(descriptor))
            text = os.read(descriptor, _MOST_BYTES).decode("ascii", "replace")
        except OSError as trouble:
            raise _no_key_file(self.file, "cannot be read", trouble) from None
        finally:
            os.close(descriptor)
        return _checked(text, on_one_line(self.file))

    def _require_private(self, about: os.stat_result) -> None:
        """Whoever else can read it can read every secret; who else may write it can have ours encrypted for him."""
        where, mode = on_one_line(self.file), stat.S_IMODE(about.st_mode)
        if not stat.S_ISREG(about.st_mode):
            raise EnvironmentBroken(f"{where} is no file; the keys of stored secrets are in one")
        if about.st_uid not in (0, os.geteuid()) and not is_shared(self.file.parent):
            raise EnvironmentBroken(f"{where} belongs to another user; own it, or set {VARIABLE}")
        allowed = 0o770 if is_shared(self.file.parent) else 0o700
        if mode & 0o777 & ~allowed:
            raise EnvironmentBroken(
                f"{where} can be read by others (mode {mode:04o}); close it with `chmod 600 {where}`, and change what "
                "was stored if others have read it"
            )


def new_key() -> str:
    """A key, of the operating system's randomness."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _checked(text: str, where: str) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))
    for number, key in enumerate(keys, 1):
        try:
            size = len(base64.b64decode(key.encode("ascii"), b"-_", validate=True))
        except (binascii.Error, UnicodeError, ValueError):
            size = 0
        if size != _KEY_BYTES:
            which = "" if len(keys) == 1 else f" {number}"
            raise EnvironmentBroken(
                f"{where}: key{which} must be 32 bytes in URL-safe base64, 44 characters; {_HOW_TO_MAKE}"
            )
    return keys


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


def _no_key_file(file: Path, what: str, trouble: OSError) -> EnvironmentBroken:
    return EnvironmentBroken(
        f"{on_one_line(file)}, which holds the key of stored secrets, {what} ({trouble.strerror}); "
        f"let its owner run this, or set {VARIABLE}"
    )
