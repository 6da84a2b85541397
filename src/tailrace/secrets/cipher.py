"""Encrypts secrets for the metastore, each for its own kind and name: one that is moved to another name is refused.

The ``cryptography`` library is loaded only here, by whoever has something to encrypt or decrypt.
"""

import json
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tailrace.secrets.names import SecretKind


class Cipher:
    """Encrypts with the first of some keys, and decrypts with whichever fits."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernets = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, kind: SecretKind, name: str, text: str) -> str:
        """The text, as it is stored."""
        packed = json.dumps([str(kind), str.__str__(name), str.__str__(text)]).encode()
        return self._fernets.encrypt(packed).decode()

    def decrypt(self, kind: SecretKind, name: str, stored: str) -> str | None:
        """The text that was encrypted; None: with none of these keys, or it is stored under another name."""
        try:
            packed = json.loads(self._fernets.decrypt(stored))
        except (InvalidToken, ValueError, TypeError):
            return None
        if not isinstance(packed, list) or len(packed) != 3 or packed[:2] != [str(kind), name]:
            return None
        text: str = packed[2]
        return text
