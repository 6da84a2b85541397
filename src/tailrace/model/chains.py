"""How rows of history are chained: each carries a digest of itself and of the row before it about the same thing.

Whoever changes, removes or adds a row behind the product's back breaks the chain of what it is about. The newest digest
and the number of rows stand on the thing's own row as well. What has no row of its own that stays (the schema, pools,
secrets, what was cleaned away) is in the one chain of the metastore; results that were refused are in one of their own,
beside that of their task instance.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from json import JSONEncoder
from typing import Any, NamedTuple

from msgspec.json import Encoder

#: What the digest of a row covers. The ids of the row itself, and of the row it is about, are not known before they
#: are written: the first tells the order in a chain, the second is compared with the row it is about.
COVERED = (
    *("at", "write_id", "kind", "dag_id", "run_id", "task_id", "map_index", "backfill_id", "before", "after", "actor"),
    *("cause", "try_number", "token", "job_id", "reason", "evidence", "dag_version_id", "pool", "person", "sets"),
)

#: The kind of a row that says which columns of what it is about were set, where no state was. ``after`` is the table.
CHANGED = "changed"
METASTORE = "metastore"
#: The kind of a row about a worker's late outcome: nothing changed, ``after`` is what it would have become.
REFUSED = "refused"

#: The first revision of the schema by which every row of history is chained.
CHAINED = "0007"

_DIGEST_BYTES = 20


def _plain(value: Any) -> str:
    """Text of a kind of its own, as SQLAlchemy's names are, as text."""
    if isinstance(value, str):
        return str.__str__(value)
    raise NotImplementedError(f"no cell of a history row is a {type(value).__name__}")


#: By table, the columns of history that name one of its rows.
KEYS = {
    "task_instance": ("dag_id", "run_id", "task_id", "map_index"),
    REFUSED: ("dag_id", "run_id", "task_id", "map_index"),
    "dag_run": ("dag_id", "run_id"),
    "backfill": ("backfill_id",),
    "job": ("job_id",),
    "dag": ("dag_id",),
    "dag_version": ("dag_version_id",),
    "loaded_dag": ("dag_id",),
    "pool": ("pool",),
    "variable": ("pool",),
    "connection": ("pool",),
}
#: Their rows say nothing of a chain.
_OF_METASTORE = frozenset({"pool", "variable", "connection"})
_PLACES = {table: tuple(COVERED.index(name) for name in names) for table, names in KEYS.items()}
_KIND, _AFTER = COVERED.index("kind"), COVERED.index("after")
_ENCODE = Encoder(enc_hook=_plain).encode
_ENCODE_HALVES = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

#: A table and the key of one of its rows.
Subject = tuple[str | int | None, ...]


class Chain(NamedTuple):
    """How far a chain has come: its newest digest (None before the first row) and its number of rows."""

    head: str | None = None
    length: int = 0


def link(before: str | None, cells: Sequence[str | int | None]) -> str:
    """The digest of a row (its cells in the order of ``COVERED``) behind one with the digest ``before``, hexadecimal.

    JSON keeps apart what is not the same: NULL and the empty text, a number and its digits, where one cell ends.
    """
    return _digest([before, *cells])


def text_digest(text: str) -> str:
    """The digest by which a large text is known: the value of an XCom."""
    return _digest(text)


def subject_of(cells: Sequence[Any]) -> Subject:
    """What a row of history (its cells in the order of ``COVERED``) is about: a table, and the key of one row."""
    kind = cells[_KIND]
    table = cells[_AFTER] if kind == CHANGED else kind
    places = _PLACES.get(table)
    return (METASTORE,) if places is None else (table, *[cells[place] for place in places])


def chain_of(subject: Subject) -> Subject:
    """In which chain the rows about it are."""
    return (METASTORE,) if subject[0] in _OF_METASTORE else subject


def moment_cell(moment: datetime) -> str:
    """A moment as it is covered, and as SQLite keeps it: UTC, to the microsecond."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def encoded(value: Any) -> bytes:
    """As JSON, of which there is one for each value."""
    try:
        return _ENCODE(value)
    except UnicodeEncodeError:  # half a character: no store takes it, and it is kept apart all the same
        return _ENCODE_HALVES(value).encode("utf-8", "surrogatepass")


def _digest(value: Any) -> str:
    return blake2b(encoded(value), digest_size=_DIGEST_BYTES).hexdigest()
