"""The metastore of some settings, opened once for each thread that asks: what every function here reads and writes by.

Importing this loads SQLAlchemy: no module that ``backfill run`` needs before the zygote is forked may do so.
"""

import threading
from types import TracebackType
from typing import Self

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.sqlite_file import SqliteFile
from tailrace.metastore.store import LOCK_WAIT, Metastore
from tailrace.planning.messages import Typed, plainly
from tailrace.runtime.opening import open_metastore
from tailrace.runtime.settings import Settings

#: Seconds for which a read waits for a lock, or for a server that is away, where nobody may be kept waiting.
_SHORT_WAIT = 2.0


class Stores:
    """Gives each thread a metastore of its own, from the first time it asks until it closes it.

    ``typed`` words the command that a remedy means. ``person`` is whose commands are written; by default the user of
    this process. One that is not ``patient`` reports at once that the metastore is away, and waits for no server that
    comes back: many others wait for the thread.
    """

    def __init__(
        self, settings: Settings, typed: Typed = plainly, person: str | None = None, *, patient: bool = True
    ) -> None:
        self.settings = settings
        self.typed = typed
        self._person = person
        self._patient = patient
        self._own = threading.local()
        self._was_there = ""  # where a metastore has been read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def opened(self) -> Metastore:
        """The metastore, created if it is not there: for what writes."""
        current = self._current
        if current is None or current.reads_only:
            self.close()
            self._own.metastore = current = open_metastore(self.settings, person=self._person)
        return current

    def existing(self) -> Metastore | None:
        """The same, or None when it is a SQLite file that is not there yet: there is nothing to change."""
        file = self.settings.sqlite_file
        if file is not None and SqliteFile(file).is_not_there_yet():
            return None
        return self.opened()

    def reading(self) -> Metastore | None:
        """The metastore to read alone, or None when nothing was ever written: nothing is made, migrated or written.

        Raises EnvironmentBroken where one was read before, and is gone.
        """
        if self._current is None:
            wait = LOCK_WAIT if self._patient else _SHORT_WAIT
            self._own.metastore = found = Metastore.open_to_read(self.settings.database_url, lock_wait=wait)
            if found is not None:
                self._was_there = found.describe()
            elif self._was_there:
                raise EnvironmentBroken(f"metastore {self._was_there} is not there any more; put it back")
        return self._current

    def close(self) -> None:
        """Close this thread's metastore."""
        if self._current is not None:
            self._current.close()
            self._own.metastore = None

    @property
    def _current(self) -> Metastore | None:
        found: Metastore | None = getattr(self._own, "metastore", None)
        return found
