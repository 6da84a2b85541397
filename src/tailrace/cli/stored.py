"""Opens the metastore for commands that only ask or set: asking never creates one.

Importing this loads SQLAlchemy: no module that ``backfill run`` needs before the zygote is forked may do so.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tailrace.cli.speaking import current_speaker
from tailrace.errors import CommandError
from tailrace.metastore.sqlite_file import SqliteFile
from tailrace.metastore.store import Metastore
from tailrace.model.suggestions import did_you_mean
from tailrace.runtime.opening import open_metastore
from tailrace.runtime.settings import Settings


@contextmanager
def opened(settings: Settings) -> Iterator[Metastore]:
    """The metastore, created if it is not there: for commands that write."""
    metastore = open_metastore(settings)
    try:
        yield metastore
    finally:
        metastore.close()


@contextmanager
def existing(settings: Settings) -> Iterator[Metastore | None]:
    """The metastore, or None when it is a SQLite file that is not there yet: for commands that ask."""
    file = settings.sqlite_file
    if file is not None and SqliteFile(file).is_not_there_yet():
        yield None
        return
    with opened(settings) as metastore:
        yield metastore


@contextmanager
def asked(settings: Settings) -> Iterator[Metastore | None]:
    """The same, and an older schema is refused, not migrated: for commands that promise to write nothing."""
    if Metastore.is_empty(settings.database_url):
        yield None
        return
    metastore = open_metastore(settings, may_migrate=False)
    try:
        yield metastore
    finally:
        metastore.close()


def require_known(metastore: Metastore | None, dag_id: str) -> None:
    """Raise CommandError, with the nearest names, for a DAG that the metastore has never seen."""
    known = () if metastore is None else metastore.known_dags()
    if dag_id not in known:
        raise CommandError(f"{dag_id} has never run here{did_you_mean(dag_id, known)}")


def say_empty(settings: Settings) -> None:
    """Say that nothing is remembered yet, and what would change that."""
    current_speaker().note(
        f"no metastore at {settings.sqlite_file or settings.database_url} yet; `tailrace backfill` makes one"
    )


def new_write_id() -> str:
    """A client-made id for one write, so that repeating it is harmless."""
    return uuid.uuid4().hex
