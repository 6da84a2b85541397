"""Looks up Variables and Connections for others: the environment first, then backends, then what is stored."""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from tailrace.errors import EnvironmentBroken, TailraceError
from tailrace.secrets.backends import NamedBackend
from tailrace.secrets.keys import VARIABLE, Keys, KeyStore
from tailrace.secrets.names import SecretKind, in_environment
from tailrace.secrets.requests import (
    LONGEST_VALUE,
    SecretFound,
    SecretQuery,
    SecretRefused,
    SecretReply,
    SecretRequest,
    VariableChange,
)

if TYPE_CHECKING:
    from tailrace.secrets.cipher import Cipher


class Stored(Protocol):
    """What is stored, encrypted: the metastore."""

    def read_secret(self, kind: SecretKind, name: str) -> str | None:
        """The encrypted text of this name."""

    def some_secrets(self, kind: SecretKind, but: str) -> Sequence[tuple[SecretKind, str, str]]:
        """Some that are stored, as kind, name and encrypted text; not the one of this name."""


class Lookup:
    """Replies to queries. ``stored`` opens what is stored when it is needed; it returns None where there is none."""

    def __init__(
        self,
        keys: KeyStore,
        backends: Sequence[NamedBackend],
        stored: Callable[[], Stored | None],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.keys = keys
        self._backends = backends
        self._stored = stored
        self._environ = environ
        self._fitting: tuple[str, ...] | None = None  # keys of which one has decrypted what is stored

    def reply(self, query: SecretQuery) -> SecretReply:
        """The text, or that there is none, or why it cannot be read."""
        before = self.outside(query)
        if before is not None:
            return before
        try:
            stored = self._stored()
            text = None if stored is None else stored.read_secret(query.kind, query.name)
            return SecretFound(None) if text is None else self.decrypted(query.kind, query.name, text)
        except TailraceError as trouble:
            return SecretRefused(str(trouble))

    def outside(self, query: SecretQuery) -> SecretReply | None:
        """What goes before all that is stored: the environment, and backends."""
        own = in_environment(query.kind, query.name, self._environ)
        if own is not None:
            return SecretFound(own[1], f"environment {own[0]}")
        for backend in self._backends:
            if (reply := backend.ask(query)) is not None:
                return reply
        return None

    def decrypted(self, kind: SecretKind, name: str, stored: str) -> SecretReply:
        """What is stored, in the clear; or why that cannot be."""
        try:
            keys = self.keys.read()
        except EnvironmentBroken as trouble:
            return SecretRefused(str(trouble))
        if not keys.keys:
            return SecretRefused(
                f"it is encrypted, and there is no key here: put the key that it was stored with into {keys.origin} "
                f"(mode 0600), or into {VARIABLE}; or store it again"
            )
        text = cipher_of(keys.keys).decrypt(kind, name, stored)
        if text is None:
            return SecretRefused(
                f"it does not decrypt with any key of {keys.origin}: add the key that it was stored with, or store it "
                "again"
            )
        return SecretFound(text, "metastore")

    def encrypted(self, kind: SecretKind, name: str, text: str) -> str | SecretRefused:
        """A text as it is to be stored; refused where its key does not fit what is stored already."""
        if (size := len(text.encode("utf-8", "surrogatepass"))) > LONGEST_VALUE:
            return SecretRefused(f"it is {size:,} bytes long; {LONGEST_VALUE:,} is the limit: store a path instead")
        try:
            text.encode()
        except UnicodeError:
            return SecretRefused("half a character is in it, which no store takes")
        keys = self.keys.read()
        if keys.keys != self._fitting and (refused := self._misfit(keys, kind, name)) is not None:
            return refused
        return cipher_of(self.keys.read_or_make().keys).encrypt(kind, name, text)

    def _misfit(self, keys: Keys, kind: SecretKind, name: str) -> SecretRefused | None:
        """Why none of the keys may encrypt: what is stored under other names needs another one."""
        stored = self._stored()
        others = () if stored is None else stored.some_secrets(kind, name)
        if others and all(isinstance(self.decrypted(*other), SecretRefused) for other in others):
            first = others[0]
            return SecretRefused(
                f"what is stored already ({first[0].shown} {first[1]!r} and the like) does not decrypt with any key of "
                f"{keys.origin}: add the key that it was stored with, or delete it first"
            )
        self._fitting = keys.keys if others else None
        return None

    def reply_to(self, request: SecretRequest, store: Callable[[VariableChange, str | None], None]) -> SecretReply:
        """The reply to a task's request; ``store`` writes a change, with the encrypted text (None: deletes it)."""
        if isinstance(request, SecretQuery):
            return self.reply(request)
        try:
            text = None
            if request.value is not None:
                encrypted = self.encrypted(SecretKind.VARIABLE, request.name, request.value)
                if isinstance(encrypted, SecretRefused):
                    return encrypted
                text = encrypted
            store(request, text)
        except TailraceError as trouble:
            return SecretRefused(str(trouble))
        before = self.outside(SecretQuery(SecretKind.VARIABLE, request.name))
        return SecretFound(None, before.origin if isinstance(before, SecretFound) else "")


def cipher_of(keys: Sequence[str]) -> "Cipher":
    """What encrypts with these keys. Loads the library."""
    made: Cipher = importlib.import_module("tailrace.secrets.cipher").Cipher(keys)
    return made
