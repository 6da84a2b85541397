"""The metastore's upkeep: its schema, the audit of its history, and the removal of what is old."""

from collections import Counter

from tailrace.audit.records import Report
from tailrace.audit.seals import Seal, SealCheck
from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.metastore.db.connection import Database
from tailrace.metastore.repeating import Attempts
from tailrace.metastore.schema.revisions import HEAD, SchemaReport, migrate, revision
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.messages import Action, Advised, Remedy, Unusable
from tailrace.runtime.opening import new_write_id, prepare_folders
from tailrace.runtime.person import current_person
from tailrace.runtime.settings import Settings
from tailrace.service.stores import Stores

_WAIT_SECONDS = 30.0
_MIGRATE = Remedy(Action.MIGRATE)


def migrate_metastore(settings: Settings) -> SchemaReport:
    """Create the metastore, or bring its schema up to date. Raises EnvironmentBroken while a job is alive."""
    prepare_folders(settings)
    database = _database(settings)
    try:
        return migrate(database)
    finally:
        database.release()


def check_metastore(settings: Settings) -> SchemaReport:
    """Its schema, where this version can use it. Raises EnvironmentBroken where not."""
    database = _database(settings, reads_only=True)
    if database.is_not_there_yet():
        raise Unusable(
            Advised((f"no metastore at {database.where} yet; ", _MIGRATE, " or the first backfill makes it"))
        )
    try:
        found = Attempts(database).repeat(lambda: revision(database))
    finally:
        database.release()
    if found is None:
        raise Unusable(Advised((f"metastore {database.where} has no tables yet; ", _MIGRATE, " makes them")))
    if found != HEAD:
        other = f"metastore {database.where}: its schema is {found}"
        if found > HEAD:
            raise EnvironmentBroken(f"{other}, newer than this Tailrace's {HEAD}; upgrade Tailrace")
        raise Unusable(Advised((f"{other}, older than this Tailrace's {HEAD}; run ", _MIGRATE)))
    return SchemaReport(database.where, found, HEAD)


def _database(settings: Settings, *, reads_only: bool = False) -> Database:
    return Database(
        settings.database_url,
        clock=None,
        wait_seconds=_WAIT_SECONDS,
        sqlite_synchronous=settings.sqlite_synchronous,
        reads_only=reads_only,
        person=current_person(),
    )


def audit(stores: Stores, against: Seal | None = None) -> Report | None:
    """What an audit of the whole recorded history found; None where there is no metastore yet, nor was one sealed."""
    metastore = stores.reading()
    if metastore is not None:
        return metastore.audit(against)
    return Report(tuple(SealCheck(against).violations({})), {}) if against else None


def count_cleanable(stores: Stores, cleaning: Cleaning) -> dict[str, int] | None:
    """How much of what would be removed; None where there is no metastore yet. Raises CommandError for no such DAG."""
    metastore = stores.reading()
    if metastore is None:
        return None
    if cleaning.dag_id is not None and cleaning.dag_id not in (known := metastore.known_dags()):
        raise CommandError(f"no DAG {cleaning.dag_id!r} has ever run here{did_you_mean(cleaning.dag_id, known)}")
    return metastore.count_cleanable(cleaning)


def clean(stores: Stores, cleaning: Cleaning) -> dict[str, int]:
    """Remove it piece by piece, each a transaction of its own, until nothing is left to remove; what was removed."""
    metastore = stores.opened()
    removed: Counter[str] = Counter()
    while some := metastore.clean_some(cleaning, new_write_id()):
        removed.update(some)
    return dict(removed)
