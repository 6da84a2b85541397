"""Which XComs a run has recorded, and how each begins: a whole value is read when it is asked for by name."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import func, select

from tailrace.metastore.db.tables import task_instance, xcom
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.rows import by_place
from tailrace.model.json_values import json_text
from tailrace.model.tagged_values import Tagged, readable, stored_value, without_mark

_SHOWN = 100
#: A value that is not longer is read whole: to be shown as people read it, all of it must be known.
_READ_WHOLE = 10_000


class RecordedXCom(Struct, frozen=True):
    """One XCom, as it is listed: fields are the JSON's. ``characters`` counts those of its JSON text, which ``begins``
    so.
    """

    task_id: str
    map_index: int
    key: str
    characters: int
    begins: str
    pushed: datetime


def recorded_xcoms(tx: Transaction, run: int) -> tuple[RecordedXCom, ...]:
    """The XComs of a run (its row), by task in topological order, map index and key."""
    wanted = (
        select(
            task_instance.c.id,
            task_instance.c.task_id,
            task_instance.c.map_index,
            xcom.c.key,
            func.length(xcom.c.value).label("characters"),
            func.substr(xcom.c.value, 1, _READ_WHOLE).label("begins"),
            xcom.c.at,
        )
        .join(xcom, xcom.c.task_instance_id == task_instance.c.id)
        .where(task_instance.c.dag_run_id == run)
        .order_by(xcom.c.key)
    )
    return tuple(
        RecordedXCom(row.task_id, row.map_index, row.key, row.characters, _beginning(row), row.at)
        for row in by_place(tx.rows(wanted))
    )


def _beginning(row: Any) -> str:
    """Of a short value with tags in it how it is read; of a long one, how it is stored."""
    text: str = row.begins
    if row.characters == len(text):
        try:
            value = stored_value(text)
        except (ValueError, RecursionError):
            return text[:_SHOWN]
        if isinstance(value, Tagged):
            return json_text(readable(value))[:_SHOWN]
    return without_mark(text[: 2 * _SHOWN])[:_SHOWN]
