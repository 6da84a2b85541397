"""Joins the lookup of Variables and Connections to the settings and the metastore: for workers, loads and commands.

Nothing here imports SQLAlchemy: a load is prepared before the zygote is forked.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from tailrace.permissions import make_folder
from tailrace.runtime.settings import Settings
from tailrace.secrets.backends import backends_of
from tailrace.secrets.keys import FILE_NAME, KeyStore
from tailrace.secrets.lookup import Lookup, Stored
from tailrace.secrets.requests import SecretQuery, SecretReply

if TYPE_CHECKING:
    from tailrace.metastore.store import Metastore


class SecretSettings(Struct, frozen=True):
    """What of the settings a lookup needs."""

    key_file: Path
    backends: tuple[str, ...] = ()
    backend_arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "SecretSettings":
        """Those of these settings: the key stands beside a SQLite file, so that it is found wherever that is used."""
        file = settings.sqlite_file
        folder = settings.home if file is None else file.parent
        return cls(folder / FILE_NAME, settings.secrets_backend, settings.secrets_backend_kwargs)

    def lookup(self, stored: Callable[[], Stored | None]) -> Lookup:
        """A lookup by them, in this metastore."""
        return Lookup(KeyStore(self.key_file), backends_of(self.backends, self.backend_arguments), stored)

    def prepare(self) -> None:
        """Make the folder of the key, for who is about to store the first secret."""
        make_folder(self.key_file.parent)


class LoadSecrets:
    """Replies to the queries of DAG files that are being loaded, by a metastore that is open only while they ask.

    ``migrates``: what follows will bring an older metastore up to date, so that it may be done now.
    """

    def __init__(self, settings: Settings, *, migrates: bool = False) -> None:
        self._settings = settings
        self._migrates = migrates
        self._metastore: Metastore | None = None
        self._lookup = SecretSettings.of(settings).lookup(self._stored)

    def reply(self, query: SecretQuery) -> SecretReply:
        """The reply; what is wrong with the metastore is one too."""
        return self._lookup.reply(query)

    def close(self) -> None:
        """Close the metastore, if it was opened."""
        if self._metastore is not None:
            self._metastore.close()
            self._metastore = None

    def _stored(self) -> Stored | None:
        if self._metastore is None:
            file = self._settings.sqlite_file
            if file is not None and not file.exists():
                return None
            if self._migrates:
                opened = importlib.import_module("tailrace.runtime.opening").open_metastore(self._settings)
            else:
                store = importlib.import_module("tailrace.metastore.store")
                opened = store.Metastore.open_to_read(self._settings.database_url)
            self._metastore = opened
        return self._metastore
