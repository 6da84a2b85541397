"""Stored Variables and Connections: encrypted text under a name. What they say in the clear, nobody knows here.

History says that one was set or deleted, and by whom; of its value only a digest of the encrypted text, so that the
audit finds one that was changed behind the product's back.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Table, bindparam, delete, insert, select, update

from tailrace.metastore.db.tables import connection, variable
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.views.persons import who_set
from tailrace.metastore.writes.records import (
    Author,
    changed_row,
    insert_metastore_history,
    metastore_chain,
    record,
)
from tailrace.model.chains import text_digest
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.transitions import Actor, Cause
from tailrace.secrets.names import SecretKind

_TABLES = {SecretKind.VARIABLE: variable, SecretKind.CONNECTION: connection}
_LISTS = {
    kind: select(table.c.name, table.c.value, table.c.description, table.c.set_at) for kind, table in _TABLES.items()
}
_ONES = {kind: _LISTS[kind].where(table.c.name == bindparam("of_name")) for kind, table in _TABLES.items()}

#: So many are looked at to know whether a key is the one that they were encrypted with.
_SOME = 10


class StoredSecret(Struct, frozen=True):
    """One as it is stored: ``value`` is encrypted."""

    kind: SecretKind
    name: str
    value: str
    description: str
    set_at: datetime
    set_by: str = ""  # user@host, where a person has set it


class NewSecret(Struct, frozen=True):
    """One to be stored; ``value`` is encrypted, None deletes it. ``description`` None leaves the one that is there.

    ``expected`` is the encrypted text that must stand there, where that counts; else another is left alone.
    """

    kind: SecretKind
    name: str
    value: str | None
    description: str | None = None
    expected: str | None = None


class SecretsWritten(Struct, frozen=True):
    """How many were made, changed and deleted."""

    created: int = 0
    changed: int = 0
    deleted: int = 0


class StoredSecrets:
    """The methods of the metastore that are about secrets; ``read`` and ``_write`` are its own."""

    read: Callable[..., Any]
    _write: Callable[..., Any]

    def list_secrets(self, kind: SecretKind) -> tuple[StoredSecret, ...]:
        """All of a kind, by name."""
        table = _TABLES[kind]

        def work(tx: Transaction) -> tuple[StoredSecret, ...]:
            by = who_set(tx, table.name)
            found = _secrets(kind, tx.rows(_LISTS[kind].order_by(table.c.name)))
            return tuple(replace(each, set_by=by.get((each.name, each.set_at), "")) for each in found)

        secrets: tuple[StoredSecret, ...] = self.read(work)
        return secrets

    def stored_secret(self, kind: SecretKind, name: str) -> StoredSecret | None:
        """The one of this name."""
        found: list[StoredSecret] = self.read(lambda tx: _secrets(kind, tx.rows(_ONES[kind], {"of_name": name})))
        return found[0] if found else None

    def read_secret(self, kind: SecretKind, name: str) -> str | None:
        """The encrypted text of this name."""
        found = self.stored_secret(kind, name)
        return None if found is None else found.value

    def some_secrets(self, kind: SecretKind, but: str) -> tuple[tuple[SecretKind, str, str], ...]:
        """Some of those that are stored, the newest first: kind, name and encrypted text. Not the one of this name."""

        def work(tx: Transaction) -> tuple[tuple[SecretKind, str, str], ...]:
            found = []
            for each, table in _TABLES.items():
                newest = _LISTS[each].order_by(table.c.set_at.desc(), table.c.name).limit(_SOME + 1)
                found += [(each, row.name, row.value) for row in tx.rows(newest) if (each, row.name) != (kind, but)]
            return tuple(found)

        some: tuple[tuple[SecretKind, str, str], ...] = self.read(work)
        return some

    def write_secrets(
        self, secrets: Iterable[NewSecret], write_id: str, task_instance: TaskInstanceKey | None = None
    ) -> SecretsWritten:
        """Store or delete all of them, or none. ``task_instance``: a task of its does it, not a person."""
        asked = tuple(secrets)
        return SecretsWritten(**self._write(lambda tx: _write_secrets(tx, asked, task_instance, write_id), write_id))


def _secrets(kind: SecretKind, rows: Iterable[Any]) -> list[StoredSecret]:
    return [StoredSecret(kind, row.name, row.value, row.description, row.set_at) for row in rows]


def _write_secrets(
    tx: Transaction, secrets: Iterable[NewSecret], task_instance: TaskInstanceKey | None, write_id: str
) -> dict[str, int]:
    counts = {"created": 0, "changed": 0, "deleted": 0}
    author = Author.of_command(tx, write_id)
    metastore_chain(tx)  # its lock: nobody else writes a secret until this is done
    by_task: dict[str, Any] = {}
    if task_instance is not None:
        author = Author(tx.moment.wall, write_id, Actor.WORKER)
        place = {"run_id": task_instance.run_id, "task_id": task_instance.task_id}
        by_task = {"dag_id": task_instance.dag_id, **place, "map_index": task_instance.map_index}
    for secret in secrets:
        cause, sets = _write_one(tx, secret)
        if cause is not None:
            counts[_COUNTED[cause]] += 1
            row = changed_row(author, str(secret.kind), cause, pool=secret.name, **by_task)
            insert_metastore_history(tx, (row, sets))
    record(tx, write_id, counts)
    return counts


_COUNTED = {Cause.CREATED: "created", Cause.RECORDED: "changed", Cause.DELETED: "deleted"}


def _write_one(tx: Transaction, secret: NewSecret) -> tuple[Cause | None, dict[str, Any] | None]:
    """What was done (None: nothing), and what it set."""
    table = _TABLES[secret.kind]
    found = tx.row(_ONES[secret.kind], {"of_name": secret.name})
    if secret.expected is not None and (found is None or found.value != secret.expected):
        return None, None
    if secret.value is None:
        if found is not None:
            tx.change(_delete(table), {"of_name": secret.name})
        return None if found is None else Cause.DELETED, None
    columns: dict[str, Any] = {"value": secret.value, "set_at": tx.moment.wall}
    if found is None or secret.description is not None:
        columns["description"] = secret.description or ""
    if found is None:
        tx.change(insert(table), {"name": secret.name, **columns})
    else:
        bound = {f"to_{name}": value for name, value in columns.items()}
        tx.change(_update(table, tuple(columns)), {"of_name": secret.name, **bound})
    sets = {**columns, "value": text_digest(secret.value)}
    return (Cause.CREATED if found is None else Cause.RECORDED), sets


def _delete(table: Table) -> Any:
    return delete(table).where(table.c.name == bindparam("of_name"))


def _update(table: Table, names: tuple[str, ...]) -> Any:
    return (
        update(table)
        .where(table.c.name == bindparam("of_name"))
        .values({name: bindparam(f"to_{name}") for name in names})
    )
